"""What the tests share: a clean MLflow, spans in memory, receivers, apps in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mlflow_otel.receiver.server import Receiver

ROOT = Path(__file__).parent.parent
PREFIXES = ("OTEL_", "MLFLOW_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def memory():
    return InMemorySpanExporter()


@pytest.fixture
def instrumented(memory, monkeypatch):
    """MLflow instrumented in this process; returns (handle, finished spans)."""
    import mlflow_otel

    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    mlflow_otel.uninstrument()
    handle = mlflow_otel.instrument(exporter=memory)
    yield handle, memory.get_finished_spans
    mlflow_otel.uninstrument()


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def run_app(tmp_path):
    """Run Python code in a process of its own; returns what it printed as JSON, or None."""

    def run(code, env=None, timeout=90, command=(sys.executable,)):
        script = tmp_path / "app.py"
        script.write_text(textwrap.dedent(code))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
        done = subprocess.run(
            [*command, str(script)],
            env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **(env or {})},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        lines = [line for line in done.stdout.splitlines() if line.startswith(("{", "["))]
        return json.loads(lines[-1]) if lines else None

    return run
