"""The HTTP face: each status that clients act on, limits, credentials, and whatever garbage comes."""

from __future__ import annotations

import functools
import gzip
import json
import os
import socket
import zlib

import httpx
import pytest
import zstandard
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.bridge.parts import RESOURCE, Part, info_body, otlp_span, traces_json
from tests.bridge.running import running

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
API = "/api/3.0/mlflow"


@pytest.fixture(scope="module")
def bridge():
    with running() as started:
        yield started
        open_client(started).close()
        assert started.process.poll() is None, "whatever came, it went on"


@functools.cache
def open_client(bridge):
    return httpx.Client(base_url=bridge.http, timeout=60)


@pytest.fixture
def http(bridge):
    return open_client(bridge)


def new_trace():
    return int.from_bytes(os.urandom(16), "big") or 1


def request(*spans, scope=""):
    made = ExportTraceServiceRequest()
    holder = made.resource_spans.add(resource=RESOURCE.resource)
    group = holder.scope_spans.add()
    group.scope.name = scope
    group.spans.extend(spans)
    return made


def foreign(trace, number=1):
    span = otlp_span(Part(trace, number, 0))
    del span.attributes[:]
    span.attributes.add(key="http.route").value.string_value = "/ask"
    span.kind, span.trace_state, span.flags = 2, "a=1", 0x101
    return span


def behind(bridge, trace, number=1):
    """The spans of one trace that arrived, once there are so many."""
    return bridge.spans(number, trace_id=f"{trace:032x}")


def test_version_and_health_are_answered_at_once_whatever_host_is_named(http):
    assert http.get("/version", headers={"host": "anything.example"}).text == "3.17.2+bridge"
    assert http.get("/health").text == "OK"
    assert http.get("/healthz").status_code == http.get("/readyz").status_code == 200
    assert "mlflow_otel_bridge_items" in http.get("/metrics").text


@pytest.mark.parametrize(
    "pack",
    [
        ("", lambda body: body),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.compress),
    ],
    ids=lambda pack: pack[0],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_spans_of_others_pass_through_unchanged(bridge, http, pack, as_json):
    trace = new_trace()
    sent = request(foreign(trace), scope="fastapi")
    body = sent.SerializeToString()
    if as_json:
        said = json_format.MessageToDict(sent)
        (span,) = said["resourceSpans"][0]["scopeSpans"][0]["spans"]
        span["traceId"], span["spanId"] = f"{trace:032x}", f"{1:016x}"
        body = json.dumps(said).encode()
    headers = {**(JSON if as_json else PROTOBUF), "content-encoding": pack[0]}
    answer = http.post("/v1/traces", content=pack[1](body), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == (JSON if as_json else PROTOBUF)["content-type"]
    (span,) = behind(bridge, trace)
    assert (span["name"], span["kind"], span["scope"]["name"]) == ("step 1", "SERVER", "fastapi")
    assert span["attributes"] == {"http.route": "/ask"}
    assert span["resource"] == {"telemetry.sdk.name": "mlflow"}


def test_logs_and_metrics_pass_through(bridge, http):
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(severity_number=9)
    record.body.string_value = "hello"
    assert (
        http.post("/v1/logs", content=logs.SerializeToString(), headers=PROTOBUF).status_code == 200
    )
    assert bridge.logs(body="hello")
    assert http.post("/v1/metrics", content=b"", headers=PROTOBUF).status_code == 200


def test_a_span_without_ids_is_told_as_partial_success(http):
    good, bad = otlp_span(Part(new_trace(), 1, 0)), otlp_span(Part(1, 1, 0))
    bad.trace_id = bytes(16)
    answer = http.post(
        "/v1/traces", content=request(good, bad).SerializeToString(), headers=PROTOBUF
    )
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, said.rejected_spans) == (200, 1)
    assert "trace ID" in said.error_message


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (PROTOBUF, b"\xff\xff", 400),
        (JSON, b"[]", 400),
        (JSON, b"{", 400),
        (JSON, b'{"resourceSpans": 1}', 400),
        (JSON, b"[" * 100_000, 400),
        ({"content-type": "text/plain"}, b"x", 415),
        ({**PROTOBUF, "content-encoding": "br"}, b"x", 400),
        ({**PROTOBUF, "content-encoding": "gzip"}, b"x", 400),
        ({**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(b"12345", mtime=0)[:-4], 400),
        ({**PROTOBUF, "content-encoding": "zstd"}, zstandard.compress(b"12345" * 99)[:-4], 400),
        ({**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(bytes(65 << 20), mtime=0), 413),
        ({**PROTOBUF, "content-encoding": "zstd"}, zstandard.compress(bytes(65 << 20)), 413),
    ],
)
def test_what_is_no_otlp_gets_the_status_that_the_specification_names(http, headers, body, status):
    answer = http.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == status
    if headers == PROTOBUF:
        assert Status.FromString(answer.content).message
    elif headers["content-type"] == JSON["content-type"]:
        assert answer.json()["detail"] == answer.json()["message"]


