"""``instrument()``: each in a process of its own, as an app would."""

from __future__ import annotations

import http.server
import threading

import pytest

HEAD = """
import json, os
import mlflow, mlflow_otel
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
memory = InMemorySpanExporter()
def trace(name):
    with mlflow.start_span(name):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
def show(handle=None):
    (handle or mlflow_otel.instrument()).force_flush()
    print(json.dumps([[s.name, s.attributes.get("session.id")] for s in memory.get_finished_spans()]))
"""

STEPS = {
    "set_tracking_uri": "mlflow.set_tracking_uri('http://127.0.0.1:9')",
    "set_experiment": "mlflow.set_experiment('shop')",
    "set_destination": "from mlflow.entities.trace_location import MlflowExperimentLocation as L; mlflow.tracing.set_destination(L(experiment_id='7'))",
    "reset": "mlflow.tracing.reset()",
    "disable_enable": "mlflow.tracing.disable(); trace('unseen'); mlflow.tracing.enable()",
    "instrument_again": "mlflow_otel.instrument()",
}


@pytest.mark.parametrize("shared", [False, True], ids=["isolated", "shared"])
def test_each_span_leaves_once_after_any_order(run_app, shared):
    code = HEAD + "mlflow_otel.instrument(exporter=memory)\n"
    order = [
        "set_experiment",
        "disable_enable",
        "reset",
        "set_destination",
        "set_tracking_uri",
        "instrument_again",
    ]
    for index, step in enumerate(order):
        code += f"{STEPS[step]}\ntrace('t{index}')\n"
    env = {"MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false"} if shared else {}
    assert run_app(code + "show()", env) == [[f"t{i}", "s"] for i in range(len(order))]


def test_instrument_may_come_after_mlflow_has_traced(run_app):
    code = (
        HEAD
        + "from mlflow.tracing.provider import _get_tracer as built\nmlflow.set_tracking_uri('http://127.0.0.1:9'); built('app')\n"
    )
    code += "mlflow_otel.instrument(exporter=memory); trace('a')\nshow()"
    assert run_app(code) == [["a", "s"]]


def test_without_a_tracking_uri_nothing_is_stored_and_tracing_works(run_app, tmp_path):
    code = (
        HEAD
        + "mlflow_otel.instrument(exporter=memory)\nmlflow.set_experiment('shop')\ntrace('a')\nshow()"
    )
    assert run_app(code) == [["a", "s"]]
    assert {p.name for p in tmp_path.iterdir()} == {"app.py"}


class Server(http.server.BaseHTTPRequestHandler):
    seen: list[str] = []

    def do_GET(self):
        Server.seen.append(self.path)
        self.send_error(500)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def test_no_tracking_server_is_contacted_to_trace(run_app):
    Server.seen.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.server_port}",
        "MLFLOW_EXPERIMENT_ID": "42",
    }
    code = (
        HEAD
        + """
h = mlflow_otel.instrument(exporter=memory)
trace('a')
h.force_flush()
print(json.dumps([s.attributes["mlflow.experiment.id"] for s in memory.get_finished_spans()]))
"""
    )
    assert run_app(code, env) == ["42"]
    server.shutdown()
    assert Server.seen == []


def test_uninstrument_gives_mlflow_its_exporter_back(run_app):
    code = (
        HEAD
        + """
mlflow_otel.instrument(exporter=memory); trace('a'); mlflow_otel.uninstrument()
from mlflow.tracing import provider
provider._initialize_tracer_provider.__module__ == "mlflow.tracing.provider" or exit(3)
mlflow_otel.instrument(exporter=memory)
print(json.dumps([s.name for s in memory.get_finished_spans()]))
"""
    )
    assert run_app(code) == ["a"]


def test_the_experiments_name_is_the_services_name_unless_otel_names_one(run_app):
    code = (
        HEAD
        + """
mlflow_otel.instrument(exporter=memory); trace('a'); mlflow_otel.instrument().force_flush()
(span,) = memory.get_finished_spans()
print(json.dumps([span.resource.attributes[k] for k in ("service.name", "telemetry.sdk.name", "telemetry.distro.name")]
      + [span.instrumentation_scope.name, span.attributes["mlflow.experiment.name"]]))
"""
    )
    env = {"MLFLOW_EXPERIMENT_NAME": "shop"}
    assert run_app(code, env) == ["shop", "opentelemetry", "mlflow-otel", "mlflow_otel", "shop"]
    named = run_app(code, {**env, "OTEL_SERVICE_NAME": "till"})
    assert named[0] == "till"


