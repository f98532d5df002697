"""OTLP over gRPC: unary calls over HTTP/2, bodies as bytes.

Follows https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, and the OTLP specification
for what is tried again.

Why not gRPC's own library: it compresses at zlib's level 6 and takes no bytes that are compressed
already, its threads do not survive a ``fork``, and a call in a gevent app blocks the whole app.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import unquote

from mlflow_otel.delivery.compress import decompress
from mlflow_otel.delivery.curl import ANSWER_BYTES, Answer, Client
from mlflow_otel.delivery.destination import grpc_destination
from mlflow_otel.delivery.retry import STATUS_DETAILS, retry_info, says_too_large
from mlflow_otel.delivery.transport import USER_AGENT, Outcome
from mlflow_otel.settings import OtlpSettings, Signal
from mlflow_otel.wording import server_text

SERVICE_METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
STATUS: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
RETRYABLE: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
"""The OTLP specification's table; RESOURCE_EXHAUSTED is retryable only with RetryInfo."""
MAYBE_TOO_LARGE: Final = frozenset({"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"})

HTTP_STATUS: Final = {
    400: "INTERNAL",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    429: "UNAVAILABLE",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}
"""What a status says that a proxy answered in the server's place (gRPC's own table)."""

MAX_GRPC_TIMEOUT: Final = 99_999_999  # eight digits, by the protocol
NOT_HTTP2: Final = "what listens there speaks no HTTP/2, or went: TLS, or http/protobuf, perhaps"


class GrpcTransport:
    """Calls to one endpoint's service.

    Args:
        signal: Whose service is called.
        settings: Endpoint, TLS files, headers, compression.

    Raises:
        ValueError: The endpoint names no host.
    """

    def __init__(self, signal: Signal, settings: OtlpSettings) -> None:
        destination = grpc_destination(settings, SERVICE_METHODS[signal])
        encoding = settings.compression
        compressed = (("grpc-encoding", encoding),) if encoding != "none" else ()
        self._flag = bytes([encoding != "none"])
        self._secrets = destination.secrets(settings.endpoint)
        self._client = Client(
            destination,
            http2=True,
            headers=(
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", USER_AGENT),
                ("grpc-accept-encoding", "identity,deflate,gzip"),
                *compressed,
            ),
        )

    def send(self, request: bytes, timeout: float) -> Outcome:
        """Send one request, compressed as the settings say, and wait at most ``timeout`` seconds."""
        message = b"".join((self._flag, len(request).to_bytes(4, "big"), request))
        milliseconds = max(min(int(timeout * 1000), MAX_GRPC_TIMEOUT), 1)
        try:
            answer = self._client.post(message, timeout, (("grpc-timeout", f"{milliseconds}m"),))
            return outcome_of(answer, self._secrets)
        except Exception as error:  # nothing is known of the request: it may be tried again
            said = server_text(str(error), self._secrets)
            return Outcome("retryable", type(error).__name__, said, reason="network")

    def close(self) -> None:
        """Close every connection; calls under way end."""
        self._client.close()


def open_transport(signal: Signal, settings: OtlpSettings) -> GrpcTransport:
    """Return the transport; it connects when there is something to send."""
    return GrpcTransport(signal, settings)


def outcome_of(answer: Answer, secrets: tuple[str, ...] = ()) -> Outcome:
    """Return what an answer says. A status that was read decides, whatever could not be read after it.

    Args:
        answer: What came back.
        secrets: What no message may show.
    """
    number = answer.headers.get("grpc-status", "")
    said = unquote(answer.headers.get("grpc-message", ""))
    if not STATUS.fullmatch(number):
        return _without_status(answer, secrets)
    if int(number) == 0:
        return Outcome("accepted", "OK", response=_message(answer))
    code = CODES[int(number)] if int(number) < len(CODES) else "UNKNOWN"
    return _failed(code, said, answer.headers.get(STATUS_DETAILS), secrets)


def _without_status(answer: Answer, secrets: tuple[str, ...]) -> Outcome:
    if answer.status not in {0, 200}:
        code = HTTP_STATUS.get(answer.status, "UNKNOWN")
        return _failed(code, f"HTTP status {answer.status}", None, secrets)
    if answer.reason == "timeout":
        return Outcome("retryable", "DEADLINE_EXCEEDED", answer.message, reason="timeout")
    if answer.status == 200 and not answer.reason:
        said = server_text(answer.headers.get("grpc-status", ""), secrets)
        text = (
            f"the answer's grpc-status is no number: {said!r}"
            if said
            else "the answer has no grpc-status"
        )
        return Outcome("retryable", "UNAVAILABLE", text, reason="protocol")
    text = server_text(answer.message, secrets)
    if answer.reason == "protocol":
        text = f"{NOT_HTTP2} ({text})"
    return Outcome("retryable", "UNAVAILABLE", text, reason=answer.reason)


def _message(answer: Answer) -> bytes:
    """Return the answer's one message; what cannot be read is none, since it was accepted."""
    body = answer.body[5:]
    if answer.body[:1] != b"\x01":
        return body
    return decompress(body, answer.headers.get("grpc-encoding", ""), ANSWER_BYTES)


def _failed(code: str, said: str, details: str | None, secrets: tuple[str, ...]) -> Outcome:
    shown = server_text(said, secrets)
    if code in MAYBE_TOO_LARGE and says_too_large(said):
        return Outcome("rejected", code, shown, too_large=True)
    asked = retry_info(_binary(details)) if details else None
    retryable = asked is not None if code == "RESOURCE_EXHAUSTED" else code in RETRYABLE
    return Outcome("retryable" if retryable else "rejected", code, shown, retry_after=asked)


def _binary(header: str) -> bytes:
    """Decode a ``-bin`` header, with or without padding."""
    try:
        return base64.b64decode(header + "=" * (-len(header) % 4))
    except (binascii.Error, ValueError):
        return b""
