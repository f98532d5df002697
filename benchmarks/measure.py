"""How everything here is measured: peers in turn, round after round, the median of each."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
OWN = ("OTEL_", "MLFLOW_")

Row = Sequence[str]


def in_turn(peers: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return each peer's median over ``rounds``, the peers taking turns within each."""
    found: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, run in peers.items():
            gc.collect()
            found[name].append(run())
    return {name: statistics.median(values) for name, values in found.items()}


def in_process(code: str, environ: Mapping[str, str], timeout: float = 300) -> str:
    """Run Python code in a process of its own; return the last line it printed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout.strip().splitlines()[-1]


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def ratio(ours: float, theirs: float) -> str:
    """Say how many times less ours is."""
    return f"1/{theirs / ours:.1f}" if ours else "—"
