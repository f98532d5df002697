"""The feedback service: assessments from any language, by the trace's ID or the app's request ID."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time

import grpc
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.feedback.client import AssessmentClient
from mlflow_otel.v1.assessment_pb2 import Assessment
from mlflow_otel.v1.assessment_service_pb2 import ExportRequest, ExportResponse
from tests.bridge.parts import Part, info_body, otlp_span, traces_json
from tests.bridge.running import running
from tests.bridge.test_http import JSON, PROTOBUF, request
from tests.conftest import ROOT
from tests.pasted.blocks import blocks

API = "/api/3.0/mlflow"
numbers = itertools.count(int.from_bytes(os.urandom(12), "big"))


@pytest.fixture(scope="module")
def bridge():
    with running() as started:
        yield started
        assert started.process.poll() is None, "whatever came, it went on"


@pytest.fixture(scope="module")
def http(bridge):
    with httpx.Client(base_url=bridge.http, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def client(bridge):
    with AssessmentClient(bridge.grpc, timeout=60) as opened:
        yield opened


def traced(http, request=None):
    """Have the bridge know a trace; return its ID and that of its request."""
    trace = next(numbers)
    request = request or f"req-{trace}"
    assert http.post(f"{API}/traces", json=info_body(trace, client_request_id=request)).is_success
    address = f"/api/2.0/mlflow-artifacts/artifacts/7/traces/tr-{trace:032x}/artifacts/traces.json"
    assert http.put(address, json=traces_json([Part(trace, trace % 2**60 + 1, 0)])).is_success
    return trace, request


def message(**said):
    made = Assessment(assessment_name="correct", **said)
    made.feedback.value.bool_value = True
    return made


def verdicts(bridge, trace, number=1):
    found = bridge.spans(number, trace_id=f"{trace:032x}", name="evaluation correct")
    events = bridge.logs(number, trace_id=f"{trace:032x}")
    assert len(found) == len(events) == number
    return [span["attributes"] for span in found]


def test_feedback_by_request_id_judges_the_newest_trace_that_the_bridge_knows(bridge, http, client):
    older, request = traced(http)
    trace, _ = traced(http, request)
    assert http.post(
        f"{API}/traces", json=info_body(older, client_request_id=request, state="ERROR")
    )
    answer = client.export([message(client_request_id=request, rationale="It is.")])
    assert answer.rejected_assessments == 0
    (verdict,) = verdicts(bridge, trace)
    assert verdict["session.id"] == "s-1"
    assert verdict["user.id"] == "u-1"
    assert verdict["mlflow.trace.client_request_id"] == request
    assert verdict["gen_ai.evaluation.score.label"] == "true"
    assert verdict["gen_ai.evaluation.explanation"] == "It is."
    assert (
        bridge.spans(1, name="evaluation correct", trace_id=f"{trace:032x}")[0]["parent_span_id"]
        == f"{trace % 2**60 + 1:016x}"
    )


@pytest.mark.parametrize("named", ["tr-{:032x}", "{:032x}"])
def test_feedback_by_trace_id_needs_no_known_trace(bridge, client, named):
    trace = next(numbers)
    client.export([message(trace_id=named.format(trace), span_id=f"{7:016x}")])
    (verdict,) = verdicts(bridge, trace)
    assert verdict["mlflow.trace.id"] == f"tr-{trace:032x}"
    assert verdict["mlflow.assessment.span_id"] == f"{7:016x}"


def test_one_assessment_as_json_is_answered_with_what_is_kept(bridge, http):
    trace, request = traced(http)
    said = {
        "client_request_id": request,
        "assessment_name": "correct",
        "feedback": {"value": 0.5},
        "source": {"source_type": "LLM_JUDGE", "source_id": "judge"},
        "create_time": "2026-01-02T03:04:05.678901234Z",
    }
    answer = http.post("/v1/feedback", json=said)
    kept = answer.json()["assessment"]
    assert answer.status_code == 200
    assert kept["trace_id"] == f"tr-{trace:032x}"
    path = f"{API}/traces/tr-{trace:032x}/assessments/{kept['assessment_id']}"
    assert http.get(path).json()["assessment"] == kept, "MLflow's clients read it"
    (verdict,) = verdicts(bridge, trace)
    assert verdict["gen_ai.evaluation.score.value"] == 0.5
    assert verdict["mlflow.assessment.source.type"] == "LLM_JUDGE"
    assert verdict["mlflow.assessment.create_time_ms"] == 1767323045678


def test_expectations_and_issues_are_taken(bridge, client):
    trace = next(numbers)
    expected = Assessment(assessment_name="answer", trace_id=f"tr-{trace:032x}")
    expected.expectation.serialized_value.serialization_format = "JSON_FORMAT"
    expected.expectation.serialized_value.value = '{"a": [1]}'
    issue = Assessment(assessment_name="i-1", trace_id=f"tr-{trace:032x}")
    issue.issue.issue_name = "slow"
    assert client.export([expected, issue]).rejected_assessments == 0
    found = bridge.spans(2, trace_id=f"{trace:032x}")
    said = {s["attributes"]["mlflow.assessment.type"]: s["attributes"] for s in found}
    assert said["expectation"]["mlflow.assessment.value"] == '{"a":[1]}'
    assert said["issue"]["mlflow.assessment.value"] == '"slow"'


def test_the_same_assessment_twice_leaves_once_and_a_changed_one_is_an_update(bridge, client):
    trace = next(numbers)
    said = {"assessment_id": f"a-{trace}", "trace_id": f"tr-{trace:032x}"}
    for _ in range(3):
        client.export([message(**said)])
    client.export([message(**said, rationale="on second thoughts")])
    found = verdicts(bridge, trace, 2)
    operations = [one.get("mlflow.assessment.operation") for one in found]
    assert sorted(operations, key=str) == [None, "update"]  # requests overtake each other


def test_what_cannot_be_taken_is_told_and_the_rest_is_taken(bridge, http, client):
    trace = next(numbers)
    unnamed = Assessment(trace_id=f"tr-{trace:032x}")
    unnamed.feedback.value.bool_value = True
    wrong = [
        message(client_request_id="nobody's"),
        message(),
        message(trace_id="tr-1"),
        message(trace_id=f"tr-{trace:032x}", span_id="x"),
        Assessment(assessment_name="correct", trace_id=f"tr-{trace:032x}"),
        unnamed,
    ]
    answer = client.export([*wrong, message(trace_id=f"tr-{trace:032x}")])
    assert answer.rejected_assessments == len(wrong)
    assert "nobody's" in answer.error_message
    assert "MLFLOW_OTEL_TRACE_LOOKUP" in answer.error_message
    assert len(verdicts(bridge, trace)) == 1
    body = ExportRequest(assessments=wrong).SerializeToString()
    answer = http.post("/v1/feedback", content=body, headers=PROTOBUF)
    told = ExportResponse.FromString(answer.content).partial_success
    assert (answer.status_code, told.rejected_assessments) == (200, len(wrong))


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"client_request_id": "nobody's", "assessment_name": "a", "feedback": {"value": 1}}, 404),
        ({"assessment_name": "a", "feedback": {"value": 1}}, 400),
        ({"trace_id": "tr-" + "1" * 32, "assessment_name": "a"}, 400),
        ({"trace_id": "tr-" + "1" * 32, "assessment_name": "", "feedback": {"value": 1}}, 400),
        ({"trace_id": "tr-" + "1" * 32, "asessment_name": "a", "feedback": {"value": 1}}, 400),
        ({"assessments": 1}, 400),
        ([], 400),
    ],
)
def test_one_that_cannot_be_taken_is_an_error_that_says_why(http, said, status):
    answer = http.post("/v1/feedback", json=said)
    assert (answer.status_code, set(answer.json())) == (status, {"error_code", "message"})


def test_any_client_needs_the_token(tmp_path):
    (tmp_path / "tokens").write_text("secret-1\n")
    with running("--token-file", str(tmp_path / "tokens")) as bridge:
        said = message(trace_id="tr-" + "1" * 32)
        with (
            AssessmentClient(bridge.grpc, timeout=60) as nobody,
            pytest.raises(grpc.RpcError) as refused,
        ):
            nobody.export([said])
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        held = (("authorization", "Bearer secret-1"),)
        with AssessmentClient(bridge.grpc, timeout=60, headers=held) as known:
            assert known.export([said]).rejected_assessments == 0
        assert httpx.post(f"{bridge.http}/v1/feedback", json={}).status_code == 401


def test_while_the_backend_does_not_answer_nothing_is_taken_and_the_client_may_come_again():
    env = {"MLFLOW_OTEL_TRACE_LOOKUP": "jaeger+http://ann:secret@127.0.0.1:9"}
    with (
        running(env=env) as bridge,
        AssessmentClient(bridge.grpc, timeout=60) as client,
    ):
        trace = next(numbers)
        both = [message(trace_id=f"tr-{trace:032x}"), message(client_request_id="r")]
        with pytest.raises(grpc.RpcError) as refused:
            client.export(both)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "secret" not in refused.value.details()
        answer = httpx.post(
            f"{bridge.http}/v1/feedback",
            json={"client_request_id": "r", "assessment_name": "a", "feedback": {"value": 1}},
        )
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert not bridge.receiver.store.spans()
        client.export(both[:1])
        assert len(verdicts(bridge, trace)) == 1


FIELDS = st.sampled_from(
    [
        "trace_id",
        "client_request_id",
        "assessment_name",
        "feedback",
        "source",
        "source_type",
        "value",
        "metadata",
        "create_time",
        "assessment_id",
        "overrides",
        "span_id",
        "assessments",
        "issue",
        "valid",
    ]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("tr-" + "1" * 32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=15,
)


@settings(max_examples=60, deadline=None)
@given(said=JSON_VALUES)
def test_json_of_any_shape_gets_an_answer(http, said):
    body = json.dumps(said).encode()
    answer = http.post("/v1/feedback", content=body, headers=JSON)
    assert answer.status_code in {200, 400, 404}


def test_feedback_on_a_trace_that_otlp_brought_has_its_root(bridge, http, client):
    trace = next(numbers)
    body = request(otlp_span(Part(trace, 5, 0))).SerializeToString()
    assert http.post("/v1/traces", content=body, headers=PROTOBUF).is_success
    client.export([message(trace_id=f"tr-{trace:032x}")])
    (found,) = bridge.spans(1, trace_id=f"{trace:032x}", name="evaluation correct")
    assert found["parent_span_id"] == f"{5:016x}"


def test_the_blocks_of_bridge_md_send_feedback(bridge, http):
    trace, _ = traced(http, "req-17")
    page = [block.text for block in blocks(ROOT / "docs" / "bridge.md")]
    (curl,) = (text for text in page if text.startswith("curl"))
    (code,) = (text for text in page if "AssessmentClient" in text)
    command = ["bash", "-c", curl.replace("http://127.0.0.1:5001", bridge.http)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["assessment"]["trace_id"] == f"tr-{trace:032x}"
    subprocess.run([sys.executable, "-c", code.replace("127.0.0.1:14317", bridge.grpc)], check=True)
    assert len(verdicts(bridge, trace, 2)) == 2


@pytest.mark.parametrize("wrong", ["NaN", "-Infinity", "1e999", '{"deep": [NaN]}'])
def test_a_number_that_json_cannot_say_is_refused_and_those_beside_it_are_taken(
    bridge, http, client, wrong
):
    trace, _ = traced(http)
    said = f'{{"trace_id": "tr-{trace:032x}", "assessment_name": "n", "feedback": {{"value": {wrong}}}}}'
    answer = http.post("/v1/feedback", content=said, headers=JSON)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    number = Assessment(assessment_name="n", trace_id=f"tr-{trace:032x}")
    number.feedback.value.number_value = float(wrong) if wrong[0] != "{" else float("nan")
    late = message(trace_id=f"tr-{trace:032x}")
    late.create_time.seconds = 10**14
    good = message(trace_id=f"tr-{trace:032x}")
    told = client.export([number, late, good])
    assert told.rejected_assessments == 2
    assert len(verdicts(bridge, trace)) == 1


def test_spans_of_assessments_are_in_the_books():
    with running() as bridge, httpx.Client(base_url=bridge.http, timeout=60) as http:
        trace, request = traced(http)
        said = {"client_request_id": request, "assessment_name": "n", "feedback": {"value": 1}}
        for _ in range(3):
            assert http.post("/v1/feedback", json=said).is_success
        assert len(bridge.spans(4, trace_id=f"{trace:032x}")) == 4
        until = time.monotonic() + 60
        while (found := bridge.counters()).get("exported", 0) < 4 and time.monotonic() < until:
            time.sleep(0.05)
    assert found["evaluations"] == 3
    made = found["evaluations"] + found.get("updates", 0)
    assert found["received.traces"] + made == found["exported"]
