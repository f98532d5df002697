"""What is known of a trace, in the services behind: by the baggage header, on request alone."""

from __future__ import annotations

import contextlib
import json
import sys

import pytest
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mlflow_otel.receiver.server import Receiver
from mlflow_otel.tracing.baggage import TraceBaggage
from tests.conftest import ROOT
from tests.pasted.blocks import blocks
from tests.processes.apps import free_port, get, running

(_export,) = blocks(ROOT / "docs" / "across-services.md")
PASTED = _export.text.strip().removeprefix("export MLFLOW_OTEL_BAGGAGE=")
SAID = {"session.id": "s 1,ü=;", "user.id": "u-1", "mlflow.trace.client_request_id": "req-1"}
TRACE_CONTEXT = TraceContextTextMapPropagator()
BOTH = CompositePropagator([TRACE_CONTEXT, W3CBaggagePropagator()])


@pytest.mark.parametrize("inner", [TRACE_CONTEXT, BOTH], ids=["tracecontext", "with baggage"])
def test_entries_arrive_as_they_were_said_and_the_apps_own_only_where_it_sends_them(inner):
    propagator, headers = TraceBaggage(inner, lambda: SAID), {}
    propagator.inject(headers, baggage.set_baggage("shop", "17", Context()))
    for name in ("baggage", "Baggage"):
        came = baggage.get_all(propagator.extract({name: headers["baggage"]}, Context()))
        if inner is TRACE_CONTEXT:
            assert dict(came) == SAID
        elif name == "baggage":
            assert dict(came) == {**SAID, "shop": "17"}


def test_without_a_trace_nothing_is_added():
    propagator, headers = TraceBaggage(BOTH, dict), {}
    propagator.inject(headers, baggage.set_baggage("shop", "17", Context()))
    assert headers == {"baggage": "shop=17"}


def test_nothing_of_others_is_taken_over_where_baggage_is_not_propagated():
    propagator = TraceBaggage(TRACE_CONTEXT, dict)
    context = propagator.extract({"baggage": "session.id=s-1,shop=17"}, Context())
    assert dict(baggage.get_all(context)) == {"session.id": "s-1"}


HELPERS = """
import json, sys, mlflow, mlflow_otel
from mlflow.tracing import get_tracing_context_headers_for_http_request as headers
from mlflow.tracing import set_tracing_context_from_http_request_headers as taken_over
from opentelemetry import propagate
handle = mlflow_otel.instrument()
with mlflow.start_span("caller"):
    before = headers()
    mlflow.update_current_trace(session_id="s-1", user="u-1", client_request_id="req-1")
    after = headers()
    sent = {}
    propagate.inject(sent)
with taken_over({key.title(): value for key, value in after.items()}):
    with mlflow.start_span("behind"):
        pass
handle.force_flush()
mlflow_otel.uninstrument()
undone = {}
with mlflow.start_span("later"):
    mlflow.update_current_trace(session_id="s-1")
    propagate.inject(undone)
    undone.update(headers())
print(json.dumps([before, after, sent, undone]))
"""


@pytest.mark.parametrize("asked", ["session,request", "none"])
def test_mlflows_helpers_and_any_instrumentation_carry_what_is_known_by_then(
    run_app, receiver, asked
):
    environ = {
        "MLFLOW_OTEL_BAGGAGE": asked,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "MLFLOW_TRACKING_URI": "",
    }
    before, after, sent, undone = run_app(HELPERS, environ)
    wanted = {"session.id=s-1", "mlflow.trace.client_request_id=req-1"}
    wanted = wanted if asked != "none" else {""}
    assert "baggage" not in before
    assert "baggage" not in undone
    for headers in (after, sent):
        assert set(headers.get("baggage", "").split(",")) == wanted
    (behind,) = (s for s in receiver.store.spans() if s["name"] == "behind")
    assert behind["attributes"].get("session.id") == ("s-1" if asked != "none" else None)
    assert "user.id" not in behind["attributes"]


FIRST = """
import fastapi, mlflow, os, requests
app = fastapi.FastAPI()

@app.get("/ask")
def ask():
    with mlflow.start_span("answer"):
        mlflow.update_current_trace(session_id="s-1", user="u-1", client_request_id="req-1")
        return requests.get(os.environ["BEHIND"] + "/look-up", timeout=60).json()
"""
SECOND = """
import fastapi
app = fastapi.FastAPI()

@app.get("/look-up")
def look_up(request: fastapi.Request):
    return request.headers.get("baggage", "")
"""


@pytest.mark.parametrize("shared", [True, False], ids=["shared provider", "MLflow's own provider"])
def test_a_service_without_a_call_of_mlflow_takes_over_session_user_and_request(tmp_path, shared):
    instrument = (sys.prefix + "/bin/opentelemetry-instrument", sys.executable, "-m", "uvicorn")
    ports = free_port(), free_port()
    own_provider = {"first": not shared, "second": False}
    with Receiver() as receiver, contextlib.ExitStack() as stack:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
            "OTEL_TRACES_EXPORTER": "mlflow_otlp",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "MLFLOW_OTEL_BAGGAGE": PASTED,
            "BEHIND": f"http://127.0.0.1:{ports[1]}",
        }
        apps = []
        for name, code, port in zip(("first", "second"), (FIRST, SECOND), ports, strict=True):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "web.py").write_text(code)
            own = {
                "OTEL_SERVICE_NAME": name,
                "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "true" if own_provider[name] else "false",
            }
            command = [*instrument, "--port", str(port), "web:app"]
            apps.append(stack.enter_context(running(command, folder, {**environ, **own})))
        get(apps[1], f"http://127.0.0.1:{ports[1]}/look-up")
        carried = json.loads(get(apps[0], f"http://127.0.0.1:{ports[0]}/ask"))
        for app in apps:
            app.end()
    assert len(carried.split(",")) == 3
    spans = {
        (s["resource"]["service.name"], s["name"]): s["attributes"] for s in receiver.store.spans()
    }
    wanted = {"session.id": "s-1", "user.id": "u-1", "mlflow.trace.client_request_id": "req-1"}
    for place in (("first", "answer"), ("second", "GET /look-up")):
        assert wanted.items() <= spans[place].items(), apps[1].output


def test_the_apps_propagator_is_back_after_uninstrument(run_app):
    code = """
    import json, mlflow_otel
    from opentelemetry import propagate
    before = propagate.get_global_textmap()
    mlflow_otel.instrument()
    between = propagate.get_global_textmap()
    mlflow_otel.uninstrument()
    print(json.dumps([before is between, before is propagate.get_global_textmap()]))
    """
    assert run_app(code, {"MLFLOW_OTEL_BAGGAGE": "user"}) == [False, True]
