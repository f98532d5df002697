"""``mlflow-otel receive``: an OTLP endpoint on loopback that shows what it is sent."""

from __future__ import annotations

import signal
import sys
import threading

from mlflow_otel.receiver.server import Receiver
from mlflow_otel.receiver.tree import render

QUIET_SECONDS = 1.0


def receive(grpc_port: int, http_port: int, *, quiet: bool) -> int:
    """Receive until interrupted; print each trace once nothing more of it came for a second."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        receiver = Receiver(grpc_port, http_port)
    except (OSError, RuntimeError) as error:
        print(
            f"Cannot listen: {error}. Choose free ports with --grpc-port 0 --http-port 0.",
            file=sys.stderr,
        )
        return 1
    with receiver:
        print(f"grpc {receiver.grpc_endpoint}\nhttp {receiver.http_endpoint}", flush=True)
        seen = shown = 0
        while not stop.wait(QUIET_SECONDS):
            spans = receiver.store.spans()
            if len(spans) == seen and seen > shown and not quiet:
                print("\n" + render(spans[shown:]), flush=True)
                shown = seen
            seen = len(spans)
    return 0
