"""Content off, by the entry points: an app plants a marker where content may stand and reads what its sink was sent."""

from __future__ import annotations

import pytest

APP = """
import http.server, json, os, sys, threading

BODIES = []

class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        BODIES.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"

import mlflow, mlflow_otel
from mlflow.entities import AssessmentError, AssessmentSource, SpanEvent, SpanStatus, SpanStatusCode
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

shared = os.environ["MLFLOW_USE_DEFAULT_TRACER_PROVIDER"] == "false"
if shared:
    trace.set_tracer_provider(TracerProvider())
handle = mlflow_otel.instrument()
PLACES = []

def said(place):
    PLACES.append(place)
    return f"they said zqx{len(PLACES) - 1:03d}q loudly"

def others_span(tracer, kind):
    link = Link(SpanContext(5, 6, True, TraceFlags(1)), {"why": said(f"{kind}: link")})
    written = {
        "gen_ai.input.messages": said(f"{kind}: messages"),
        "db.statement": said(f"{kind}: statement"),
        "lines": [said(f"{kind}: list")],
        "mlflow.spanInputs": json.dumps(said(f"{kind}: inputs")),
    }
    with tracer.start_as_current_span(kind, attributes=written, links=[link]) as span:
        span.add_event("gen_ai.user.message", {"content": said(f"{kind}: event")})
        span.record_exception(RuntimeError(said(f"{kind}: exception")))
        span.set_status(Status(StatusCode.ERROR, said(f"{kind}: status")))

written = {
    "note": said("attribute"),
    "inner": {"id": said("attribute: object")},
    "lines": [said("attribute: list")],
    "name": said("attribute: name"),
    "error.type": said("attribute: type of error"),
}
with mlflow.start_span("root", span_type="AGENT", attributes=written) as root:
    root.set_inputs({"user_msg": said("agent: inputs"), "more": said("agent: more inputs")})
    mlflow.update_current_trace(
        metadata={"m": said("metadata")},
        request_preview=said("request preview"),
        response_preview=said("response preview"),
    )
    with mlflow.start_span("chat", span_type="CHAT_MODEL", attributes={"error.type": said("type")}) as chat:
        asked = {"role": "user", "content": said("message"), "name": said("speaker")}
        chat.set_inputs({
            "model": "m-1", "messages": [asked], "stop": [said("stop")], "user": said("user"),
            "previous_response_id": said("former response"), "encoding_format": said("encoding"),
        })
        answer = {"role": "assistant", "content": said("answer"), "refusal": said("refusal")}
        choice = {"finish_reason": said("finish reason"), "message": answer}
        chat.set_outputs({"id": said("response ID"), "model": "m-1", "choices": [choice]})
        chat.add_event(SpanEvent("event", attributes={"e": said("event")}))
    with mlflow.start_span("search", span_type="RETRIEVER") as search:
        search.set_inputs({"query": said("query")})
        search.set_outputs([{"page_content": said("document"), "metadata": {"x": said("document: metadata")}}])
    with mlflow.start_span("tool", span_type="TOOL") as tool:
        tool.set_inputs({"q": said("arguments")})
        tool.set_outputs({"tool_call_id": said("call ID"), "content": said("result")})
    try:
        with mlflow.start_span("fails"):
            raise ValueError(said("exception"))
    except ValueError:
        pass
    with mlflow.start_span("status") as failed:
        failed.set_status(SpanStatus(SpanStatusCode.ERROR, said("status")))
    if shared:
        scope = {"about": said("scope")}
        others_span(trace.get_tracer("library", "1", attributes=scope), "library")
    root.set_outputs(said("agent: outputs"))
handle.force_flush()
source = AssessmentSource(source_type="HUMAN", source_id="me")
about = {"trace_id": root.trace_id, "source": source}
mlflow.log_feedback(name="a", value=0.5, rationale=said("rationale"), metadata={"x": said("its metadata")}, **about)
mlflow.log_feedback(name="b", value={"a": said("structured value")}, **about)
mlflow.log_feedback(name="c", error=AssessmentError(said("its code"), said("its error"), said("its trace")), **about)
mlflow.log_expectation(name="d", value=said("expectation"), **about)
exporter = mlflow_otel.MlflowSpanExporter()
own = TracerProvider()
own.add_span_processor(SimpleSpanProcessor(exporter))
others_span(own.get_tracer("own"), "exporter")
exporter.force_flush()
handle.force_flush()
mlflow_otel.uninstrument()
body = b"".join(BODIES)
found = [place for n, place in enumerate(PLACES) if f"zqx{n:03d}q".encode() in body]
print(json.dumps({"found": found, "places": PLACES, "failed": body.count(b"_OTHER")}))
"""


@pytest.mark.parametrize("shared", [False, True], ids=["isolated", "shared"])
@pytest.mark.parametrize("versions", ["", "gen_ai_latest_experimental"], ids=["released", "latest"])
def test_nothing_planted_is_sent_as_any_signal(run_app, shared, versions):
    found = run_app(
        APP,
        {
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "false",
            "MLFLOW_OTEL_CONVENTIONS": "genai,openinference,mlflow",
            "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": str(not shared).lower(),
            "OTEL_SEMCONV_STABILITY_OPT_IN": versions,
        },
    )
    assert found["found"] == []
    assert found["failed"]  # what failed is still counted so


def test_all_that_is_planted_can_be_found(run_app):
    found = run_app(
        APP,
        {
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
            "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
        },
    )
    assert found["found"] == found["places"]
