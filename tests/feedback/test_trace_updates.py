"""Tags that are set or removed after their trace was sent, by MLflow's own calls."""

from __future__ import annotations

import mlflow
import pytest
from mlflow.exceptions import MlflowException

import mlflow_otel

UNKNOWN = f"tr-{7:032x}"


@pytest.fixture
def backend(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
    mlflow_otel.uninstrument()
    handle = mlflow_otel.instrument()

    def spans(name="trace update"):
        assert handle.force_flush(10_000)
        return [span for span in receiver.store.spans() if span["name"] == name]

    yield spans
    mlflow_otel.uninstrument()


@mlflow.trace
def chat():
    mlflow.update_current_trace(session_id="s-1", tags={"environment": "test", "a": "1"})
    return mlflow.get_active_trace_id()


def test_a_tag_that_is_set_late_leaves_as_a_short_span_below_the_root(backend):
    trace_id = chat()
    mlflow.set_trace_tag(trace_id, "reviewed", "1e3")
    (root,), (update,) = backend("chat"), backend()
    assert update["trace_id"] == root["trace_id"]
    assert update["parent_span_id"] == root["span_id"]
    assert update["end_time"] - update["start_time"] == 1000
    assert update["resource"] == root["resource"]
    assert update["attributes"] == {
        "mlflow.trace.update": True,
        "mlflow.trace.id": trace_id,
        "mlflow.traceTag.reviewed": "1e3",
        "session.id": "s-1",
        "gen_ai.conversation.id": "s-1",
        "deployment.environment.name": "test",
        **{k: v for k, v in root["attributes"].items() if k.startswith("mlflow.experiment.")},
    }


def test_a_tag_that_is_removed_late_is_named_and_later_feedback_knows(backend):
    trace_id = chat()
    mlflow.delete_trace_tag(trace_id, "environment")
    (update,) = backend()
    assert list(update["attributes"]["mlflow.trace.removed_tags"]) == ["environment"]
    assert "deployment.environment.name" not in update["attributes"]
    mlflow.set_trace_tag(trace_id, "environment", "prod")
    mlflow.log_feedback(trace_id=trace_id, name="good", value=True)
    (evaluation,) = backend("evaluation good")
    assert evaluation["attributes"]["deployment.environment.name"] == "prod"


def test_a_trace_of_another_process_is_named_by_its_id(backend):
    mlflow.set_trace_tag(UNKNOWN, "mlflow.traceName", "new")
    (update,) = backend()
    assert update["trace_id"] == UNKNOWN.removeprefix("tr-")
    assert update["parent_span_id"] is None or not int(update["parent_span_id"] or "0", 16)
    assert update["attributes"] == {
        "mlflow.trace.update": True,
        "mlflow.trace.id": UNKNOWN,
        "mlflow.trace.name": "new",
    }


def test_a_tag_of_a_trace_under_way_leaves_with_it_and_no_update_does(backend):
    with mlflow.start_span("root"):
        trace_id = mlflow.get_active_trace_id()
        mlflow.set_trace_tag(trace_id, "b", "2")
        mlflow.set_trace_tag(trace_id, "c", "3")
        mlflow.delete_trace_tag(trace_id, "c")
    (root,) = backend("root")
    assert root["attributes"]["mlflow.traceTag.b"] == "2"
    assert "mlflow.traceTag.c" not in root["attributes"]
    assert backend() == []


def test_what_is_no_trace_id_is_mlflows_exception_and_what_mlflow_forbids_sends_nothing(backend):
    with pytest.raises(MlflowException, match="is no trace ID") as raised:
        mlflow.set_trace_tag("nonsense", "a", "1")
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"
    mlflow.set_trace_tag(chat(), "mlflow.artifactLocation", "/tmp")  # immutable: MLflow warns
    assert backend() == []


def test_without_content_capture_a_note_stays_here_and_a_tag_leaves(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "false")
    mlflow_otel.uninstrument()
    seen = []
    handle = mlflow_otel.instrument(redact=lambda name, key, value: seen.append(key) or value)
    trace_id = chat()
    mlflow.set_trace_tag(trace_id, "reviewed", "yes")
    mlflow.set_trace_tag(trace_id, "mlflow.note.content", "what the user asked")
    assert handle.force_flush(10_000)
    mlflow_otel.uninstrument()
    reviewed, noted = (s for s in receiver.store.spans() if s["name"] == "trace update")
    assert seen.count("mlflow.traceTag.reviewed") == 1
    assert reviewed["attributes"]["mlflow.traceTag.reviewed"] == "yes"
    assert "what the user asked" not in str(noted)
