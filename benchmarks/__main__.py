"""Run everything, print it, and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import (
    app_thread,
    bridge,
    export,
    feedback,
    growth,
    load,
    measuring,
    scoring,
    start,
    store,
    whole,
)
from benchmarks.sink import Sink

PACKAGES = (
    "mlflow-tracing",
    "mlflow",
    "opentelemetry-sdk",
    "protobuf",
    "grpcio",
    "pycurl",
    "msgspec",
    "isal",
)
INTRODUCTION = """# Results

`make bench` wrote this. Peers take turns within each round; the figures are medians. Ratios hold, absolute
times are this machine's.

"""


def main():
    """Run."""
    parts = [INTRODUCTION, environment(), "\n"]
    with tempfile.TemporaryDirectory() as tmp, Sink() as sink:
        for found in (
            whole.tables(sink),
            start.tables(),
            app_thread.tables(tmp),
            feedback.tables(tmp),
            measuring.tables(),
            scoring.tables(sink),
            export.tables(sink),
            growth.tables(),
            load.tables(sink, tmp),
            bridge.tables(sink, tmp),
            store.tables(tmp),
        ):
            for title, rows in found:
                print(f"\n{title}\n\n{rows}", flush=True)
                parts.append(f"## {title}\n\n{rows}\n")
    (Path(__file__).parent / "RESULTS.md").write_text("".join(parts).rstrip() + "\n")


def environment():
    """Say what was measured on what."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    today = datetime.now(timezone.utc).date()
    return f"{today}, Python {platform.python_version()}, {os.cpu_count()} cores: {', '.join(found)}.\n"


if __name__ == "__main__":
    main()
