"""CPU of the whole process, a span of the agent's trace, everything at its defaults: ours and the others."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.measure import OWN, ROOT, in_turn, table
from benchmarks.peer import TRACES

ROUNDS = int(os.environ.get("MLFLOW_OTEL_BENCH_ROUNDS", "15"))
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
"""The environment of ``peers.txt``; without it, those rows are left out."""


class Peer(NamedTuple):
    """Who is measured.

    Args:
        name: In ``benchmarks.peer``.
        environ: What differs from the defaults.
        python: The interpreter.
    """

    name: str
    environ: dict[str, str]
    python: str = sys.executable


BESIDE = "MLflow's own OTLP export"


def peers():
    """Return who is measured, by its row's name."""
    # MLflow's own export wants a tracking URI. A server's is the cheapest: nothing is asked of it, while a
    # database is looked up for each span; with an endpoint for metrics, an experiment would be.
    store = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    found = {
        BESIDE: Peer("mlflow", store),
        "the same with its GenAI translation": Peer(
            "mlflow", {**store, "MLFLOW_ENABLE_OTEL_GENAI_SEMCONV": "true"}
        ),
        "mlflow-otel": Peer("ours", {}),
        "mlflow-otel, without metrics": Peer("ours", {"MLFLOW_OTEL_METRICS": "false"}),
        "bare OpenTelemetry SDK, attributes by hand": Peer("opentelemetry", {}),
    }
    if PEERS_PYTHON.exists():
        found["Langfuse's SDK"] = Peer("langfuse", {}, str(PEERS_PYTHON))
        found["Logfire's SDK"] = Peer("logfire", {}, str(PEERS_PYTHON))
    return found


class Process:
    """A peer's process.

    Args:
        peer: Who.
        sink: Takes what it sends.
    """

    def __init__(self, peer, sink):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
        endpoint = sink.endpoint("http/protobuf")
        self.sink = sink
        self.process = subprocess.Popen(
            [peer.python, "-m", "benchmarks.peer", peer.name],
            env={
                **clean,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "PYTHONPATH": str(ROOT),
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{endpoint}/v1/traces",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                **peer.environ,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.run()  # what the first spans cost is another matter

    def run(self):
        """Return one round's µs a span. All of its spans must arrive."""
        before = self.sink.taken()
        print(file=self.process.stdin, flush=True)
        cost = float(self.process.stdout.readline())
        came = self.sink.taken() - before
        assert came == TRACES * 8, (self.process.args, came)
        return cost

    def close(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def tables(sink):
    """Yield the table."""
    with ExitStack() as stack:
        runs = {}
        for name, peer in peers().items():
            process = Process(peer, sink)
            stack.callback(process.close)
            runs[name] = process.run
        found = in_turn(runs, ROUNDS)
    rows = [
        [name, f"{cost:.0f}", f"{cost / found[BESIDE]:.2f}"]
        for name, cost in sorted(found.items(), key=lambda row: row[1])
    ]
    yield (
        "Whole process, CPU per span of the 8-span agent trace, all defaults, OTLP over HTTP",
        table(["", "µs/span", "of MLflow's own export"], rows),
    )
