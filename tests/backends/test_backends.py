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
