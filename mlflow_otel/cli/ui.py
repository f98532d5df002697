"""``mlflow-otel ui``: MLflow's own pages, over the traces of a backend or over what comes here by OTLP."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.backends.model import BackendError
from mlflow_otel.backends.received import ReceivedTraces
from mlflow_otel.receiver.listening import listen
from mlflow_otel.receiver.records import attributes
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.store import in_memory, pages_server
from mlflow_otel.store.opening import open_traces

INSTALL: Final = "MLflow's pages need the full package: pip install 'mlflow-otel[mlflow]'"
LOOPBACK: Final = "127.0.0.1"
LOOK_SECONDS: Final = 3.0
"""How long the backend is waited for at the start."""


class Ports(NamedTuple):
    """Where it listens on loopback; 0 for a free port.

    Args:
        pages: MLflow's pages.
        grpc: OTLP/gRPC.
        http: OTLP/HTTP.
    """

    pages: int
    grpc: int
    http: int


def of_backend(backend: str, otlp: str | None, port: int, folder: Path) -> int:
    """Serve the pages over a backend until interrupted.

    Args:
        backend: ``jaeger+http://host:16686`` or ``tempo+http://host:3200``.
        otlp: Where feedback and tags that are added in the pages are sent; None: to
            ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        port: Where to listen; 0 for a free one.
        folder: Where runs, prompts and datasets are kept.
    """
    uri = store_uri(backend, otlp)
    return _serve(uri, port, folder, look=lambda: _look(uri))


def _look(uri: str) -> None:
    """Say so when the backend does not answer: the pages start all the same, since it may start later."""
    try:
        backend = open_traces(uri).backend
    except BackendError:
        return  # what is wrong with the URI is said when MLflow's server opens it
    try:
        backend.services(LOOK_SECONDS)
    except BackendError as error:
        print(f"{error.what}. The pages start, and ask again each time.", file=sys.stderr)
        if error.todo:
            print(f"To do: {error.todo}.", file=sys.stderr)


def of_memory(ports: Ports, max_bytes: int, folder: Path) -> int:
    """Receive OTLP and serve the pages over what came, until interrupted.

    Args:
        ports: Where to listen.
        max_bytes: Of the traces that are kept, as they came.
        folder: Where runs, prompts and datasets are kept.
    """
    received = ReceivedTraces(attributes, max_bytes, lambda: _forgotten(max_bytes))
    try:
        receiver = Receiver(ports.grpc, ports.http, sink=received, pages={})
    except (OSError, RuntimeError) as error:
        print(
            f"Cannot start: {error}. Choose free ports with --grpc-port 0 --http-port 0, or "
            "name the backend that listens there, as in --jaeger http://localhost:16686.",
            file=sys.stderr,
        )
        return 1
    with receiver:
        told = (
            f"Traces are received at {receiver.grpc_endpoint} (gRPC) and {receiver.http_endpoint} "
            "(HTTP), and kept in memory until this ends.\n"
            "Start your app, or an example, in another terminal:\n"
            f"  OTEL_EXPORTER_OTLP_ENDPOINT={receiver.grpc_endpoint} mlflow-otel demo"
        )
        return _serve(in_memory.offer(received), ports.pages, folder, told)


def _forgotten(max_bytes: int) -> None:
    ACCOUNTING.warn(
        "received.forgotten",
        "More than %d MiB of traces came: the oldest are forgotten. Start it with a larger --memory, or "
        "send traces to a backend and name it (--jaeger, --tempo).",
        max_bytes // (1024 * 1024),
    )


def _serve(
    uri: str,
    port: int,
    folder: Path,
    told: str = "",
    look: Callable[[], object] = lambda: None,
) -> int:
    """Serve MLflow's pages on loopback until interrupted.

    Args:
        uri: MLflow's tracking URI of the traces.
        port: Where to listen; 0 for a free one.
        folder: Where runs, prompts and datasets are kept.
        told: What is printed below the address, once it answers.
        look: Is called before the server starts.
    """
    try:
        listener = listen((LOOPBACK, port))
    except OSError as error:
        print(f"Cannot start: {error}. Choose another --port.", file=sys.stderr)
        return 1
    with listener:
        print("MLflow's server is starting ...", file=sys.stderr, flush=True)
        look()
        try:
            import uvicorn  # noqa: PLC0415

            application = pages_server.application(uri, folder.absolute())
        except ImportError as error:
            print(f"{INSTALL} ({error})", file=sys.stderr)
            return 1
        except pages_server.CannotStartError as error:
            print(f"Cannot start: {error}", file=sys.stderr)
            return 1
        config = uvicorn.Config(application, log_level="warning", access_log=False)
        print(f"http://{LOOPBACK}:{listener.getsockname()[1]}", flush=True)
        if told:
            print(told, flush=True)
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
