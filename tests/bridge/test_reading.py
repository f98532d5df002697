"""Reading through the bridge: what MLflow's own client gets right after it wrote, and what HTTP answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.accounting import Accounting
from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import BackendError, BackendSpan, TraceQuery, trace_of
from mlflow_otel.backends.together import Together
from mlflow_otel.bridge import answers
from mlflow_otel.bridge.assessments import view
from mlflow_otel.bridge.joining import Leaving
from mlflow_otel.bridge.leaving import Mapper
from mlflow_otel.bridge.remembering import TraceMemory
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from tests.bridge.parts import Part, arrival, info_body, otlp_span, traces_json
from tests.bridge.running import running
from tests.bridge.test_http import API, PROTOBUF, new_trace, request
from tests.conftest import PREFIXES, ROOT

APP = Path(__file__).with_name("reading_app.py")


@pytest.fixture(scope="module")
def bridge():
    with running() as started:
        yield started
        assert started.process.poll() is None, "whatever came, it went on"


@pytest.fixture(scope="module")
def http(bridge):
    with httpx.Client(base_url=bridge.http, timeout=60) as client:
        yield client


def test_mlflows_client_reads_at_once_what_it_wrote(bridge, tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    env = {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(APP)],
        env={**env, "MLFLOW_TRACKING_URI": bridge.http},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert [(t["request"], t["state"], t["session"], t["env"]) for t in said["found"]] == [
        ("one", "OK", "s-1", "prod"),
        ("fail", "ERROR", "s-1", "prod"),
    ]
    messages = [{"role": "user", "content": "one"}]
    answer = {"choices": [{"message": {"role": "assistant", "content": "hellö"}}]}
    spans = said["found"][0]["spans"]
    assert spans["agent"] == ["AGENT", {"question": "one", "session": "s-1"}, "done", True]
    assert (spans["chat"][0], spans["chat"][3]) == ("CHAT_MODEL", False)
    assert messages[0]["content"] in json.dumps(spans["chat"][1])
    assert answer["choices"][0]["message"]["content"] in json.dumps(
        spans["chat"][2], ensure_ascii=False
    )
    assert sorted(said["found"][0]["n"], key=str) == [20, None]
    one = said["one"]
    assert (one["late"], one["env"]) == ("1", None)
    assert one["assessments"] == [
        ["good", 0.5, "so", "ann", False],
        ["good", True, None, "default", True],
        ["answer", {"a": [1, 2]}, None, "ann", None],
    ]
    assert (said["failed"], said["judged"], said["pages"]) == (1, 1, 2)
    assert said["missing"]


def sent(http, *parts, **said):
    """Send a trace, and return its ID."""
    trace = new_trace()
    http.post(f"{API}/traces", json=info_body(trace, **said)).raise_for_status()
    body = request(*(otlp_span(Part(trace, *part)) for part in parts)).SerializeToString()
    http.post("/v1/traces", content=body, headers=PROTOBUF).raise_for_status()
    return trace


def got(http, trace):
    answer = http.get(f"{API}/traces/get", params={"trace_id": f"tr-{trace:032x}"})
    return answer.json()["trace"] if answer.is_success else None


def test_what_is_still_held_can_be_read_and_is_held_on(bridge, http):
    trace = sent(http, (2, 1))
    assert [span["name"] for span in got(http, trace)["spans"]] == ["step 2"]
    body = request(otlp_span(Part(trace, 1, 0))).SerializeToString()
    http.post("/v1/traces", content=body, headers=PROTOBUF).raise_for_status()
    assert {span["name"] for span in got(http, trace)["spans"]} == {"step 1", "step 2"}
    for span in bridge.spans(2, trace_id=f"{trace:032x}"):
        assert span["attributes"]["session.id"] == "s-1"


def test_a_trace_reads_the_same_while_it_waits_and_after_it_left(bridge, http):
    trace = sent(http, (1, 0), (2, 1))
    before = got(http, trace)
    bridge.spans(2, trace_id=f"{trace:032x}")
    assert got(http, trace) == before
    assert before["trace_info"]["trace_metadata"]["mlflow.trace.user"] == "u-1"


def test_several_are_got_at_once_and_unknown_ones_are_left_out(http):
    traces = [sent(http, (1, 0)) for _ in range(3)]
    names = [f"tr-{trace:032x}" for trace in (*traces, new_trace())]
    answer = http.get(f"{API}/traces/batchGet", params={"trace_ids": [*names, "nothing"]})
    assert [t["trace_info"]["trace_id"] for t in answer.json()["traces"]] == names[:3]
    many = http.get(
        f"{API}/traces/batchGet", params={"trace_ids": [f"tr-{n:032x}" for n in range(1, 200)]}
    )
    assert many.status_code == 400


def test_the_file_that_older_clients_read_is_the_one_that_they_wrote(http):
    trace = new_trace()
    path = f"/api/2.0/mlflow-artifacts/artifacts/7/traces/tr-{trace:032x}/artifacts/traces.json"
    http.post(f"{API}/traces", json=info_body(trace)).raise_for_status()
    written = traces_json([Part(trace, 1, 0), Part(trace, 2, 1)])
    http.put(path, json=written).raise_for_status()
    for span, before in zip(http.get(path).json()["spans"], written["spans"], strict=True):
        assert json.loads(span["attributes"].pop("mlflow.spanInputs")) == {"q": "20", "n": 1.0}
        before["attributes"].pop("mlflow.spanInputs")
        assert before["attributes"].items() <= span["attributes"].items()
        assert {**span, "attributes": {}} == {**before, "attributes": {}}
    unknown = path.replace(f"{trace:032x}", f"{new_trace():032x}")
    assert http.get(unknown).status_code == 404


def test_an_assessment_reads_back_as_it_is_now(http):
    trace = sent(http, (1, 0))
    path = f"{API}/traces/tr-{trace:032x}/assessments"
    made = [
        http.post(path, json={"assessment": {"assessment_name": "n", "feedback": {"value": n}}})
        for n in range(3)
    ]
    first, second, _ = (answer.json()["assessment"]["assessment_id"] for answer in made)
    http.patch(
        f"{path}/{first}",
        json={"assessment": {"feedback": {"value": "new"}}, "update_mask": "feedback"},
    ).raise_for_status()
    http.request("DELETE", f"{path}/{second}", json={}).raise_for_status()
    found = got(http, trace)["trace_info"]["assessments"]
    assert [a["feedback"]["value"] for a in found] == ["new", 2]


@pytest.mark.parametrize(
    "said",
    [
        {"filter": "nonsense"},
        {"filter": 3},
        {"order_by": "x"},
        {"order_by": ["nonsense"]},
        {"max_results": 0},
        {"max_results": True},
        {"max_results": 501},
        {"page_token": "nonsense"},
        {"locations": ["1"]},
    ],
    ids=str,
)
def test_a_search_that_cannot_be_answered_says_what_is_wrong(http, said):
    answer = http.post(f"{API}/traces/search", json=said)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_pages_of_a_search_follow_one_another(http):
    traces = [sent(http, (1, 0), client_request_id="paged") for _ in range(5)]
    said = {"filter": "client_request_id = 'paged'", "max_results": 2}
    said["filter"] += " AND timestamp_ms >= 0"
    found, token = [], None
    while True:
        page = http.post(f"{API}/traces/search", json={**said, "page_token": token}).json()
        found += [int(info["trace_id"][3:], 16) for info in page["traces"]]
        token = page.get("next_page_token")
        if token is None:
            break
    assert sorted(found) == sorted(traces)


def test_experiments_of_one_name_in_two_workspaces_are_two(http):
    def asked(workspace):
        headers = {"x-mlflow-workspace": workspace} if workspace else {}
        path = f"{API}/experiments/get-by-name"
        answer = http.get(path, params={"experiment_name": "shared"}, headers=headers)
        listed = http.post(f"{API}/experiments/search", json={}, headers=headers).json()
        identity = answer.json()["experiment"]["experiment_id"]
        assert identity in {one["experiment_id"] for one in listed["experiments"]}
        return identity, len(listed["experiments"])

    assert asked("") == asked("default")
    one, two = asked("one"), asked("two")
    assert len({asked("")[0], one[0], two[0]}) == 3
    assert one[1] == two[1] == 1


def test_a_backend_that_does_not_answer_hides_nothing_that_is_remembered():
    env = {"MLFLOW_OTEL_TRACE_LOOKUP": "jaeger+http://127.0.0.1:9"}
    with running(env=env) as bridge, httpx.Client(base_url=bridge.http, timeout=60) as http:
        trace = sent(http, (1, 0))
        assert got(http, trace)["spans"]
        unknown = http.get(f"{API}/traces/get", params={"trace_id": f"tr-{new_trace():032x}"})
        assert unknown.status_code == 503
        assert unknown.headers["retry-after"]


MAPPER = Mapper(MappingOptions(), Accounting())


def leaving(trace, *numbers):
    spans = tuple(arrival(Part(trace, number, number - 1)) for number in numbers)
    return Leaving(trace, TraceContext(trace_id=f"tr-{trace:032x}"), spans, frozenset({1}))


def test_memory_is_bounded_and_forgets_the_oldest():
    memory = TraceMemory(MAPPER.groups, lambda _: None, max_bytes=10**9, max_traces=3)
    for trace in range(1, 6):
        memory.leaves(leaving(trace, 1))
    assert [t.summary.trace_id for t in memory.all()] == [5, 4, 3]
    small = TraceMemory(MAPPER.groups, lambda _: None, max_bytes=1)
    for trace in range(1, 6):
        small.leaves(leaving(trace, 1))()
    assert [t.summary.trace_id for t in small.all()] == [5]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.booleans()), max_size=12))
def test_what_is_remembered_is_what_left_whether_it_was_mapped_or_not(steps):
    memory = TraceMemory(MAPPER.groups, lambda _: None, max_bytes=10**9)
    expected = {}
    for trace, number, mapped in steps:
        map_it = memory.leaves(leaving(trace, number))
        expected.setdefault(trace, set()).add(number)
        if mapped:
            for group in map_it():
                group.items.clear()  # whoever sends them takes them out
    assert {t.summary.trace_id: {s.span_id for s in t.spans} for t in memory.all()} == expected
    assert memory.get(9) is None


class Fixed:
    """Traces that are held, as a backend's or a memory's."""

    def __init__(self, *traces):
        self.traces = {trace.summary.trace_id: trace for trace in traces}

    def summaries(self, conditions):
        return [trace.summary for trace in self.traces.values()]

    def get(self, trace_id):
        return self.traces.get(trace_id)

    def all(self):
        return self.traces.values()

    def services(self):
        return ["shop"]


class Broken(MemoryBackend):
    def get(self, trace_id, timeout):
        raise BackendError("it is down")


def test_two_backends_answer_as_one_each_trace_with_the_spans_of_both():
    root = BackendSpan(1, None, "root", 1, 2, {"a": "b"})
    child, old = root._replace(span_id=2, parent_id=1), root._replace(span_id=3, start=5)
    here = MemoryBackend(Fixed(trace_of(1, [child])))
    there = MemoryBackend(Fixed(trace_of(1, [root]), trace_of(2, [old])))
    both = Together(here, there)
    assert {s.span_id for s in both.get(1, 1).spans} == {1, 2}
    query = TraceQuery((), 0, 10)
    window = both.window(query, 1)
    assert {t.summary.trace_id: len(t.spans) for t in window.traces} == {1: 2, 2: 1}
    assert [t.trace_id for t in both.find(query, 1)] == [2, 1]
    assert both.get(3, 1) is None
    assert both.services(1) == ["shop"]
    whole = Together(there, Broken(Fixed()))
    assert whole.get(2, 1).spans == [old]
    with pytest.raises(BackendError):
        whole.get(3, 1)


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(max_examples=80)
@given(
    kind=st.sampled_from(["feedback", "expectation"]),
    value=VALUES,
    rationale=st.none() | st.text(min_size=1),
    metadata=st.dictionaries(st.text(min_size=1), st.text()),
    valid=st.booleans(),
)
def test_an_assessment_is_answered_so_that_it_reads_as_it_was(
    kind, value, rationale, metadata, valid
):
    made = AssessmentView(
        name="n",
        kind=kind,
        value=value,
        time=1_700_000_000_123_000_000,
        rationale=rationale,
        source_type="HUMAN",
        source_id="ann",
        assessment_id="a-1",
        valid=valid,
        metadata={k: v for k, v in metadata.items() if k != "mlflow.sourceRun"},
        create_time_ms=1_700_000_000_000,
    )
    answered = answers.assessment("tr-1", made)
    assert view(json.loads(json.dumps(answered)))._replace(metadata=made.metadata) == made
