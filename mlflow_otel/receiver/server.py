"""The OTLP receiver: a gRPC and an HTTP server, on loopback unless told otherwise.

Follows the OTLP specification: ``/v1/traces``, ``/v1/logs`` and ``/v1/metrics`` with protobuf
bodies, gzip or deflate, each at most 64 MiB before and after decompression. ``GET /spans``, ``/logs`` and ``/metrics``
answer what was received as JSON, unless whoever takes it has pages of its own.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from typing_extensions import Self

from mlflow_otel import wording
from mlflow_otel.receiver.listening import shown_host, try_to_listen
from mlflow_otel.receiver.records import READERS, Store

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Of a request, before and after decompression."""
LOOPBACK: Final = "127.0.0.1"
TOO_LARGE: Final = f"larger than {MAX_BODY_BYTES} bytes\n".encode()
SILENCE_SECONDS: Final = 30.0
"""How long an HTTP client may send nothing in the midst of a request."""
WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
"""How zlib is told which of its formats a body is in."""


BUSY_SECONDS: Final = 2
"""How long a client is asked to wait when too much waits here."""
Page: TypeAlias = Callable[[], tuple[int, str, str]]
"""Answers a GET: status, content type, body."""


class TooLargeError(Exception):
    """A body that is larger than the receiver takes."""


class BusyError(Exception):
    """Too much waits here: the client is asked to come again. The message says what waits."""


class Sink(Protocol):
    """Takes what is received."""

    def add(self, signal: str, body: bytes) -> None:
        """Take one request. Called by several threads.

        Args:
            signal: ``traces``, ``logs`` or ``metrics``.
            body: The encoded export request, not compressed.

        Raises:
            DecodeError: It is no OTLP.
            BusyError: It cannot be taken now.
        """
        ...


