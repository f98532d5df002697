"""A trace through the bytes of OTLP and back, beside what MLflow itself sends to its own server."""

from __future__ import annotations

import base64
import json
import uuid

import mlflow
import pytest
from google.protobuf.json_format import MessageToDict
from mlflow.entities import AssessmentError, AssessmentSource, SpanStatus
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import mlflow_otel
from mlflow_otel.backends.model import BackendSpan, trace_of
from mlflow_otel.backends.otlp_json import spans_of
from mlflow_otel.mapping.trace import METADATA_ATTRIBUTES
from mlflow_otel.receiver.records import Store
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.store import mlflow_adapter
from mlflow_otel.store.rebuild import stored_trace
from tests import payloads

DIFFERS = {
    "mlflow.trace.spansLocation",  # says where MLflow's own server keeps the spans
    "mlflow.artifactLocation",
    "mlflow.traceInputs",  # the previews once more, for clients before MLflow 3
    "mlflow.traceOutputs",
    "mlflow.trace.sizeBytes",  # MLflow measures its own JSON after the trace left
    "mlflow.trace.sizeStats",
}
"""Tags and metadata that MLflow's server has and that do not come back, and why (docs/mapping.md)."""
NO_VALUE = METADATA_ATTRIBUTES.keys()
"""Metadata that leaves as attributes of the conventions, unless it is empty."""
SIDES = ("mlflow.spanInputs", "mlflow.spanOutputs")
MLFLOWS = (
    *SIDES,
    "mlflow.spanType",
    "mlflow.chat.tokenUsage",
    "mlflow.chat.tools",
    "mlflow.llm.model",
    "mlflow.llm.provider",
    "mlflow.message.format",
)


class Sent(Store):
    """Keeps the bytes of traces."""

    def __init__(self):
        super().__init__()
        self.bodies = []

    def add(self, signal, body):
        super().add(signal, body)
        if signal == "traces":
            self.bodies.append(body)

    def trace(self, trace_id):
        """Return a trace as a backend that holds these bytes gives it back."""
        identity = int(trace_id.removeprefix("tr-"), 16)
        spans = []
        for body in self.bodies:
            message = MessageToDict(ExportTraceServiceRequest.FromString(body))
            for holder in message["resourceSpans"]:
                for group in holder["scopeSpans"]:
                    theirs = [s for s in group["spans"] if _number(s["traceId"]) == identity]
                    one = {**holder, "scopeSpans": [{**group, "spans": theirs}]}
                    spans += spans_of({"resourceSpans": [one]})
        return trace_of(identity, spans)


def _number(text):
    return int.from_bytes(base64.b64decode(text), "big")


class Server:
    """What MLflow sends to its own server, kept: infos and spans by trace ID."""

    def __init__(self):
        self.infos, self.spans = {}, {}

    def build(self, store_uri=None, artifact_uri=None):
        from mlflow_otel.tracing import store

        made = store.builder()

        def start_trace(trace_info):
            trace_info.tags["mlflow.trace.spansLocation"] = "TRACKING_STORE"
            self.infos[trace_info.trace_id] = trace_info
            return trace_info

        def log_spans(location, spans, tracking_uri=None):
            for span in spans:
                self.spans.setdefault(span.trace_id, []).append(span)
            return spans

        made.start_trace, made.log_spans = start_trace, log_spans
        return made


@pytest.fixture
def both(monkeypatch):
    """Start dual export; yields (what left over OTLP, what MLflow's server got, a flush)."""
    from mlflow.tracking._tracking_service import utils

    server, sent = Server(), Sent()
    where = f"held://{uuid.uuid4().hex}"  # MLflow keeps one store for each URI
    utils._register("held", server.build)
    with Receiver(store=sent) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver.grpc_endpoint)
        monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        monkeypatch.setenv("MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT", "true")
        monkeypatch.setenv("MLFLOW_OTEL_ASSESSMENT_SIGNALS", "traces")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
        handles = []

        def start(**arguments):
            mlflow_otel.uninstrument()
            handles.append(mlflow_otel.instrument(**arguments))
            return sent, server

        def flush():
            assert handles[-1].force_flush(20_000)

        yield start, flush
        mlflow_otel.uninstrument()


def told(info):
    """Return a ``TraceInfo`` as a dict, without what is known to differ."""
    found = info.to_dict()
    for part in ("tags", "trace_metadata"):
        found[part] = {
            k: v for k, v in found[part].items() if k not in DIFFERS and (v or k not in NO_VALUE)
        }
    for key in ("mlflow.trace.tokenUsage", "mlflow.trace.cost"):
        if key in found["trace_metadata"]:
            found["trace_metadata"][key] = json.loads(found["trace_metadata"][key])
    return found


def as_documented(value):
    """Return a value less what is known to differ (docs/mapping.md): placeholders, and JSON in text."""
    if isinstance(value, dict):
        marks = ("object at 0x", "NOT_GIVEN")
        return {k: v for k, v in value.items() if not any(mark in str(v) for mark in marks)}
    return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks up.",
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
            "strict": True,
        },
    }
]


