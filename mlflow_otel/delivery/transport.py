"""The seam between a request's bytes and the network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Final, Literal, Protocol

from mlflow_otel.settings import OtlpSettings, Signal

Result = Literal["accepted", "retryable", "rejected", "unsent", "spooled"]

SERVICE_METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
USER_AGENT: Final = "mlflow-otel"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Args:
        result: ``accepted``; ``retryable``, by the OTLP specification's table; ``rejected``; ``unsent``: it
            could not be tried; or ``spooled``: it is to be tried later.
        status: gRPC's code name or HTTP's status, the error's name, or a word of ours.
        message: What the server or the network said.
        response: The response's protobuf bytes when accepted.
        retry_after: Seconds the server asks to wait before a retry, or None.
        too_large: Whether it was refused for its size.
    """

    result: Result
    status: str
    message: str = ""
    response: bytes = b""
    retry_after: float | None = None
    too_large: bool = False

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
        """Let go of the connection; a ``send`` under way ends soon after."""
        ...


def load(protocol: str) -> ModuleType:
    """Return the module of a protocol's transport, imported now.

    Not at the first request: in an app at full load that import takes seconds, since it waits for
    the interpreter after each of its file accesses. Not above: an app that speaks HTTP need not
    load HTTP/2, nor the other way round.
    """
    return import_module(f"mlflow_otel.delivery.{'grpc' if protocol == 'grpc' else 'http'}")


def open_transport(signal: Signal, settings: OtlpSettings, connections: int = 1) -> Transport:
    """Return the transport that ``settings`` ask for.

    Args:
        signal: What is sent.
        settings: Where and how.
        connections: Requests that may be under way at once.

    Raises:
        ValueError: The endpoint names no host.
        OSError: A certificate or key file cannot be read.
    """
    for file in (settings.certificate, settings.client_key, settings.client_certificate):
        if file is not None:
            with open(file, "rb"):  # noqa: PTH123 (to name it: ssl's own error does not)
                pass
    transport: Transport = load(settings.protocol).open_transport(signal, settings, connections)
    return transport
