"""``mlflow-otel ui``: MLflow's own pages over the traces of a backend."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mlflow_otel.store import pages_server

INSTALL: Final = "MLflow's pages need the full package: pip install 'mlflow-otel[mlflow]'"
LOOPBACK: Final = "127.0.0.1"


def ui(backend: str, otlp: str | None, port: int, folder: Path) -> int:
    """Serve MLflow's pages on loopback until interrupted.

    Args:
        backend: ``jaeger+http://host:16686`` or ``tempo+http://host:3200``.
        otlp: Where feedback and tags that are added in the pages are sent; None: to
            ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        port: Where to listen; 0 for a free one.
        folder: Where runs, prompts and datasets are kept.
    """
    try:
        listener = socket.create_server((LOOPBACK, port), backlog=128)
    except OSError as error:
        print(
            f"Cannot listen on {LOOPBACK}:{port} ({error}). Choose another --port.", file=sys.stderr
        )
        return 1
    with listener:
        print("MLflow's server is starting ...", file=sys.stderr, flush=True)
        try:
            import uvicorn  # noqa: PLC0415

            application = pages_server.application(store_uri(backend, otlp), folder.absolute())
        except ImportError as error:
            print(f"{INSTALL} ({error})", file=sys.stderr)
            return 1
        except pages_server.CannotStartError as error:
            print(f"Cannot start: {error}", file=sys.stderr)
            return 1
        config = uvicorn.Config(application, log_level="warning", access_log=False)
        print(f"http://{LOOPBACK}:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def store_uri(backend: str, otlp: str | None) -> str:
    """Return MLflow's tracking URI of a backend.

    Args:
        backend: As ``MLFLOW_OTEL_TRACE_LOOKUP`` names one: ``jaeger+http://host:16686``.
        otlp: Where changes are sent, or None.
    """
    kind, _, url = backend.partition("+")
    scheme, _, place = url.partition("://")
    secure = "+https" if scheme == "https" else ""
    joint = "&" if "?" in place else "?"
    sent = f"{joint}otlp={quote(otlp, safe='')}" if otlp else ""
    return f"otel+{kind}{secure}://{place.rstrip('/')}{sent}"
