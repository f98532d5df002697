"""What a user looks for, in the real servers, by their own APIs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from mlflow_otel import MlflowSpanExporter, MlflowSpanProcessor, Settings
from mlflow_otel.accounting import Accounting
from tests.backends import servers
from tests.test_chat_example import serve

pytestmark = [pytest.mark.backend, pytest.mark.timeout(400)]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Jaeger, an MLflow server, and a Collector that sends to both."""
    folder = tmp_path_factory.mktemp("servers")
    with (
        servers.jaeger(folder) as (jaeger, jaeger_grpc, _),
        servers.mlflow_server(folder) as mlflow,
    ):
        create = f"{mlflow}/api/2.0/mlflow/experiments/create"
        ids = [
            httpx.post(create, json={"name": name}).json()["experiment_id"]
            for name in ("native", "through-otlp")
        ]
        with servers.collector(folder, jaeger_grpc, mlflow, ids[1]) as (grpc, http):
            yield {
                "jaeger": jaeger, "jaeger_otlp": f"http://127.0.0.1:{jaeger_grpc}", "mlflow": mlflow,
                "native": ids[0], "through": ids[1], "grpc": f"http://127.0.0.1:{grpc}",
                "http": f"http://127.0.0.1:{http}",
            }  # fmt: skip


def jaeger_search(url, service, number, **tags):
    """Search as Jaeger's own UI does; wait until ``number`` traces are found."""
    parameters = {"service": service, "tags": json.dumps(tags), "limit": 100, "lookback": "1h"}
    found = []
    for _ in range(100):
        found = httpx.get(f"{url}/api/traces", params=parameters).json().get("data") or []
        if len(found) >= number:
            break
        time.sleep(0.2)
    return found


@pytest.mark.parametrize(
    ("way", "protocol"), [("jaeger_otlp", "grpc"), ("grpc", "grpc"), ("http", "http/protobuf")]
)
def test_the_examples_traces_are_found_in_jaeger_by_session(stack, tmp_path, way, protocol):
    service = f"chat-{way.replace('_', '-')}"
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack[way], "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_SERVICE_NAME": service,
    }  # fmt: skip
    serve(environ, ["/chat", "/v2/chat"] * 3, tmp_path)
    by_session = jaeger_search(stack["jaeger"], service, 3, **{"session.id": "s-1"})
    assert len(by_session) == 3
    for trace in by_session:
        assert len(trace["spans"]) == 3
        for span in trace["spans"]:
            tags = {tag["key"]: tag["value"] for tag in span["tags"]}
            assert (tags["session.id"], tags["user.id"]) == ("s-1", "u-1")
            assert tags["mlflow.trace.client_request_id"].startswith("req-")
    (by_request,) = jaeger_search(
        stack["jaeger"], service, 1, **{"mlflow.trace.client_request_id": "req-4"}
    )
    names = {span["operationName"] for span in by_request["spans"]}
    assert names == {"chat", "invoke_agent reply", "chat gpt-4o-mini"}
    for tag, value in {"user.id": "u-0", "deployment.environment.name": "production", "mlflow.traceTag.region": "eu-west-1", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": "12"}.items():  # fmt: skip
        assert jaeger_search(stack["jaeger"], service, 1, **{tag: value}), tag


def run_agent(how, **environ):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    # With mlflow-tracing alone and only an experiment's ID set, MLflow 3.17 silently makes no spans.
    python = str(servers.MLFLOW_PYTHON) if how == "native" else sys.executable
    command = [python, str(HERE / "agent_app.py"), how]
    subprocess.run(
        command,
        env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **environ},
        check=True,
        timeout=120,
    )


def stored(stack, experiment):
    """What the server shows of an experiment's traces, read by MLflow's own client."""
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": stack["mlflow"],
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(servers.MLFLOW_PYTHON), str(HERE / "read_traces.py"), stack[experiment]]
    for _ in range(20):
        done = subprocess.run(
            command, env=environ, check=True, capture_output=True, text=True, timeout=120
        )
        traces = [
            t
            for t in json.loads(done.stdout.splitlines()[-1])
            if t["session"] in ("s-1", "s-2") and t["tags"].get("region") is None
        ]
        traces = [t for t in traces if any(s["name"] in ("ask", "fail") for s in t["spans"])]
        if len(traces) == 2:
            return traces
        time.sleep(1)
    raise AssertionError(done.stdout)


def test_through_the_collector_into_mlflow_is_as_if_logged_there_directly(stack):
    run_agent("native", MLFLOW_TRACKING_URI=stack["mlflow"], MLFLOW_EXPERIMENT_ID=stack["native"])
    run_agent(
        "ours", OTEL_EXPORTER_OTLP_ENDPOINT=stack["grpc"], MLFLOW_OTEL_CONVENTIONS="genai,mlflow"
    )
    native, ours = stored(stack, "native"), stored(stack, "through")
    for direct, through in zip(native, ours, strict=True):
        # MLflow's server makes tags of the resource's attributes, which MLflow's own export has not.
        through["tags"] = {
            k: v for k, v in through["tags"].items() if not k.startswith(("service.", "telemetry."))
        }
        for key in direct:
            if key == "request_preview":
                continue  # MLflow 3.17's server derives none for traces that come over OTLP
            assert through[key] == direct[key], key


