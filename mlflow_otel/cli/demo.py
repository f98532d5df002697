"""``mlflow-otel demo``: the agent, traced by MLflow, seen by an OTLP receiver in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from typing import Any

from mlflow_otel.instrumentation import instrument
from mlflow_otel.receiver.tree import render
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter

SPANS = "/spans"
PATIENCE_SECONDS = 10.0


def demo(rounds: int = 1, pause: float = 0.0) -> int:
    """Run the demo; into the backend at ``OTEL_EXPORTER_OTLP_ENDPOINT`` when that is set.

    Args:
        rounds: How many times the agent runs through its conversations.
        pause: Seconds between two of these.
    """
    if not mlflow_adapter.available():
        print(
            f"The demo traces with MLflow, which is not installed: {mlflow_adapter.INSTALL_HINT}.",
            file=sys.stderr,
        )
        return 1
    os.environ.setdefault("OTEL_SERVICE_NAME", "mlflow-otel-demo")
    if Settings.from_environment().traces.configured:
        return _into_backend(rounds, pause)
    command = [
        sys.executable,
        "-m",
        "mlflow_otel.cli",
        "receive",
        "--grpc-port",
        "0",
        "--http-port",
        "0",
        "--quiet",
    ]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 (ourselves)
    try:
        assert receiver.stdout is not None  # noqa: S101 (asked for above)
        endpoints = dict(receiver.stdout.readline().split() for _ in range(2))
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoints["grpc"]
        turns = _run(rounds, pause)
        spans = _received(endpoints["http"], turns)
    finally:
        receiver.terminate()
        receiver.wait()
    print(render(spans))
    traces = len({span["trace_id"] for span in spans})
    print(f"\n{len(spans)} spans of {traces} traces arrived over OTLP/gRPC, {turns} were made.")
    return 0 if traces == turns else 1


def _run(rounds: int, pause: float) -> int:
    handle = instrument()
    from mlflow_otel.cli import agent  # noqa: PLC0415 (imports MLflow)

    turns = 0
    for number in range(rounds):
        time.sleep(pause if number else 0)
        turns += agent.run(dual_export=handle.settings.dual_export)
    handle.shutdown()  # now: its receiver goes before the interpreter ends
    return turns


def _received(endpoint: str, traces: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with urllib.request.urlopen(endpoint + SPANS) as answer:  # noqa: S310 (our own loopback server)
            spans: list[dict[str, Any]] = json.load(answer)
        roots = [span for span in spans if not span["parent_span_id"]]
        if len(roots) >= traces or time.monotonic() > deadline:
            return spans
        time.sleep(0.1)


def _into_backend(rounds: int, pause: float) -> int:
    turns = _run(rounds, pause)
    handle = instrument()
    counted = handle.stats()
    print(
        f"{turns} traces, {counted.get('exported', 0)} spans sent to {handle.settings.traces.endpoint}."
    )
    if counted.get("dropped"):
        print(f"{counted['dropped']} spans were dropped: see the warnings above.", file=sys.stderr)
        return 1
    print("Look for service mlflow-otel-demo, or for session.id=s-alice-1.")
    return 0
