"""Draws docs/pictures/terminal.svg: what `mlflow-otel demo` shows, of two of its traces."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from mlflow_otel.cli.live import LiveTraces
from mlflow_otel.cli.receive import Printer
from mlflow_otel.receiver.server import Receiver

PICTURE: Final = Path(__file__).with_suffix(".svg")
SHOWN: Final = (
    "req-2",
    "req-3",
)  # with tools, one of which fails; a user liked one and not the other
WIDTH: Final = 118
FONTS: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""rich loads its font from a server of others; without it the reader's own monospaced font is used."""


def received() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run the demo into a receiver; return the spans and log records that arrived."""
    with Receiver() as receiver:
        subprocess.run(
            [sys.executable, "-m", "mlflow_otel", "demo"],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return receiver.store.spans(), receiver.store.logs()


def drawn() -> str:
    """Return the picture."""
    spans, logs = received()
    shown = {
        span["trace_id"]
        for span in spans
        if span["attributes"].get("mlflow.trace.client_request_id") in SHOWN
    }
    live = LiveTraces()
    live.add("traces", [span for span in spans if span["trace_id"] in shown])
    live.add("logs", [log for log in logs if log["trace_id"] in shown])
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    printer = Printer(console)
    for found in live.due(everything=True):
        printer.show(found)
    return FONTS.sub("", console.export_svg(title="mlflow-otel demo"))


if __name__ == "__main__":
    PICTURE.write_text(drawn())
