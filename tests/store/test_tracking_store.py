"""MLflow's tracking store on a trace backend: what each call answers, and what it refuses."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities import AssessmentError, AssessmentSource, Expectation, Feedback
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.abstract_store import AbstractStore

from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import BackendError, BackendSpan, Window
from mlflow_otel.mapping.experiment import experiment_id
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.store.tracking_store import MLFLOWS_OWN, OtelTraceStore
from tests.store.held import MILLISECOND, NOW, SECOND, HeldTraces, numbers, store_on

SHOP = experiment_id("shop")
SOURCE = AssessmentSource("HUMAN", "ann")


@pytest.fixture
def held():
    return HeldTraces()


def ids(store, filter_string=None, **fields):
    infos, _ = store.search_traces([SHOP], filter_string, **fields)
    return [info.trace_id for info in infos]


def refused(code, call, *args, **kwargs):
    with pytest.raises(MlflowException) as caught:
        call(*args, **kwargs)
    assert caught.value.error_code == code
    return str(caught.value)


def test_tags_are_set_and_removed_by_what_is_added_to_the_trace(held):
    trace_id = held.add(**{"mlflow.traceTag.team": "a"})
    store = store_on(held)
    store.set_trace_tag(trace_id, "team", "b")
    store.set_trace_tag(trace_id, "more", "1")
    tags = store.get_trace_info(trace_id).tags
    assert (tags["team"], tags["more"]) == ("b", "1")
    assert ids(store, "tags.team = 'b'") == [trace_id]
    assert ids(store, "tags.team = 'a'") == []
    store_on(held, now=lambda: NOW + 1).delete_trace_tag(trace_id, "team")
    assert "team" not in store.get_trace_info(trace_id).tags
    assert ids(store, "tags.team = 'a'") == []
    refused("RESOURCE_DOES_NOT_EXIST", store.delete_trace_tag, trace_id, "team")
    refused("RESOURCE_DOES_NOT_EXIST", store.set_trace_tag, f"tr-{10**9:032x}", "a", "b")
    assert len(store.get_trace(trace_id).data.spans) == 1  # changes are no spans of the trace


def test_an_assessment_without_a_time_as_mlflows_pages_send_it_is_of_now(held):
    trace_id = held.add()
    store = store_on(held, now=time.time_ns)
    before = time.time_ns() // 1_000_000
    said = Feedback("tone", value="good", source=SOURCE, trace_id=trace_id, create_time_ms=0)
    said.last_update_time_ms = 0
    made = store.create_assessment(said)
    assert before <= made.create_time_ms == made.last_update_time_ms


def test_an_assessment_is_made_changed_overridden_and_deleted(held):
    trace_id = held.add()
    store = store_on(held, now=time.time_ns)  # MLflow's entities take the time from the clock
    first = store.create_assessment(
        Feedback("tone", value="good", source=SOURCE, trace_id=trace_id, metadata={"a": "1"})
    )
    second = store.create_assessment(
        Feedback(
            "tone", value="bad", source=SOURCE, trace_id=trace_id, overrides=first.assessment_id
        )
    )
    assert store.get_assessment(trace_id, first.assessment_id).valid is False
    by_id = {"experiment_ids": None, "filter_string": "timestamp > 0 AND feedback.tone = 'bad'"}
    assert [info.trace_id for info in store.search_traces(**by_id)[0]] == [trace_id]
    by_id["filter_string"] = "timestamp > 0 AND feedback.tone = 'good'"
    assert store.search_traces(**by_id)[0] == []
    changed = store.update_assessment(
        trace_id, second.assessment_id, rationale="rude", metadata={"b": "2"}
    )
    assert changed.rationale == "rude"
    again = store.get_assessment(trace_id, second.assessment_id)
    assert (again.value, again.rationale, again.metadata) == ("bad", "rude", {"b": "2"})
    assert again.source == SOURCE
    store.delete_assessment(trace_id, second.assessment_id)
    store.delete_assessment(trace_id, second.assessment_id)  # as MLflow's: no error
    assert store.get_assessment(trace_id, first.assessment_id).valid is True
    refused("RESOURCE_DOES_NOT_EXIST", store.get_assessment, trace_id, second.assessment_id)
    refused(
        "RESOURCE_DOES_NOT_EXIST",
        store.create_assessment,
        Feedback("x", value=1, trace_id=trace_id, overrides="a-none"),
    )
    expected = store.create_assessment(Expectation("answer", "Paris", trace_id=trace_id))
    refused(
        "INVALID_PARAMETER_VALUE",
        store.update_assessment,
        trace_id,
        expected.assessment_id,
        feedback=first.feedback,
    )


def test_with_content_off_the_text_of_a_judges_error_is_not_sent(held):
    trace_id = held.add()
    store = store_on(held, now=time.time_ns, options=MappingOptions(capture_content=False))
    error = AssessmentError(error_code="TIMEOUT", error_message="no answer to: where do I live?")
    store.create_assessment(Feedback("tone", error=error, source=SOURCE, trace_id=trace_id))
    sent = held.spans[int(trace_id.removeprefix("tr-"), 16)][-1]
    assert (sent.status, sent.attributes["error.type"]) == ("ERROR", "TIMEOUT")
    assert "where do I live" not in repr(sent)


def test_feedback_on_a_session_holds_for_each_of_its_traces(held):
    session = {"session.id": "s-1"}
    one, other = held.add(**session), held.add(**session)
    alone = held.add(**{"session.id": "s-2"})
    store = store_on(held)
    store.create_assessment(
        Feedback("done", value=True, trace_id=one, metadata={"mlflow.trace.session": "s-1"})
    )
    assert set(ids(store, "feedback.done = 'true'")) == {one, other}
    assert ids(store, "feedback.done IS NULL") == [alone]


TIMES = st.lists(st.integers(0, 40), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(TIMES, st.integers(1, 7), st.booleans(), st.integers(1, 9))
def test_pages_hold_every_trace_once_and_in_order(times, size, ascending, at_once):
    held = HeldTraces()
    when = {held.add(NOW - at * MILLISECOND): at for at in times}

    class Few(MemoryBackend):
        """Gives some traces of those asked for, as Jaeger does."""

        def window(self, query, timeout):
            traces = super().window(query, timeout).traces
            limit = at_once if query.end - query.start >= MILLISECOND else len(traces)
            return Window(
                sorted(traces, key=lambda t: t.summary.trace_id % 7)[:limit], len(traces) <= limit
            )

    store = store_on(held, Few(held))
    found, token = [], None
    while True:
        infos, token = store.search_traces(
            [SHOP],
            max_results=size,
            order_by=[f"timestamp {'ASC' if ascending else 'DESC'}"],
            page_token=token,
        )
        found += [info.trace_id for info in infos]
        if token is None:
            break
        if not ascending:
            held.add(NOW + 5 * SECOND)  # what is new does not shift the pages
    sign = -1 if ascending else 1
    assert found == sorted(when, key=lambda trace_id: (sign * when[trace_id], trace_id))


def test_any_other_order_and_a_token_of_it(held):
    slow = held.add(NOW - 3 * SECOND, **{"mlflow.traceTag.x": "2"})
    quick = held.add(NOW - 2 * SECOND, **{"mlflow.traceTag.x": "1"})
    none = held.add(NOW - 1 * SECOND)
    store = store_on(held)
    infos, token = store.search_traces([SHOP], order_by=["tag.x"], max_results=2)
    assert [info.trace_id for info in infos] == [quick, slow]
    infos, token = store.search_traces([SHOP], order_by=["tag.x"], max_results=2, page_token=token)
    assert ([info.trace_id for info in infos], token) == ([none], None)
    refused("INVALID_PARAMETER_VALUE", store.search_traces, [SHOP], page_token="mine")


def test_experiments_are_the_services_and_what_traces_name(held):
    held.add()
    named = held.add(**{"mlflow.experiment.id": "77", "mlflow.experiment.name": "study"})
    held.add(service="other")
    store = store_on(held)
    found = {e.name: e.experiment_id for e in store.search_experiments()}
    assert found == {"shop": SHOP, "other": experiment_id("other"), "study": "77"}
    infos, _ = store.search_traces(["77"])
    assert [info.trace_id for info in infos] == [named]
    assert infos[0].experiment_id == "77"
    assert named not in ids(store)
    assert store.get_experiment("77").name == "study"
    assert store.get_experiment_by_name("other").experiment_id == experiment_id("other")
    assert store.get_experiment_by_name("none") is None
    assert [e.name for e in store.search_experiments(filter_string="name ILIKE 'S%'")] != []
    assert [e.name for e in store.search_experiments(order_by=["name"], max_results=1)] == ["other"]
    refused("RESOURCE_DOES_NOT_EXIST", store.get_experiment, "78")
    refused("INVALID_PARAMETER_VALUE", store.search_experiments, filter_string="color = 'x'")


def test_an_experiment_is_found_as_soon_as_its_service_is_new(held):
    held.add()
    store = store_on(held)
    assert len(ids(store)) == 1  # the services were looked at just now
    new = held.add(service="new")
    infos, _ = store.search_traces([experiment_id("new")])
    assert [info.trace_id for info in infos] == [new]
    newer = experiment_id("newer")
    held.add(service="newer")
    assert store.get_experiment_by_name("newer").experiment_id == newer


def test_several_traces_come_with_spans_in_the_order_that_they_were_asked_for(held):
    first, second = held.add(), held.add(service="other")
    store = store_on(held)
    gone = f"tr-{10**9:032x}"
    traces = store.batch_get_traces([second, gone, "no ID", first])
    assert [trace.info.trace_id for trace in traces] == [second, first]
    assert [len(trace.data.spans) for trace in traces] == [1, 1]
    infos = store.batch_get_trace_infos([first, second], experiment_ids=[SHOP])
    assert [info.trace_id for info in infos] == [first]
    assert infos[0].tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"


def test_how_often_two_filters_hold_together(held):
    for number in range(4):
        held.add(**{"mlflow.traceTag.a": str(number % 2), "mlflow.traceTag.b": str(number // 2)})
    store = store_on(held)
    told = store.calculate_trace_filter_correlation([SHOP], "tags.a = '1'", "tags.b = '1'")
    assert (told.filter1_count, told.filter2_count, told.joint_count, told.total_count) == (
        2,
        2,
        1,
        4,
    )


def test_every_other_call_is_refused_by_name(held):
    store = store_on(held)
    for name, method in vars(AbstractStore).items():
        if not inspect.isfunction(method) or name.startswith("_") or name in MLFLOWS_OWN:
            continue
        ours = getattr(OtelTraceStore, name)
        assert ours is not method, f"{name} is MLflow's own, which raises without a word"
        if ours.__doc__.startswith("Raise"):
            assert name in refused("NOT_IMPLEMENTED", getattr(store, name))
    message = refused("NOT_IMPLEMENTED", store.delete_traces, SHOP, trace_ids=["tr-1"])
    assert "delete_traces" in message
    assert "retention" in message


def test_a_clause_that_is_not_understood_is_refused_and_names_the_backend(held):
    message = refused(
        "INVALID_PARAMETER_VALUE", store_on(held).search_traces, [SHOP], "color = 'x'"
    )
    assert "color = 'x'" in message
    assert "this process's recent traces" in message


def test_a_backend_that_does_not_answer_is_said_in_mlflows_words(held):
    class Down(MemoryBackend):
        def window(self, query, timeout):
            raise BackendError("Jaeger at http://jaeger:16686 did not answer: refused")

        get = window

    trace_id = held.add()
    store = store_on(held, Down(held))
    for call in (lambda: store.search_traces([SHOP]), lambda: store.get_trace(trace_id)):
        assert "did not answer" in refused("TEMPORARILY_UNAVAILABLE", call)


def test_where_nothing_can_be_sent_changes_are_refused_with_what_to_do(held):
    trace_id = held.add()
    store = store_on(held)
    store.traces._send = None
    message = refused("TEMPORARILY_UNAVAILABLE", store.set_trace_tag, trace_id, "a", "b")
    assert "otlp=" in message


def test_text_and_spans_are_searched_in_the_whole_trace(held):
    child = BackendSpan(
        next(numbers),
        None,
        "look up",
        NOW,
        NOW,
        {"mlflow.spanType": "TOOL", "gen_ai.tool.call.arguments": '{"city": "Paris"}', "n": 3},
        status="ERROR",
    )
    trace_id = held.add(spans=[child])
    held.add()
    store = store_on(held)
    for filter_string in (
        "trace.text LIKE '%Paris%'",
        "span.content ILIKE '%PARIS%'",
        "span.type = 'TOOL' AND span.status = 'ERROR'",
        "span.name RLIKE '^look'",
        "span.attributes.n = '3'",
    ):
        assert ids(store, filter_string) == [trace_id], filter_string


LIGHT = """
import importlib.metadata
import sys
import mlflow_otel_store
assert not [name for name in sys.modules if name.split(".")[0] in ("mlflow", "mlflow_otel")]
try:
    importlib.metadata.version("mlflow")  # it imports all of these itself
except importlib.metadata.PackageNotFoundError:
    sys.modules["sqlparse"] = sys.modules["pandas"] = sys.modules["sqlalchemy"] = None
from mlflow.tracing.client import TracingClient
store = TracingClient("otel+jaeger://127.0.0.1:9?otlp=http://127.0.0.1:9").store
print(type(store).__name__)
for uri in ("otel+jaeger://user:secret@host:1", "otel+jaeger://h:1?color=1", "otel+tempo:"):
    try:
        TracingClient(uri)
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_nothing_is_imported_before_a_store_is_opened_and_mlflow_tracing_is_enough():
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("OtelTraceStore\n"), done.stderr
    assert "MLFLOW_OTEL_TRACE_LOOKUP_HEADERS" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    assert "color" in done.stdout
