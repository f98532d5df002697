"""``mlflow-otel pull`` from a real MLflow tracking server into the real Jaeger."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import httpx
import pytest

from mlflow_otel.backends.jaeger import JaegerBackend
from mlflow_otel.backends.model import TraceQuery
from mlflow_otel.store.rebuild import stored_trace
from tests.backends import servers
from tests.bridge.parts import info_body
from tests.conftest import PREFIXES, ROOT

pytestmark = [pytest.mark.backend, pytest.mark.timeout(600)]
PLACE = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
KEPT = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}


def app(name, server, *arguments):
    done = subprocess.run(
        [str(servers.MLFLOW_PYTHON), str(ROOT / "tests" / name), *arguments],
        env={
            **KEPT,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": server,
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def command(server, *arguments):
    return [sys.executable, "-m", "mlflow_otel", "pull", server, *arguments]


def traces(jaeger):
    """The traces that Jaeger has, as MLflow knows them, by their first span's name and start."""
    window = jaeger.window(TraceQuery((), 0, time.time_ns() + 10**12, (), 100), 60)
    return {trace.summary.trace_id: stored_trace(trace) for trace in window.traces}


def until(ask, seconds=90):
    ends = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < ends:
        time.sleep(0.3)
    return found


def test_a_server_is_pulled_once_and_followed(tmp_path):
    with servers.mlflow_server(tmp_path) as server, servers.jaeger(tmp_path) as (url, grpc, _):
        jaeger = JaegerBackend(url)
        env = {
            **KEPT,
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}",
        }
        asking = {**env, "MLFLOW_OTEL_TRACE_LOOKUP": f"jaeger+{url}"}

        def pull(*arguments, environ=env):
            done = subprocess.run(
                command(server, *arguments),
                env=environ,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            assert done.returncode == 0, done.stderr + done.stdout
            return done.stdout

        app("bridge/reading_app.py", server)
        file = ["--checkpoint", str(tmp_path / "pulled.jsonl")]
        assert "3 traces: 3 would be sent" in pull(*file, "--dry-run")
        assert "0 traces" in pull("--experiment", "Default", "--dry-run")
        assert traces(jaeger) == {}
        assert "3 traces: 3 sent" in pull(*file)
        assert until(lambda: len(traces(jaeger)) == 3)
        found = traces(jaeger)
        one = next(t for t in found.values() if t.client_request_id == "one")
        assert {span.name for span in one.spans} == {"agent", "chat"}
        assert one.metadata["mlflow.trace.session"] == "s-1"
        assert (one.tags.get("late"), one.tags.get("env")) == ("1", None)
        assert until(lambda: len(traces(jaeger)[one.otel_trace_id].assessments) == 3)
        said = traces(jaeger)[one.otel_trace_id].assessments
        assert [(a.name, a.value, a.valid is not False) for a in said] == [
            ("good", 0.5, False),
            ("good", True, True),
            ("answer", {"a": [1, 2]}, True),
        ]
        failed = next(t for t in found.values() if t.client_request_id == "fail")
        assert failed.state == "ERROR"
        assert "3 sent before" in pull(*file), "the checkpoint knows them"
        assert "3 sent before" in pull(environ=asking), "Jaeger is asked"
        following = subprocess.Popen(
            command(server, *file, "--follow", "--every", "1"),
            env=asking,
            stdout=subprocess.DEVNULL,
        )
        try:
            app("backends/pulled_app.py", server, one.trace_id)

            def seen():
                now = traces(jaeger)
                changed = now[one.otel_trace_id]
                names = [a.name for a in changed.assessments]
                return (
                    len(now) == 4 and changed.tags.get("changed") == "yes" and "afterwards" in names
                )

            assert until(seen)
        finally:
            following.terminate()
            following.wait(60)
        assert "4 sent before" in pull(*file)
        assert len(traces(jaeger)[one.otel_trace_id].assessments) == 4


def test_traces_that_the_server_cannot_give_keep_no_others_back(tmp_path):
    location = "mlflow.trace.spansLocation"
    odd = [{}, {location: "ARTIFACT_REPO"}, {location: "ARCHIVE_REPO"}]
    with servers.mlflow_server(tmp_path) as server, servers.jaeger(tmp_path) as (url, grpc, _):
        with httpx.Client(base_url=server, timeout=60) as client:
            for number, tags in enumerate(odd, start=1):
                body = info_body(number, request_time="2026-01-01T00:00:00Z")
                said = body["trace"]["trace_info"]
                said.update(tags=tags, trace_location=PLACE)
                client.post("/api/3.0/mlflow/traces", json=body).raise_for_status()
        app("bridge/reading_app.py", server)
        done = subprocess.run(
            command(server),
            env={
                **KEPT,
                "PYTHONPATH": str(ROOT),
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "6 traces: 3 sent" in done.stdout, done.stderr + done.stdout
        assert "3 not readable" in done.stdout
        assert done.returncode == 1
        assert until(lambda: len(traces(JaegerBackend(url))) == 3)
