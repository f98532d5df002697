"""MLflow's autologging for libraries with a tracer of their own, in the provider that MLflow shares.

MLflow's own processors run here; the spans are written by hand as those libraries write them. The
libraries themselves run in ``tests/backends/test_forwarding.py``.
"""

from __future__ import annotations

import pytest

SHARED = {
    "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
}

APP = """
import importlib, json
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import mlflow, mlflow_otel
strands = importlib.import_module("mlflow.strands.autolog")

sent, apps, heard = InMemorySpanExporter(), InMemorySpanExporter(), []

class Hears(SpanProcessor):
    def on_start(self, span, parent_context=None): heard.append(["start", span.name])
    def on_end(self, span): heard.append(["end", span.name])

def app():
    provider = TracerProvider()
    provider.add_span_processor(Hears())
    provider.add_span_processor(SimpleSpanProcessor(apps))
    trace.set_tracer_provider(provider)

def autolog():
    strands.setup_strands_tracing()

class Another(strands.StrandsSpanProcessor):
    __module__ = strands.__name__  # as another library's, which forwards in the same way

def another():
    trace.get_tracer_provider().add_span_processor(Another())

def instrument():
    mlflow_otel.instrument(exporter=sent)

def work():
    tracer = trace.get_tracer("strands.telemetry.tracer")
    with tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}) as agent:
        agent.add_event("gen_ai.user.message", {"content": json.dumps([{"text": "Which knot?"}])})
        with tracer.start_as_current_span("execute_tool", attributes={"gen_ai.operation.name": "execute_tool"}) as tool:
            tool.add_event("gen_ai.tool.message", {"content": json.dumps({"knot": "Tie it."})})
            tool.add_event("gen_ai.choice", {"message": json.dumps("It is tied.")})
            with mlflow.start_span("ours") as span:
                span.set_outputs("MLflow's own")
        agent.add_event("gen_ai.choice", {"message": json.dumps("A bowline.")})

WORDS = ["Which knot?", "A bowline.", "Tie it.", "It is tied.", "MLflow's own"]

def seen(memory):
    spans = memory.get_finished_spans()
    texts = [str([v for k, v in span.attributes.items() if not k.startswith("mlflow.trace")]) for span in spans]
    return [[s.name, s.attributes["mlflow.spanType"], [w for w in WORDS if w in text]] for s, text in zip(spans, texts)]

def show():
    mlflow_otel.instrument().force_flush()
    print(json.dumps([seen(sent), seen(apps), heard]))
"""

WHOLE = [
    ["ours", "UNKNOWN", ["MLflow's own"]],
    ["execute_tool", "TOOL", ["Tie it.", "It is tied."]],
    ["invoke_agent", "AGENT", ["Which knot?", "A bowline."]],
]
HEARD = [
    *(["start", name] for name in ("invoke_agent", "execute_tool", "ours")),
    *(["end", name] for name in ("ours", "execute_tool", "invoke_agent")),
]


@pytest.mark.parametrize(
    "order",
    [
        "app autolog instrument work",
        "app instrument autolog work",
        "autolog instrument work",
        "instrument autolog work",
        "app autolog another instrument work",
        "app instrument autolog another work",
        "autolog instrument another work",
    ],
)
def test_each_span_leaves_once_and_annotated(run_app, order):
    calls = "".join(f"{step}()\n" for step in order.split())
    sent, apps, heard = run_app(APP + calls + "show()", SHARED)
    assert sent == WHOLE
    if "app" in order:
        assert apps == WHOLE
        assert heard == HEARD


def test_autologging_that_came_later_stays_when_we_leave(run_app):
    code = (
        APP
        + """
app(); instrument(); autolog(); work()
mlflow_otel.uninstrument()
print(json.dumps([type(p).__name__ for p in trace.get_tracer_provider()._active_span_processor._span_processors]))
"""
    )
    assert run_app(code, SHARED) == ["Hears", "SimpleSpanProcessor", "StrandsSpanProcessor"]


def test_beside_mlflows_own_export_each_span_leaves_once_and_annotated(run_app):
    environ = {
        **SHARED,
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "true"}
    code = (
        APP
        + """
import os
app(); autolog(); instrument()
standing = [type(p).__name__ for p in trace.get_tracer_provider()._active_span_processor._span_processors]
work()
mlflow_otel.instrument().force_flush()
print(json.dumps([standing, seen(sent)]), flush=True)
os._exit(0)  # MLflow's own export would go on trying
"""
    )
    standing, sent = run_app(code, environ)
    assert "MlflowV3SpanProcessor" in standing
    assert sent == WHOLE