@mlflow.trace(name="agent", span_type="AGENT")
def agent(question):
    mlflow.update_current_trace(
        client_request_id="r-1",
        session_id="s-1",
        user="u-1",
        tags={"team": "a", "mlflow.note.content": "n", "empty": ""},
        metadata={"app_version": "7", "nothing": ""},
    )
    with mlflow.start_span("search", span_type="RETRIEVER") as span:
        span.set_inputs({"query": question})
        span.set_outputs([{"page_content": "Paris.", "metadata": {"doc": 1}, "id": "d"}])
    with mlflow.start_span("llm", span_type="CHAT_MODEL") as span:
        span.set_inputs({"model": "m", "messages": [{"role": "user", "content": question}]})
        span.set_outputs(
            {"choices": [{"message": {"role": "assistant", "content": "Paris"}, "index": 0}]}
        )
        span.set_attribute("mlflow.chat.tools", TOOLS)
        span.set_attribute(
            "mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        )
    with mlflow.start_span("pay", span_type="TOOL") as span:
        span.set_inputs({"amount": 3})
        span.set_outputs("done")
        span.set_attribute("shop", {"id": 1})
    return "Paris"


def test_what_is_known_of_a_trace_comes_back_as_mlflows_server_gets_it(both):
    start, flush = both
    sent, server = start()
    agent("capital?")
    trace_id = mlflow.get_last_active_trace_id()
    flush()
    found = mlflow_adapter.trace(stored_trace(sent.trace(trace_id)))
    assert told(found.info) == told(server.infos[trace_id])
    theirs = {span.span_id: span for span in server.spans[trace_id]}
    assert {span.span_id for span in found.data.spans} == theirs.keys()
    for span in found.data.spans:
        beside = theirs[span.span_id]
        assert (span.name, span.span_type, span.parent_id, span.status) == (
            beside.name,
            beside.span_type,
            beside.parent_id,
            beside.status,
        )
        assert (span.start_time_ns, span.end_time_ns) == (beside.start_time_ns, beside.end_time_ns)
        assert span.trace_id == beside.trace_id
    by_name = {span.name: span for span in found.data.spans}
    assert by_name["pay"].inputs == {"amount": 3}
    assert by_name["pay"].outputs == "done"
    assert by_name["search"].outputs == [
        {"page_content": "Paris.", "metadata": {"doc": 1}, "id": "d"}
    ]
    assert by_name["agent"].outputs == "Paris"
    assert by_name["llm"].inputs == {"messages": [{"role": "user", "content": "capital?"}]}
    assert by_name["llm"].outputs == {"messages": [{"role": "assistant", "content": "Paris"}]}
    assert by_name["llm"].get_attribute("mlflow.chat.tools") == TOOLS
    usage = by_name["llm"].get_attribute("mlflow.chat.tokenUsage")
    assert usage == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def test_an_image_that_mlflow_moves_to_its_server_leaves_over_otlp_too(both):
    start, flush = both
    sent, server = start()
    url = "data:image/png;base64,iVBORw0KGgo="
    image = {"type": "image_url", "image_url": {"url": url}}
    with mlflow.start_span("look", span_type="CHAT_MODEL") as span:
        span.set_inputs({"messages": [{"role": "user", "content": [image]}]})
        span.set_outputs({"choices": [{"message": {"role": "assistant", "content": "A cat."}}]})
    flush()
    (theirs,) = server.spans[span.trace_id]
    (asked,) = theirs.inputs["messages"]
    assert asked["content"][0]["image_url"]["url"].startswith("mlflow-attachment://")
    found = mlflow_adapter.trace(stored_trace(sent.trace(span.trace_id)))
    assert found.data.spans[0].inputs == {"messages": [{"role": "user", "content": [image]}]}


@pytest.mark.parametrize("as_tags", [True, False])
def test_a_session_comes_back_where_it_was_set_and_an_error_with_its_event(both, as_tags):
    start, flush = both
    sent, server = start()
    with pytest.raises(ZeroDivisionError), mlflow.start_span("root"):
        keys = {"mlflow.trace.session": "s", "mlflow.trace.user": "u"}
        mlflow.update_current_trace(**{"tags" if as_tags else "metadata": keys})
        raise ZeroDivisionError
    trace_id = mlflow.get_last_active_trace_id()
    flush()
    found = mlflow_adapter.trace(stored_trace(sent.trace(trace_id)))
    assert told(found.info) == told(server.infos[trace_id])
    (span,), (beside,) = found.data.spans, server.spans[trace_id]
    assert span.status == SpanStatus("ERROR", beside.status.description)
    assert [e.name for e in span.events] == [e.name for e in beside.events] == ["exception"]
    assert span.events[0].attributes["exception.type"] == "ZeroDivisionError"


@pytest.mark.parametrize("file", sorted(payloads.FIXTURES.glob("*.json")), ids=lambda f: f.stem)
def test_every_recorded_span_comes_back_with_what_mlflow_wrote(both, file):
    start, flush = both
    sent, server = start(conventions=["genai", "mlflow"])
    recorded = [s for name, s in payloads.recorded() if name.startswith(f"{file.stem}/")]
    ours = [span for span in recorded if span["scope"].split(".")[0] == "mlflow"]
    with mlflow.start_span("root"):
        for index, span in enumerate(ours):
            with mlflow.start_span(f"{index}") as live:
                for key in MLFLOWS:
                    if key in span["attributes"]:
                        live.set_attribute(key, json.loads(span["attributes"][key]))
    trace_id = mlflow.get_last_active_trace_id()
    flush()
    found = mlflow_adapter.trace(stored_trace(sent.trace(trace_id)))
    theirs = {span.name: span for span in server.spans[trace_id]}
    assert {span.name for span in found.data.spans} == theirs.keys()
    for span in found.data.spans:
        beside = theirs[span.name]
        for key in MLFLOWS:
            wrote = as_documented(beside.get_attribute(key))
            came = as_documented(span.get_attribute(key))
            if isinstance(wrote, dict) and "messages" not in wrote and isinstance(came, dict):
                came = {k: v for k, v in came.items() if k != "messages"}  # added: docs/mapping.md
            if wrote is not None:
                assert came == wrote, (span.name, key)


@pytest.mark.parametrize("file", sorted(payloads.FIXTURES.glob("*.json")), ids=lambda f: f.stem)
def test_no_side_of_a_recorded_span_is_empty_in_the_default_vocabulary(file):
    for name, span in payloads.recorded():
        if not name.startswith(f"{file.stem}/") or span["scope"].split(".")[0] != "mlflow":
            continue
        left = payloads.mapped(span)
        held = BackendSpan(1, None, left.name, 1_000_000_000, 2_000_000_000, left.attributes)
        (back,) = stored_trace(trace_of(7, [held])).spans
        assert back.name == span["name"]
        for key in SIDES:
            wrote = json.loads(span["attributes"].get(key, "null"))
            if wrote not in (None, "", [], {}):
                assert back.attributes.get(key) not in (None, "", [], {}), (name, key)


def test_assessments_come_back_merged_in_order_of_time(both, monkeypatch):
    start, flush = both
    monkeypatch.setenv("MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT", "false")
    sent, _ = start()
    agent("capital?")
    trace_id = mlflow.get_last_active_trace_id()
    human = AssessmentSource("HUMAN", "ann")
    with mlflow.start_span("other") as other:
        pass
    made = [
        mlflow.log_feedback(trace_id=trace_id, name="good", value=True, source=human),
        mlflow.log_feedback(trace_id=trace_id, name="text", value="42", rationale="so"),
        mlflow.log_feedback(
            trace_id=trace_id, name="parts", value={"a": [1, 2.5]}, metadata={"k": "v"}
        ),
        mlflow.log_feedback(
            trace_id=trace_id, name="failed", error=AssessmentError("TIMEOUT", "slow", "at 1")
        ),
        mlflow.log_expectation(trace_id=trace_id, name="answer", value={"city": "Paris"}),
        mlflow.log_feedback(trace_id=trace_id, name="whole", value=3, span_id=other.span_id),
    ]
    gone = mlflow.log_feedback(trace_id=trace_id, name="gone", value=1.5)
    mlflow.delete_assessment(trace_id, gone.assessment_id)
    made[1] = mlflow.update_assessment(
        trace_id, made[1].assessment_id, mlflow.entities.Feedback(name="text", value="43")
    )
    newer = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=made[0].assessment_id, value=False, source=human
    )
    flush()
    found = mlflow_adapter.trace_info(stored_trace(sent.trace(trace_id))).assessments
    by_id = {one.assessment_id: one for one in found}
    assert gone.assessment_id not in by_id
    assert len(found) == len(made) + 1
    made[0].valid = False
    for one in (*made, newer):
        one.valid = one.valid is not False  # what MLflow's server says of each
        assert by_id[one.assessment_id].to_dictionary() == one.to_dictionary()


def test_late_tags_come_back_merged_in_order_of_time(both, monkeypatch):
    start, flush = both
    monkeypatch.setenv("MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT", "false")
    sent, _ = start()
    agent("capital?")
    trace_id = mlflow.get_last_active_trace_id()
    for value in ("1", "2"):
        mlflow.set_trace_tag(trace_id, "late", value)
    mlflow.delete_trace_tag(trace_id, "team")
    mlflow.set_trace_tag(trace_id, "gone", "1")
    mlflow.delete_trace_tag(trace_id, "gone")
    mlflow.set_trace_tag(trace_id, "mlflow.traceName", "renamed")
    flush()
    info = mlflow_adapter.trace_info(stored_trace(sent.trace(trace_id)))
    assert info.tags == {
        "mlflow.note.content": "n",
        "late": "2",
        "empty": "",
        "mlflow.traceName": "renamed",
    }
