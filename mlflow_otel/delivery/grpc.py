"""OTLP over gRPC: unary calls on kept-alive HTTP/2 connections, bodies as bytes.

Follows https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, and the OTLP specification
for what is tried again.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import threading
import time
import zlib
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from mlflow_otel.delivery.http2 import Answer, Connection, Headers, UnansweredError, target_of
from mlflow_otel.delivery.retry import STATUS_DETAILS, retry_info, says_too_large
from mlflow_otel.delivery.transport import SERVICE_METHODS, USER_AGENT, Outcome
from mlflow_otel.settings import OtlpSettings, Signal
from mlflow_otel.version import __version__

CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
RETRYABLE: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
"""The OTLP specification's table; RESOURCE_EXHAUSTED is retryable only with RetryInfo."""
MAYBE_TOO_LARGE: Final = frozenset({"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"})

HTTP_STATUS: Final = {
    "400": "INTERNAL", "401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED", "404": "UNIMPLEMENTED",
    "429": "UNAVAILABLE", "502": "UNAVAILABLE", "503": "UNAVAILABLE", "504": "UNAVAILABLE",
}  # fmt: skip
"""What a status says that a proxy answered in the server's place (gRPC's own table)."""
RESETS: Final = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}  # fmt: skip
"""HTTP/2's error codes, likewise; any other is INTERNAL."""

DECOMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}
IDLE_SECONDS: Final = 60.0  # longer unused, a load balancer may have let go of it without a word


class GrpcTransport:
    """A channel to one endpoint: a connection for each call under way, kept for the next.

    Args:
        signal: Whose service is called.
        settings: Endpoint, TLS files, headers, compression.

    Raises:
        ValueError: The endpoint names no host.
        OSError: A certificate or key file cannot be read.
    """

    def __init__(self, signal: Signal, settings: OtlpSettings) -> None:
        self._target = target_of(settings)
        encoding = settings.compression
        compressed = (("grpc-encoding", encoding),) if encoding != "none" else ()
        self._flag = bytes([encoding != "none"])
        self._headers: Headers = (
            (":method", "POST"),
            (":scheme", "https" if self._target.tls else "http"),
            (":path", SERVICE_METHODS[signal]),
            (":authority", self._target.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", f"{USER_AGENT}/{__version__}"),
            ("grpc-accept-encoding", "identity,deflate,gzip"),
            *compressed,
            *settings.headers,
        )
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._closed = False

    def send(self, request: bytes, timeout: float) -> Outcome:
        """Send one request, compressed as the settings say, and wait at most ``timeout`` seconds."""
        until = time.monotonic() + timeout
        headers = (*self._headers, ("grpc-timeout", f"{max(int(timeout * 1000), 1)}m"))
        message = b"".join((self._flag, len(request).to_bytes(4, "big"), request))
        connection = None
        try:
            connection, kept = self._take(until)
            try:
                answer = connection.call(headers, message, until)
            except (UnansweredError, ConnectionError):
                # A connection that was kept may have ended unseen: not the server's refusal.
                if not kept or self._closed:
                    raise
                self._let_go(connection)
                connection, _ = self._take(until, fresh=True)
                answer = connection.call(headers, message, until)
        except TimeoutError:
            self._let_go(connection)
            return Outcome("retryable", "DEADLINE_EXCEEDED", f"no answer within {timeout:g} s")
        except UnansweredError as error:
            self._let_go(connection)
            code = "UNAVAILABLE" if error.reset is None else RESETS.get(error.reset, "INTERNAL")
            return _failed(code, str(error), None)
        except OSError as error:
            self._let_go(connection)
            return Outcome("retryable", "UNAVAILABLE", f"{type(error).__name__}: {error}")
        except Exception as error:
            self._let_go(connection)
            return Outcome("rejected", type(error).__name__, str(error))
        self._give_back(connection)
        return _outcome(answer)

    def _take(self, until: float, *, fresh: bool = False) -> tuple[Connection, bool]:
        while not fresh:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                break
            if time.monotonic() - kept.used_at < IDLE_SECONDS and kept.usable():
                with self._lock:
                    self._busy.add(kept)
                return kept, True
            kept.close()
        if self._closed:
            raise ConnectionError("the exporter is shut down")
        made = Connection(self._target, until)
        with self._lock:
            self._busy.add(made)
        return made, False

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            self._busy.discard(connection)
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _let_go(self, connection: Connection | None) -> None:
        if connection is not None:
            with self._lock:
                self._busy.discard(connection)
            connection.close()

    def close(self) -> None:
        """Close every connection; calls under way end."""
        with self._lock:
            self._closed = True
            connections = [*self._idle, *self._busy]
            self._idle = []
        for connection in connections:
            connection.close()


def open_transport(signal: Signal, settings: OtlpSettings, _connections: int) -> GrpcTransport:
    """Return the transport; it opens connections as they are needed."""
    return GrpcTransport(signal, settings)


def _outcome(answer: Answer) -> Outcome:
    headers = answer.headers
    said = unquote(headers.get("grpc-message", ""))
    number = headers.get("grpc-status", "")
    if not number.isdigit():
        status = headers.get(":status", "")
        return _failed(HTTP_STATUS.get(status, "UNKNOWN"), f"HTTP status {status}", None)
    if int(number) == 0:
        return Outcome("accepted", "OK", response=_message(answer))
    code = CODES[int(number)] if int(number) < len(CODES) else "UNKNOWN"
    return _failed(code, said, headers.get(STATUS_DETAILS))


def _message(answer: Answer) -> bytes:
    """Return the answer's one message; what cannot be read is none, since it was accepted."""
    body = bytes(answer.body[5:])
    if answer.body[:1] != b"\x01":
        return body
    try:
        return DECOMPRESS[answer.headers.get("grpc-encoding", "")](body)
    except (KeyError, OSError, EOFError, zlib.error):
        return b""


def _failed(code: str, said: str, details: str | None) -> Outcome:
    if code in MAYBE_TOO_LARGE and says_too_large(said):
        return Outcome("rejected", code, said, too_large=True)
    asked = retry_info(_binary(details)) if details else None
    retryable = asked is not None if code == "RESOURCE_EXHAUSTED" else code in RETRYABLE
    return Outcome("retryable" if retryable else "rejected", code, said, retry_after=asked)


def _binary(header: str) -> bytes:
    """Decode a ``-bin`` header, with or without padding."""
    try:
        return base64.b64decode(header + "=" * (-len(header) % 4))
    except (binascii.Error, ValueError):
        return b""