SHARED = """
import json
import mlflow, mlflow_otel
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
memory = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(memory))
trace.set_tracer_provider(provider)
other = InMemorySpanExporter()
mlflow_otel.instrument(exporter=other)
app = FastAPI()
@app.get("/")
@mlflow.trace(span_type="AGENT")
def ask():
    mlflow.update_current_trace(client_request_id="r", metadata={"mlflow.trace.session": "s", "mlflow.trace.user": "u"})
    return "ok"
FastAPIInstrumentor.instrument_app(app)
mlflow.set_experiment("shop")
assert TestClient(app).get("/").status_code == 200
provider.force_flush()
spans = memory.get_finished_spans()
names = {s.context.span_id: s.name for s in spans}
print(json.dumps([[[s.name, names.get(s.parent.span_id) if s.parent else None, s.attributes.get("session.id"),
    s.attributes.get("mlflow.trace.client_request_id"), s.attributes.get("mlflow.trace.name")] for s in spans],
    len(other.get_finished_spans())]))
"""


def test_mlflows_spans_nest_below_fastapis_and_all_carry_the_session(run_app):
    spans, others = run_app(SHARED, {"MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false"})
    by_name = {span[0]: span for span in spans}
    assert by_name["invoke_agent ask"][1] == "GET /"
    assert all(span[2:4] == ["s", "r"] for span in spans)
    # Trace-level values stand on the server span and on the topmost of MLflow's.
    assert by_name["GET /"][4] is not None
    assert by_name["invoke_agent ask"][4] is not None
    assert sorted(by_name) == ["GET /", "GET / http send", "invoke_agent ask"]
    assert len(spans) == 4  # the server span, its two sends, MLflow's: each once
    assert others == len(spans)  # the app's own exporter sends no OTLP, so ours sends too, once


LATE = """
import json
import mlflow, mlflow_otel
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
ours, theirs = InMemorySpanExporter(), InMemorySpanExporter()
handle = mlflow_otel.instrument(exporter=ours)
EARLY
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(theirs))
trace.set_tracer_provider(provider)
with trace.get_tracer("app").start_as_current_span("first"):
    with mlflow.start_span("inner"):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
with trace.get_tracer("app").start_as_current_span("second"):
    with mlflow.start_span("inner"):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
handle.force_flush()
print(json.dumps([[[s.name, s.attributes.get("session.id")] for s in m.get_finished_spans()] for m in (ours, theirs)]))
"""


@pytest.mark.parametrize(
    "early", ["", "with mlflow.start_span('early'): pass"], ids=["unused", "used"]
)
def test_the_app_may_set_its_global_provider_after_instrument(run_app, early):
    ours, theirs = run_app(
        LATE.replace("EARLY", early), {"MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false"}
    )
    # The first server span had started before MLflow's first span joined the app's provider.
    whole = [["inner", "s"], ["first", "s"], ["inner", "s"], ["second", "s"]]
    assert [s for s in theirs if s[0] != "first"] == [s for s in whole if s[0] != "first"]
    assert [s for s in ours if s[0] not in ("early", "first")] == [
        s for s in whole if s[0] != "first"
    ]
    assert len([s for s in theirs if s[0] == "first"]) == 1


def test_zero_code_finds_us_by_the_entry_points(run_app, receiver, tmp_path):
    import sys
    from pathlib import Path

    code = """
    import mlflow
    with mlflow.start_span("root", span_type="AGENT"):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
    """
    env = {
        "OTEL_TRACES_EXPORTER": "mlflow_otlp",
        "OTEL_TRACES_SAMPLER": "mlflow",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
    }
    wrap = Path(sys.executable).parent / "opentelemetry-instrument"
    run_app(code, env, command=(str(wrap), sys.executable))
    (span,) = receiver.store.spans()
    assert (span["name"], span["attributes"]["session.id"]) == ("invoke_agent root", "s")