def test_dual_export_reaches_the_mlflow_server_and_jaeger(stack):
    create = f"{stack['mlflow']}/api/2.0/mlflow/experiments/create"
    experiment = httpx.post(create, json={"name": "dual"}).json()["experiment_id"]
    run_agent(
        "ours",
        MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT="true",
        MLFLOW_TRACKING_URI=stack["mlflow"],
        MLFLOW_EXPERIMENT_NAME="dual",
        OTEL_EXPORTER_OTLP_ENDPOINT=stack["jaeger_otlp"],
        OTEL_SERVICE_NAME="dual",
    )
    traces = stored({**stack, "dual": experiment}, "dual")
    assert [t["session"] for t in traces] == ["s-1", "s-2"]
    found = jaeger_search(stack["jaeger"], "dual", 2, **{"user.id": "u-1"})
    assert sorted(len(trace["spans"]) for trace in found) == [1, 6]


def test_doctor_finds_the_collector_well(stack):
    command = [sys.executable, "-m", "mlflow_otel.cli", "doctor"]
    done = subprocess.run(
        command,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": stack["grpc"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "traces" in done.stdout


def app_with(stack, way, protocol, **environ):
    """An app's provider with the pair on it, and its counters."""
    accounting = Accounting()
    settings = Settings.from_environment(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": stack[way], "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **environ},
        accounting,
    )  # fmt: skip
    exporter = MlflowSpanExporter(settings, accounting=accounting)
    processor = MlflowSpanProcessor(exporter, settings, accounting=accounting)
    resource = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME", "delivery")})
    provider = TracerProvider(shutdown_on_exit=False, resource=resource)
    provider.add_span_processor(processor)
    return provider, processor, accounting


def one_trace(provider, children, size):
    text = os.urandom(size // 2).hex()
    with provider.get_tracer("app").start_as_current_span("root") as root:
        for number in range(children):
            with provider.get_tracer("app").start_as_current_span(f"child-{number}") as child:
                child.set_attribute("text", text)
    return f"{root.get_span_context().trace_id:032x}"


def spans_in_jaeger(stack, trace_id, number):
    found = []
    for _ in range(50):
        answer = httpx.get(f"{stack['jaeger']}/api/traces/{trace_id}").json()
        found = answer["data"][0]["spans"] if answer.get("data") else []
        if len(found) >= number:
            break
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize(
    ("way", "protocol"), [("jaeger_otlp", "grpc"), ("grpc", "grpc"), ("http", "http/protobuf")]
)
def test_real_servers_take_what_is_compressed_here_and_requests_of_megabytes(
    stack, way, protocol, compression
):
    provider, processor, accounting = app_with(
        stack, way, protocol, OTEL_EXPORTER_OTLP_COMPRESSION=compression
    )
    trace_id = one_trace(provider, 799, 12_000)  # 10 MB: requests far beyond HTTP/2's windows
    assert processor.force_flush(60_000)
    provider.shutdown()
    assert accounting.snapshot() == {"exported": 800}
    assert len(spans_in_jaeger(stack, trace_id, 800)) == 800


def test_what_a_real_collector_finds_too_large_is_learned_from(stack):
    provider, processor, accounting = app_with(
        stack, "grpc", "grpc",
        MLFLOW_OTEL_MAX_REQUEST_BYTES="16000000", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2000",
    )  # fmt: skip
    trace_id = one_trace(provider, 400, 20_000)
    assert processor.force_flush(60_000)
    provider.shutdown()
    counted = accounting.snapshot()
    assert counted["exported"] == 401
    assert counted["request_too_large"] >= 1
    assert len(spans_in_jaeger(stack, trace_id, 401)) == 401


def test_what_was_spooled_while_jaeger_was_down_is_found_in_it(tmp_path):
    (port,) = servers.free_ports(1)
    environ = {"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path / "spool")}
    down = {"down": f"http://127.0.0.1:{port}"}
    provider, processor, accounting = app_with(down, "down", "grpc", **environ)
    trace_id = one_trace(provider, 20, 1000)
    assert processor.force_flush(2000) is False
    provider.shutdown()
    assert accounting.snapshot()["spool.written"] == 21
    with servers.jaeger(tmp_path) as (jaeger, grpc, _):
        provider, processor, accounting = app_with(
            {"up": f"http://127.0.0.1:{grpc}"}, "up", "grpc", **environ
        )
        assert len(spans_in_jaeger({"jaeger": jaeger}, trace_id, 21)) == 21
        provider.shutdown()
    assert accounting.snapshot()["recovered.exported"] == 21
