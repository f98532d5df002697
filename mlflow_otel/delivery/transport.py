"""The seam between a request's bytes and the network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final, Literal, Protocol, cast

from mlflow_otel.settings import OtlpSettings, Signal
from mlflow_otel.version import __version__

Result = Literal["accepted", "retryable", "rejected", "unsent", "spooled"]
Reason = Literal["", "timeout", "name", "connect", "proxy", "tls", "protocol", "network", "no_otlp"]
"""Why a request has no answer: the time was up; a name was not found; no connection; the proxy; TLS;
what listens there speaks another protocol; the connection broke. ``no_otlp``: it was accepted, by
something that is no OTLP server."""

TRANSPORTS: Final = {
    "grpc": "mlflow_otel.delivery.grpc",
    "http/protobuf": "mlflow_otel.delivery.http",
}
"""The module of each protocol's transport; it has a function ``open_transport``."""
USER_AGENT: Final = f"mlflow-otel/{__version__}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Args:
        result: ``accepted``; ``retryable``, by the OTLP specification's table or since no answer came;
            ``rejected``, which is the server's own refusal alone; ``unsent``: it could not be tried; or
            ``spooled``: it is to be tried later.
        status: gRPC's code name or HTTP's status, or a word of ours.
        message: What the server or the network said, as it may be shown.
        response: The response's protobuf bytes when accepted.
        retry_after: Seconds the server asks to wait before a retry, or None.
        too_large: Whether it was refused for its size.
        reason: Why there is no answer, or nothing.
    """

    result: Result
    status: str
    message: str = ""
    response: bytes = b""
    retry_after: float | None = None
    too_large: bool = False
    reason: Reason = ""

    @property
    def unanswered(self) -> bool:
        """Whether the request may yet arrive another time."""
        return self.result in {"retryable", "unsent"}


class Transport(Protocol):
    """Sends encoded requests of one signal to one endpoint, compressed as its settings say."""

    def send(self, request: bytes, timeout: float) -> Outcome:
        """Send one request and wait, at most ``timeout`` seconds. Never raises."""
        ...

    def close(self) -> None:
        """Let go of the connections; a ``send`` under way ends soon after."""
        ...


class _Module(Protocol):
    def open_transport(self, signal: Signal, settings: OtlpSettings) -> Transport: ...


def load(protocol: str) -> _Module:
    """Return the module of a protocol's transport, imported now.

    Not at the first request: in an app at full load that import takes seconds, since it waits for
    the interpreter after each of its file accesses.

    Raises:
        ValueError: There is no transport of that name.
    """
    if protocol not in TRANSPORTS:
        raise ValueError(f"{protocol!r} is no protocol: it is one of {', '.join(TRANSPORTS)}")
    return cast("_Module", import_module(TRANSPORTS[protocol]))


def open_transport(signal: Signal, settings: OtlpSettings) -> Transport:
    """Return the transport that ``settings`` ask for. It connects when there is something to send.

    Args:
        signal: What is sent.
        settings: Where and how.

    Raises:
        ValueError: The endpoint names no host, or there is no such protocol.
        OSError: A certificate or key file cannot be read.
    """
    for file in (settings.certificate, settings.client_key, settings.client_certificate):
        if file is not None:
            with open(file, "rb"):  # noqa: PTH123 (curl's own error does not name it)
                pass
    return load(settings.protocol).open_transport(signal, settings)