def test_dual_export_goes_to_both(run_app, receiver):
    code = """
    import json, mlflow, mlflow_otel
    h = mlflow_otel.instrument()
    from mlflow.tracing import provider
    with mlflow.start_span("root"):
        mlflow.update_current_trace(tags={"team": "a"})
    h.force_flush()
    kinds = [type(p).__name__ for p in provider.provider.get()._active_span_processor._span_processors]
    print(json.dumps(kinds))
    import os; os._exit(0)
    """
    env = {
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "MLFLOW_EXPERIMENT_ID": "0",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
    }
    kinds = run_app(code, env)
    assert kinds == ["MlflowV3SpanProcessor", "MlflowSpanProcessor"]


def test_without_mlflow_one_sentence_says_what_to_install(run_app):
    code = """
    import sys, json, logging
    class Hide:
        def find_spec(self, name, path=None, target=None):
            if name == "mlflow": raise ModuleNotFoundError(name)
    import importlib.util as u
    real = u.find_spec
    u.find_spec = lambda name, *a: None if name == "mlflow" else real(name, *a)
    said = []
    logging.getLogger("mlflow_otel").addHandler(type("H", (logging.Handler,), {"emit": lambda s, r: said.append(r.getMessage())})())
    import mlflow_otel
    handle = mlflow_otel.instrument()
    print(json.dumps([handle.active, said]))
    """
    active, said = run_app(code)
    assert active is False
    assert len(said) == 1
    assert "pip install" in said[0]


PAIR = """
import json
import mlflow, mlflow_otel
from mlflow_otel import MlflowSpanProcessor
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
memory = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(MlflowSpanProcessor(memory))
trace.set_tracer_provider(provider)
mlflow_otel.instrument()
with mlflow.start_span("a"):
    mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
provider.force_flush()
print(json.dumps([[s.name, s.attributes["session.id"]] for s in memory.get_finished_spans()]))
"""


def test_the_pair_in_the_apps_own_provider_is_used_as_it_stands(run_app, receiver):
    env = {
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
    }
    assert run_app(PAIR, env) == [["a", "s"]]
    assert receiver.store.spans() == []


def test_zero_code_in_the_shared_provider_sends_each_span_once(run_app, receiver):
    import sys
    from pathlib import Path

    code = """
    import mlflow
    from opentelemetry import trace
    with trace.get_tracer("app").start_as_current_span("outer"):
        with mlflow.start_span("root", span_type="AGENT"):
            mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
    """
    env = {
        "OTEL_TRACES_EXPORTER": "mlflow_otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
    }
    wrap = Path(sys.executable).parent / "opentelemetry-instrument"
    run_app(code, env, command=(str(wrap), sys.executable))
    found = sorted((s["name"], s["attributes"]["session.id"]) for s in receiver.store.spans())
    assert found == [("invoke_agent root", "s"), ("outer", "s")]


def test_the_console_exporter_prints_mapped_spans(run_app):
    code = """
    import io, json
    import mlflow, mlflow_otel
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter
    out = io.StringIO()
    handle = mlflow_otel.instrument(exporter=ConsoleSpanExporter(out=out))
    with mlflow.start_span("a", span_type="TOOL"):
        pass
    handle.force_flush()
    printed = json.loads(out.getvalue())
    print(json.dumps([printed["name"], printed["attributes"]["gen_ai.operation.name"]]))
    """
    assert run_app(code) == ["execute_tool a", "execute_tool"]


def test_the_stock_otlp_exporters_send_mapped_spans(run_app, receiver):
    code = """
    import mlflow, mlflow_otel
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    handle = mlflow_otel.instrument(exporter=OTLPSpanExporter())
    with mlflow.start_span("a", span_type="TOOL"):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
    handle.force_flush()
    """
    run_app(code, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    (span,) = receiver.store.spans()
    assert (span["name"], span["attributes"]["session.id"]) == ("execute_tool a", "s")


def test_a_trace_of_ten_thousand_spans_arrives_whole(run_app, receiver):
    code = """
    import json, mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    with mlflow.start_span("root"):
        for _ in range(9_999):
            with mlflow.start_span("child"):
                pass
        mlflow.update_current_trace(client_request_id="r")
    handle.force_flush()
    print(json.dumps([handle.stats()["exported"]]))
    """
    assert run_app(code, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}) == [10_000]
    spans = receiver.store.spans()
    assert len({s["span_id"] for s in spans}) == 10_000
    assert {s["attributes"]["mlflow.trace.client_request_id"] for s in spans} == {"r"}
