"""The ``OTEL_EXPORTER_OTLP_*`` options of one signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_otel import wording
from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.settings.choices import DEFAULT_ENDPOINTS, Compression, Protocol, Signal
from mlflow_otel.settings.display import shown_fields
from mlflow_otel.settings.reading import read
from mlflow_otel.settings.variables import OTLP_OPTIONS


@dataclass(frozen=True)
class OtlpSettings:
    """Where and how one signal is sent, as the OTLP exporter specification has it.

    Args:
        endpoint: The URL requests go to; for HTTP with the signal's path.
        protocol: ``grpc`` or ``http/protobuf``.
        headers: Sent with every request.
        timeout: Seconds one request may take.
        compression: Of the request's body.
        insecure: Whether gRPC to an endpoint without a scheme goes without TLS.
        certificate: File with the CA certificates to trust, or None for the system's.
        client_key: File with the client's private key, or None.
        client_certificate: File with the client's certificate, or None.
        configured: Whether an endpoint was set at all, rather than the default taken.
        named: Whether it was set for this signal by name, rather than for all.
    """

    endpoint: str
    protocol: Protocol = "grpc"
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    compression: Compression = "none"
    insecure: bool = False
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    configured: bool = False
    named: bool = False

    def __repr__(self) -> str:
        """Return the fields as they may be shown."""
        return shown_fields(self)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of the endpoint and the headers must not be shown."""
        return wording.secrets_of(self.endpoint, self.headers)

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS: the scheme says, else ``insecure`` does."""
        scheme = self.endpoint.partition("://")[0].lower() if "://" in self.endpoint else ""
        return scheme == "https" if scheme in {"http", "https"} else not self.insecure


def read_otlp(
    signal: Signal, environ: Mapping[str, str], accounting: Accounting = ACCOUNTING
) -> OtlpSettings:
    """Read the ``OTEL_EXPORTER_OTLP_*`` options of one signal: its own beat the general ones."""
    values: dict[str, Any] = {}
    for option in OTLP_OPTIONS:
        name = otlp_source(signal, option.name, environ)
        if name is not None:
            default = getattr(OtlpSettings, option.field, None)
            values[option.field] = read(option, name, environ, default, accounting)
    values = {field: value for field, value in values.items() if value is not None}
    protocol: str = values.get("protocol", "grpc")
    endpoint: str | None = values.get("endpoint")
    configured = endpoint is not None
    if endpoint is None:
        endpoint = DEFAULT_ENDPOINTS[protocol]
    own = (
        otlp_source(signal, "ENDPOINT", environ) == f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    )
    if protocol == "http/protobuf" and not own:
        endpoint = f"{endpoint.rstrip('/')}/v1/{signal}"
    return OtlpSettings(**{**values, "endpoint": endpoint, "configured": configured, "named": own})


def otlp_source(signal: Signal, option: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable that decides ``option`` of ``signal``, or None when none is set."""
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{option}", f"OTEL_EXPORTER_OTLP_{option}")
    return next((name for name in names if environ.get(name, "").strip()), None)