def test_the_parts_of_a_trace_meet_and_leave_once(bridge, http):
    trace = new_trace()
    first, root = Part(trace, 2, 1), Part(trace, 1, 0)
    answer = http.post(f"{API}/traces", json=info_body(trace)).json()["trace"]["trace_info"]
    assert "mlflow.trace.spansLocation" not in answer["tags"]
    place = answer["tags"]["mlflow.artifactLocation"]
    assert place == f"mlflow-artifacts:/7/traces/tr-{trace:032x}/artifacts"
    spans = request(otlp_span(first)).SerializeToString()
    assert http.post("/v1/traces", content=spans, headers=PROTOBUF).status_code == 200
    again = http.post(f"{API}/traces", json=info_body(trace)).json()["trace"]["trace_info"]
    assert again["tags"]["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    path = place.removeprefix("mlflow-artifacts:")
    uploaded = http.put(
        f"/api/2.0/mlflow-artifacts/artifacts{path}/traces.json",
        content=json.dumps(traces_json([first, root])),
        headers={"content-type": "text/plain"},
    )
    assert (uploaded.status_code, uploaded.content) == (200, b"")
    found = behind(bridge, trace, 2)
    assert sorted(s["name"] for s in found) == ["step 1", "step 2"]
    assert {s["attributes"]["session.id"] for s in found} == {"s-1"}


def test_typescripts_requests_give_one_trace(bridge, http):
    """TraceInfo, then the file, always, then OTLP: as its source has it. The SDK itself was not run."""
    trace = new_trace()
    parts = [Part(trace, 1, 0), Part(trace, 2, 1)]
    answer = http.post(f"{API}/traces", json=info_body(trace)).json()["trace"]["trace_info"]
    path = answer["tags"]["mlflow.artifactLocation"].removeprefix("mlflow-artifacts:")
    upload = traces_json(parts, typescript=True)
    address = f"/api/2.0/mlflow-artifacts/artifacts{path}/traces.json"
    assert http.put(address, json=upload).status_code == 200
    body = request(*map(otlp_span, parts)).SerializeToString()
    headers = {**PROTOBUF, "x-mlflow-experiment-id": "7"}
    assert http.post("/v1/traces", content=body, headers=headers).status_code == 200
    assert {s["attributes"]["user.id"] for s in behind(bridge, trace, 2)} == {"u-1"}
    http.post(f"{API}/traces", json=info_body(trace, tags={"end": "1"}))  # leaves after the others
    assert len(behind(bridge, trace, 3)) == 3


def test_experiments_are_there_as_soon_as_somebody_asks(http):
    found = http.get(f"{API}/experiments/get-by-name", params={"experiment_name": "chat app/ü"})
    made = found.json()["experiment"]
    assert made["lifecycle_stage"] == "active"
    by_id = http.get(f"{API}/experiments/get", params={"experiment_id": made["experiment_id"]})
    assert by_id.json()["experiment"]["name"] == "chat app/ü"
    created = http.post(f"{API}/experiments/create", json={"name": "chat app/ü"}).json()
    assert created["experiment_id"] == made["experiment_id"]
    every = http.post("/ajax-api/2.0/mlflow/experiments/search", json={}).json()["experiments"]
    assert {"Default", "chat app/ü"} <= {one["name"] for one in every}


def test_assessments_are_made_read_changed_replaced_and_deleted(bridge, http):
    trace = new_trace()
    path = f"{API}/traces/tr-{trace:032x}/assessments"
    said = {
        "assessment_name": "correct",
        "feedback": {"value": 3},
        "source": {"source_type": "HUMAN", "source_id": "u"},
        "metadata": {"a": "1"},
        "span_id": f"{9:016x}",
    }
    made = http.post(path, json={"assessment": said}).json()["assessment"]
    one = f"{path}/{made['assessment_id']}"
    assert http.get(one).json()["assessment"] == made
    change = {
        "assessment": {"feedback": {"value": False}, "metadata": {"b": "2"}, "rationale": "no"},
        "update_mask": "feedback,metadata",
    }
    after = http.patch(one, json=change).json()["assessment"]
    assert after["metadata"] == {"a": "1", "b": "2"}
    assert "rationale" not in after
    http.post(path, json={"assessment": {**said, "overrides": made["assessment_id"]}})
    assert http.get(one).json()["assessment"]["valid"] is False
    assert http.request("DELETE", one, json={}).json() == {}
    assert http.get(one).status_code == 404
    found = sorted(behind(bridge, trace, 4), key=lambda span: span["start_time"])
    assert [s["attributes"].get("mlflow.assessment.operation") for s in found] == [
        None,
        "update",
        None,
        "delete",
    ]
    assert {s["attributes"]["mlflow.assessment.span_id"] for s in found} == {f"{9:016x}"}
    assert found[0]["attributes"]["mlflow.assessment.create_time_ms"] > 0
    assert {s["parent_span_id"] for s in found} == {f"{9:016x}"}
    assert found[0]["attributes"]["gen_ai.evaluation.score.value"] == 3.0
    events = bridge.logs(4, trace_id=f"{trace:032x}")
    assert [e["event_name"] for e in events] == ["gen_ai.evaluation.result"] * 4


def test_tags_that_change_after_the_trace_left_leave_as_updates(bridge, http):
    trace = new_trace()
    http.post(f"{API}/traces", json=info_body(trace))
    body = request(otlp_span(Part(trace, 1, 0))).SerializeToString()
    http.post("/v1/traces", content=body, headers=PROTOBUF)
    path = f"/api/2.0/mlflow/traces/tr-{trace:032x}/tags"
    assert http.patch(path, json={"key": "late", "value": "1"}).json() == {}
    assert http.request("DELETE", path, json={"key": "env"}).json() == {}
    assert http.request("DELETE", path, json={"key": "env"}).status_code == 404
    assert http.patch(path, json={"key": "x" * 251, "value": "1"}).status_code == 400
    arrived = [span for span in behind(bridge, trace, 3) if span["name"] == "trace update"]
    first, second = sorted(arrived, key=lambda span: span["start_time"])
    assert first["attributes"]["mlflow.traceTag.late"] == "1"
    assert second["attributes"]["mlflow.trace.removed_tags"] == ["env"]
    known = http.get(f"{API}/traces/tr-{trace:032x}").json()["trace"]["trace_info"]
    assert known["tags"]["late"] == "1"
    assert "env" not in known["tags"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/9.9/none", 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "/", 404, "ENDPOINT_NOT_FOUND"),
        ("POST", "/api/2.0/mlflow/runs/create", 501, "NOT_IMPLEMENTED"),
        ("GET", f"{API}/traces/tr-{1:032x}", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", f"{API}/traces/get?trace_id=tr-{1:032x}", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", f"{API}/traces/get", 400, "INVALID_PARAMETER_VALUE"),
        ("POST", f"{API}/traces/delete-traces", 501, "NOT_IMPLEMENTED"),
        ("GET", f"{API}/traces/nothing", 400, "INVALID_PARAMETER_VALUE"),
        ("POST", f"{API}/traces", 400, "INVALID_PARAMETER_VALUE"),
        ("POST", f"{API}/traces/tr-{1:032x}/assessments", 400, "INVALID_PARAMETER_VALUE"),
        ("GET", f"{API}/experiments/get-by-name", 400, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_what_is_not_here_is_said_in_json(http, method, path, status, code):
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_an_attachment_is_taken_and_kept_out(http):
    path = f"/api/2.0/mlflow-artifacts/artifacts/7/traces/tr-{1:032x}/artifacts/attachments/a-b"
    assert http.put(path, content=b"\x00\xff").status_code == 200
    assert 'what="attachments.left_out"' in http.get("/metrics").text


def test_a_page_of_another_site_reaches_nothing(http):
    assert http.post(f"{API}/traces", headers={"host": "evil.example"}).status_code == 403
    assert http.post("/v1/traces", headers={"origin": "https://evil.example"}).status_code == 403
    assert http.get(
        f"{API}/experiments/search", headers={"origin": "http://localhost:1"}
    ).is_success


BODIES = st.binary(max_size=200) | st.builds(
    lambda made, at, byte: made[: at % len(made)] + bytes([byte]) + made[at % len(made) :],
    st.just(request(otlp_span(Part(7, 1, 0))).SerializeToString()),
    st.integers(0, 10_000),
    st.integers(0, 255),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "trace",
                    "trace_info",
                    "trace_id",
                    "spans",
                    "span_id",
                    "attributes",
                    "tags",
                    "assessment",
                    "assessment_name",
                    "feedback",
                    "metadata",
                    "status",
                    "events",
                    "resourceSpans",
                    "scopeSpans",
                    "traceId",
                    "key",
                    "value",
                    "update_mask",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
PATHS = st.sampled_from(
    [
        f"{API}/traces",
        f"{API}/traces/tr-{5:032x}/assessments",
        "/v1/traces",
        "/v1/logs",
        f"{API}/experiments/create",
        f"{API}/traces/tr-{5:032x}/tags",
        "/%ff/%00",
        f"/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-{5:032x}/artifacts/traces.json",
    ]
)
ANSWERS = {200, 400, 404, 413, 415, 501}


@settings(max_examples=40, deadline=None)
@given(
    body=BODIES,
    encoding=st.sampled_from(["", "gzip", "deflate", "zstd", "br"]),
    kind=st.sampled_from([PROTOBUF, JSON, {}]),
    path=PATHS,
    method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
)
def test_garbage_gets_an_answer(bridge, body, encoding, kind, path, method):
    headers = {**kind, "content-encoding": encoding}
    answer = open_client(bridge).request(method, path, content=body, headers=headers)
    assert answer.status_code in ANSWERS | {405}


@settings(max_examples=40, deadline=None)
@given(said=JSON_VALUES, path=PATHS, method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]))
def test_json_of_any_shape_gets_an_answer(bridge, said, path, method):
    body = json.dumps(
        said
    ).encode()  # with Python's NaN and Infinity, which httpx would refuse to write
    answer = open_client(bridge).request(method, path, content=body, headers=JSON)
    assert answer.status_code in ANSWERS | {405}


def test_a_client_that_goes_away_in_the_midst_of_a_body_harms_nobody(bridge, http):
    address = bridge.http.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((address[0], int(address[1]))) as raw:
            raw.sendall(
                b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\nab"
            )
    assert http.get("/healthz").status_code == 200