def decompress(body: bytes, encoding: str, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return a request's body as it was before compression.

    Args:
        body: As it came.
        encoding: ``gzip``, ``deflate``, ``zstd`` (with the extra ``bridge``), or nothing or ``identity``.
        limit: Bytes of the result, at most.

    Raises:
        TooLargeError: It is larger. No more than ``limit`` bytes were made.
        ValueError: The encoding is none of these, or the body is torn.
        zlib.error: The body is not in that format.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding == "zstd":
        return _zstd(body, limit)
    if encoding not in WINDOW_BITS:
        raise ValueError(f"content-encoding {encoding!r} is not gzip, deflate, zstd or identity")
    whole = bytearray()
    while body:  # gzip may have several members
        stream = zlib.decompressobj(WINDOW_BITS[encoding])
        whole += stream.decompress(body, limit + 1 - len(whole))
        if len(whole) > limit or stream.unconsumed_tail:
            raise TooLargeError
        if not stream.eof:
            raise ValueError(f"the {encoding} body is torn")
        body = stream.unused_data
    return bytes(whole)


def _zstd(body: bytes, limit: int) -> bytes:
    try:
        import zstandard  # noqa: PLC0415 (only the bridge's extra brings it)
    except ImportError:
        raise ValueError(
            "content-encoding 'zstd' needs pip install 'mlflow-otel[bridge]'"
        ) from None
    decompressor = zstandard.ZstdDecompressor()
    try:
        # The reader makes no more than it is asked for; what it does not tell is a torn end.
        if len(decompressor.stream_reader(body, read_across_frames=True).read(limit + 1)) > limit:
            raise TooLargeError
        whole = bytearray()
        while body:
            frame = decompressor.decompressobj()
            whole += frame.decompress(body)
            if not frame.eof:
                raise ValueError("the zstd body is torn")
            body = frame.unused_data
    except zstandard.ZstdError as error:
        raise ValueError(f"the body is no zstd: {error}") from error
    return bytes(whole)


class Receiver:
    """Receives OTLP until closed.

    Args:
        grpc_port: The gRPC port; 0 for a free one.
        http_port: The HTTP port; 0 for a free one.
        store: Keeps what comes, where there is no ``sink``.
        sink: Takes what comes instead of ``store``.
        hosts: Where the gRPC and the HTTP server listen.
        pages: What ``GET`` answers, by path; what ``store`` keeps when None.
        tls: Certificate chain and private key, PEM, for both servers; plain when None.
        client_ca: PEM of the CA that clients' certificates must come from (mutual TLS).

    Raises:
        OSError: A port is taken.
    """

    def __init__(
        self,
        grpc_port: int = 0,
        http_port: int = 0,
        store: Store | None = None,
        *,
        sink: Sink | None = None,
        hosts: tuple[str, str] = (LOOPBACK, LOOPBACK),
        pages: Mapping[str, Page] | None = None,
        tls: tuple[str, str] | None = None,
        client_ca: str | None = None,
    ) -> None:
        self.store = Store() if store is None else store
        self._sink = self.store if sink is None else sink
        self.pages = pages_of(self.store) if pages is None else pages
        self._hosts = hosts
        self.headers: list[dict[str, str]] = []
        self._grpc = grpc.server(
            ThreadPoolExecutor(4),
            options=(("grpc.max_receive_message_length", MAX_BODY_BYTES), ("grpc.so_reuseport", 0)),
        )
        self._grpc.add_generic_rpc_handlers((_Services(self),))
        address = f"{shown_host(hosts[0])}:{grpc_port}"
        for place in ((hosts[0], grpc_port), (hosts[1], http_port)):
            try_to_listen(place)
        if tls is None:
            self.grpc_port = self._grpc.add_insecure_port(address)
        else:
            chain, key, root = (_bytes(file) for file in (*tls, client_ca))
            credentials = grpc.ssl_server_credentials([(key, chain)], root, root is not None)
            self.grpc_port = self._grpc.add_secure_port(address, credentials)
        if self.grpc_port == 0:
            raise OSError(f"cannot listen on {address}")
        self._http = _http_server((hosts[1], http_port), _handler(self))
        if tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
            context.load_cert_chain(*tls)
            if client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.http_port = self._http.server_port
        self._scheme = "http" if tls is None else "https"
        self._grpc.start()
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def grpc_endpoint(self) -> str:
        """What ``OTEL_EXPORTER_OTLP_ENDPOINT`` must be for gRPC."""
        return f"{self._scheme}://{shown_host(self._hosts[0])}:{self.grpc_port}"

    @property
    def http_endpoint(self) -> str:
        """What ``OTEL_EXPORTER_OTLP_ENDPOINT`` must be for HTTP/protobuf."""
        return f"{self._scheme}://{shown_host(self._hosts[1])}:{self.http_port}"

    def take(self, signal: str, body: bytes, headers: dict[str, str]) -> None:
        """Take one request; raises ``DecodeError`` when it is no OTLP, ``BusyError`` when too much waits."""
        self.headers.append(headers)
        del self.headers[:-100]
        self._sink.add(signal, body)

    def close(self, grace: float = 0) -> None:
        """Stop both servers.

        Args:
            grace: Seconds that requests under way over gRPC may still take.
        """
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(grace=grace).wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class _Services(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        if not (
            path.startswith("/opentelemetry.proto.collector.") and path.endswith("Service/Export")
        ):
            return None
        signal = {"trace": "traces"}.get(path.split(".")[3], path.split(".")[3])

        def export(body: bytes, context: Any) -> bytes:
            try:
                self._receiver.take(signal, body, dict(context.invocation_metadata()))
            except DecodeError as error:
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, f"not an OTLP {signal} request: {error}"
                )
            except BusyError as error:
                context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            return b""

        return grpc.unary_unary_rpc_method_handler(export)


def pages_of(store: Store) -> dict[str, Page]:
    """Return the pages that show what is kept, as JSON."""

    def page(kept: Callable[[], Any]) -> Page:
        return lambda: (200, "application/json", json.dumps(kept()))

    return {
        "/spans": page(store.spans),
        "/logs": page(store.logs),
        "/metrics": page(store.metrics),
    }


def _http_server(
    address: tuple[str, int], handler: type[BaseHTTPRequestHandler]
) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        daemon_threads = True

    return Server(address, handler)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = SILENCE_SECONDS
        # An answer's body does not wait until its header is acknowledged.
        disable_nagle_algorithm = True

        def log_message(self, *_args: Any) -> None:
            """Say nothing: the terminal is the traces'."""

        def do_GET(self) -> None:
            page = receiver.pages.get(self.path)
            if page is not None:
                status, kind, body = page()
                self._answer(status, body.encode(), kind)
            else:
                shown = ", ".join(receiver.pages)
                self._answer(404, f"POST /v1/traces, or GET {shown}\n".encode())

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "0")
            if not length.isascii() or not length.isdigit() or "transfer-encoding" in self.headers:
                self.close_connection = True
                self._answer(411, b"say the body's length in content-length\n")
                return
            if len(length) > 18 or int(length) > MAX_BODY_BYTES:
                self.close_connection = True  # the body is not read
                self._answer(413, TOO_LARGE)
                return
            body = self.rfile.read(int(length))
            signal = self.path.removeprefix("/v1/")
            if signal not in READERS:
                self._answer(404, b"POST /v1/traces, /v1/logs or /v1/metrics\n")
                return
            if self.headers.get_content_type() != "application/x-protobuf":
                self._answer(415, b"send application/x-protobuf\n")
                return
            try:
                encoding = self.headers.get("content-encoding", "").strip().lower()
                body = decompress(body, encoding)
                receiver.take(signal, body, {k.lower(): v for k, v in self.headers.items()})
            except TooLargeError:
                self._answer(413, TOO_LARGE)
            except BusyError as error:
                self._answer(503, f"{error}\n".encode(), **{"retry-after": str(BUSY_SECONDS)})
            except Exception as error:
                said = wording.server_text(str(error))
                self._answer(400, f"not an OTLP {signal} request: {said}\n".encode())
            else:
                self._answer(200, b"", "application/x-protobuf")

        def _answer(
            self, status: int, body: bytes, kind: str = "text/plain", **headers: str
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            for name, said in headers.items():
                self.send_header(name, said)
            if self.close_connection:
                self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _bytes(file: str | None) -> bytes | None:
    if file is None:
        return None
    with open(file, "rb") as opened:  # noqa: PTH123
        return opened.read()
