"""The bridge as a process: both servers in one event loop, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import uvicorn

from mlflow_otel.bridge.access import Access
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.grpc_server import make_server
from mlflow_otel.bridge.http import HttpFace
from mlflow_otel.bridge.mlflow_api import Api
from mlflow_otel.bridge.slow_headers import limited
from mlflow_otel.bridge.way_in import WayIn
from mlflow_otel.receiver.listening import listen, shown_host, try_to_listen

MAX_CONNECTIONS: Final = 2000
KEEP_ALIVE_SECONDS: Final = 75
"""How long an idle connection stays: longer than clients pause, since not all of them try again."""
HEADER_SECONDS: Final = 30.0
"""How long a client may take to send its header lines."""
REQUESTS_SECONDS: Final = 5
"""How long requests under way may take when the bridge ends."""


@dataclass(frozen=True)
class Addresses:
    """Where to listen.

    Args:
        grpc: Host and port; 0 for a free one.
        http: The same.
        certificate: Certificate chain, a PEM file, for both; None: no TLS.
        key: Its private key, a PEM file.
        client_ca: PEM file of the CA that clients' certificates must come from.
    """

    grpc: tuple[str, int]
    http: tuple[str, int]
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn raises them again when it ends, before anything is drained."""
        yield


async def serve(
    intake: WayIn,
    addresses: Addresses,
    access: Access,
    feedback: Feedback,
    api: Api,
    started: Callable[[str, str], None],
) -> None:
    """Listen until SIGINT or SIGTERM; then take no more, and let what is under way end.

    Args:
        intake: Takes what comes. It is not closed here.
        addresses: Where.
        access: Who may send.
        feedback: Takes assessments.
        api: Answers MLflow's clients.
        started: Called with both endpoints once they listen.

    Raises:
        OSError: A port is taken, or a certificate cannot be read.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    face = HttpFace(intake, api, feedback, access)
    scheme = "http" if addresses.certificate is None else "https"
    with listen(addresses.http) as listener:
        over_grpc = make_server(intake, api, feedback, access)
        grpc_port = _add_port(over_grpc, addresses)
        over_http = _Server(_config(face, addresses))
        await over_grpc.start()
        serving = asyncio.create_task(over_http.serve(sockets=[listener]))
        started(
            f"{scheme}://{shown_host(addresses.grpc[0])}:{grpc_port}",
            f"{scheme}://{shown_host(addresses.http[0])}:{listener.getsockname()[1]}",
        )
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        face.stopping = True
        over_http.should_exit = True
        await asyncio.gather(over_grpc.stop(REQUESTS_SECONDS), serving)


def _config(face: HttpFace, addresses: Addresses) -> uvicorn.Config:
    return uvicorn.Config(
        face.application(),
        http=limited(HEADER_SECONDS),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=REQUESTS_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ssl_certfile=addresses.certificate,
        ssl_keyfile=addresses.key,
        ssl_ca_certs=addresses.client_ca,
        ssl_cert_reqs=ssl.CERT_NONE if addresses.client_ca is None else ssl.CERT_REQUIRED,
    )


def _add_port(server: Any, addresses: Addresses) -> int:
    host, port = addresses.grpc
    where = f"{shown_host(host)}:{port}"
    try_to_listen(addresses.grpc)
    try:
        if addresses.certificate is None:
            found = server.add_insecure_port(where)
        else:
            key, chain, root = (
                _read(file) for file in (addresses.key, addresses.certificate, addresses.client_ca)
            )
            secure = grpc.ssl_server_credentials([(key, chain)], root, root is not None)
            found = server.add_secure_port(where, secure)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {where}: gRPC does not take it") from error
    return int(found)


def _read(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()
