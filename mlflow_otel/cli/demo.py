"""``mlflow-otel demo``: the agent, traced by MLflow, seen by an OTLP receiver in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from typing import Any, Final

from rich.console import Console

from mlflow_otel.cli.live import LiveTraces
from mlflow_otel.cli.receive import Printer
from mlflow_otel.instrumentation import instrument
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter
from mlflow_otel.wording import endpoint

PATIENCE_SECONDS: Final = 10.0
RECEIVE: Final = (
    sys.executable,
    "-m",
    "mlflow_otel",
    "receive",
    "--grpc-port",
    "0",
    "--http-port",
    "0",
    "--quiet",
)
NEXT: Final = """
Next:
  mlflow_otel.instrument()                        the one line, in your own app
  mlflow-otel receive                             see what your app sends
  mlflow-otel ui                                  the same in MLflow's own pages (needs the whole mlflow)
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 mlflow-otel demo    into your own backend
"""


def demo(rounds: int = 1, pause: float = 0.0, *, full: bool = False) -> int:
    """Run the demo; into the backend at ``OTEL_EXPORTER_OTLP_ENDPOINT`` when that is set.

    Args:
        rounds: How many times the agent runs through its conversations.
        pause: Seconds between two of these.
        full: Whether messages are shown whole.
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
    receiver = subprocess.Popen(RECEIVE, stdout=subprocess.PIPE, text=True)  # noqa: S603 (ourselves)
    try:
        assert receiver.stdout is not None  # noqa: S101 (asked for above)
        endpoints = dict(receiver.stdout.readline().split() for _ in range(2))
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoints["grpc"]
        turns = _run(rounds, pause)
        spans = _received(endpoints["http"], "spans", turns)
        logs = _received(endpoints["http"], "logs", 0)
    finally:
        receiver.terminate()
        receiver.wait()
    live, printer = LiveTraces(), Printer(Console(), full=full)
    live.add("traces", spans)
    live.add("logs", logs)
    for found in live.due(everything=True):
        printer.show(found)
    traces = len({span["trace_id"] for span in spans})
    print(f"\n{len(spans)} spans of {traces} traces arrived over OTLP/gRPC, {turns} were made.")
    print(NEXT, end="")
    return 0 if traces == turns else 1


def _run(rounds: int, pause: float) -> int:
    handle = instrument()
    from mlflow_otel.cli import agent  # noqa: PLC0415 (imports MLflow)

    for scorer in (agent.all_steps_ok, agent.tone):
        handle.scorers.start(scorer)
    turns = 0
    for number in range(rounds):
        time.sleep(pause if number else 0)
        turns += agent.run(dual_export=handle.settings.dual_export)
    handle.shutdown()  # now: its receiver goes before the interpreter ends
    return turns


def _received(url: str, records: str, traces: int) -> list[dict[str, Any]]:
    """Return what was received, once the roots of so many traces are there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with urllib.request.urlopen(f"{url}/{records}") as answer:  # noqa: S310 (our own loopback server)
            received: list[dict[str, Any]] = json.load(answer)
        roots = [one for one in received if not one.get("parent_span_id")]
        if len(roots) >= traces or time.monotonic() > deadline:
            return received
        time.sleep(0.1)


def _into_backend(rounds: int, pause: float) -> int:
    turns = _run(rounds, pause)
    handle = instrument()
    counted = handle.stats()
    sent_to = endpoint(handle.settings.traces.endpoint)
    print(f"{turns} traces, {counted.get('exported', 0)} spans sent to {sent_to}.")
    if counted.get("dropped"):
        print(f"{counted['dropped']} spans were dropped: see the warnings above.", file=sys.stderr)
        return 1
    print("Look for service mlflow-otel-demo, or for session.id=s-alice-1.")
    return 0
