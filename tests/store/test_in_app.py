"""MLflow's calls that read and change traces, in an app without any server."""

from __future__ import annotations

import logging

import mlflow
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import mlflow_otel
from mlflow_otel.tracing import recent_spans
from tests.delivery.faults import free_port


@pytest.fixture
def started(monkeypatch):
    monkeypatch.setenv("MLFLOW_OTEL_METRICS", "false")
    monkeypatch.setenv("MLFLOW_OTEL_ASSESSMENT_SIGNALS", "traces")

    def start(**environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return mlflow_otel.instrument(exporter=InMemorySpanExporter(), service_name="in-app")

    yield start
    mlflow_otel.uninstrument()


def answered(session, **fields):
    with mlflow.start_span("chat", span_type="AGENT") as span:
        span.set_inputs({"q": "where"})
        mlflow.update_current_trace(session_id=session, **fields)
        with mlflow.start_span("inner"):
            pass
        span.set_outputs("here")
    return span.trace_id


def found(filter_string=None, **fields):
    traces = mlflow.search_traces(filter_string=filter_string, return_type="list", **fields)
    return [trace.info.trace_id for trace in traces]


def of_session(session):
    return f"metadata.`mlflow.trace.session` = '{session}'"


def test_what_this_process_sent_is_read_and_changed_at_once(started):
    started()
    first, second = answered("s-read"), answered("s-read", tags={"team": "a"})
    trace = mlflow.get_trace(first)
    assert [span.name for span in trace.data.spans] == ["chat", "inner"]
    assert trace.data.spans[0].inputs == {"q": "where"}
    assert (trace.info.request_preview, trace.info.response_preview) == ('{"q":"where"}', "here")
    mlflow.set_trace_tag(first, "late", "1")
    assert mlflow.get_trace(first).info.tags["late"] == "1"
    assert found("tags.late = '1'") == [first]
    mlflow.delete_trace_tag(first, "late")
    assert "late" not in mlflow.get_trace(first).info.tags
    logged = mlflow.log_feedback(trace_id=second, name="ok", value=True)
    assert mlflow.get_assessment(second, logged.assessment_id).value is True
    assert mlflow.get_trace(second).info.assessments[0].name == "ok"
    assert found(f"feedback.ok = 'true' AND {of_session('s-read')}") == [second]
    assert set(found(of_session("s-read"))) == {first, second}
    (session,) = [s for s in mlflow.search_sessions() if s.id == "s-read"]
    assert [one.info.trace_id for one in session] == [first, second]


def test_what_needs_a_server_says_so_and_never_ends_in_an_error_without_a_text(started):
    from mlflow.exceptions import MlflowException
    from mlflow.tracing.client import TracingClient

    from mlflow_otel.tracing.store import builder

    started()
    trace = answered("s-delete")
    with pytest.raises(MlflowException, match="MLFLOW_TRACKING_URI"):
        TracingClient().delete_traces("0", trace_ids=[trace])
    store = builder()
    for call, arguments in {
        "get_run": ("r",),
        "search_experiments": (),
        "delete_experiment": ("0",),
        "log_batch": ("r", [], [], []),
    }.items():  # abstract in MLflow's store: without us they would do nothing, and return None
        with pytest.raises(MlflowException, match="MLFLOW_TRACKING_URI"):
            getattr(store, call)(*arguments)


def test_a_trace_that_is_not_here_is_none_and_the_warning_names_the_variable(started, caplog):
    started()
    with caplog.at_level(logging.WARNING):
        assert mlflow.get_trace(f"tr-{1:032x}") is None
        assert mlflow.get_trace("no ID") is None
        assert found(of_session("nobodys")) == []
    assert "MLFLOW_OTEL_TRACE_LOOKUP" in caplog.text


def test_a_look_up_that_does_not_answer_leaves_what_is_here(started, caplog):
    started(
        MLFLOW_OTEL_TRACE_LOOKUP=f"jaeger+http://ann:secret@127.0.0.1:{free_port()}",
        MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT="0.5",
    )
    trace_id = answered("s-down")
    assert mlflow.get_trace(trace_id).info.trace_id == trace_id
    assert found(of_session("s-down")) == [trace_id]
    assert "Only this process's recent traces were read" in caplog.text
    assert "secret" not in caplog.text


def test_each_call_says_that_the_look_up_did_not_answer_not_that_the_trace_is_not_there(
    started, caplog
):
    started(
        MLFLOW_OTEL_TRACE_LOOKUP=f"jaeger+http://127.0.0.1:{free_port()}",
        MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT="0.5",
    )
    for number in (1, 2):
        caplog.clear()
        assert mlflow.get_trace(f"tr-{number:032x}") is None
        (said,) = [text for text in caplog.messages if f"tr-{number:032x}" in text]
        assert "not found in this process's recent traces, and " in said
        assert "did not answer" in said


def test_feedback_and_tags_make_no_trace_of_one_that_is_not_here(started):
    started()
    absent = f"tr-{7:032x}"
    mlflow.set_trace_tag(absent, "team", "a")
    mlflow.log_feedback(trace_id=absent, name="ok", value=True)
    assert mlflow.get_trace(absent, silent=True) is None
    assert absent not in found()


def test_a_tag_that_mlflow_would_refuse_is_refused(started):
    from mlflow.exceptions import MlflowException

    started()
    trace = answered("s-refused", tags={"team": "a"})
    with pytest.raises(MlflowException, match="exceeds"):
        mlflow.set_trace_tag(trace, "k" * 300, "v")
    with pytest.raises(MlflowException, match="No trace tag with key 'other'"):
        mlflow.delete_trace_tag(trace, "other")
    mlflow.delete_trace_tag(trace, "team")
    with pytest.raises(MlflowException, match="No trace tag with key 'team'"):
        mlflow.delete_trace_tag(trace, "team")
    mlflow.delete_trace_tag(f"tr-{8:032x}", "whatever")  # it may be another process's trace


def test_a_change_of_an_assessment_that_is_not_known_is_sent_and_said(started, caplog):
    from mlflow.entities import Feedback

    started()
    trace = answered("s-unknown")
    mlflow.update_assessment(trace, "a-typo", Feedback(name="ok", value=False))
    assert "Assessment a-typo was changed" in caplog.text
    assert "MLFLOW_OTEL_TRACE_LOOKUP" in caplog.text
    (there,) = mlflow.get_trace(trace).info.assessments
    assert (there.assessment_id, there.value) == ("a-typo", False)


def test_the_experiment_that_is_named_is_searched(started):
    started(MLFLOW_EXPERIMENT_NAME="study of answers")
    trace_id = answered("s-named")
    assert found(of_session("s-named")) == [trace_id]


def test_spans_are_kept_up_to_a_number_of_bytes(started):
    started(MLFLOW_OTEL_RECENT_BYTES="60000")
    first = answered("s-bytes", metadata={"text": "x" * 20_000})
    for _ in range(40):
        last = answered("s-bytes")
    assert recent_spans.RECENT_SPANS.max_bytes == 60_000
    assert mlflow.get_trace(last, silent=True) is not None
    assert mlflow.get_trace(first, silent=True) is None


def test_a_span_that_should_export_holds_back_is_not_shown(started):
    mlflow_otel.instrument(
        exporter=InMemorySpanExporter(), should_export=lambda span: span.name != "inner"
    )
    trace = mlflow.get_trace(answered("s-held-back"))
    assert [span.name for span in trace.data.spans] == ["chat"]
