"""The store that a tracking URI names: ``otel+jaeger://host:16686?otlp=http://host:4317``.

``otel+jaeger`` and ``otel+tempo`` ask over HTTP, with ``+https`` behind them over HTTPS. Credentials
come from the environment alone: ``MLFLOW_OTEL_TRACE_LOOKUP_HEADERS`` for what is asked,
``OTEL_EXPORTER_OTLP_HEADERS`` for what is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from mlflow_otel.backends.jaeger import JaegerBackend
from mlflow_otel.backends.model import BackendError, TraceBackend
from mlflow_otel.backends.tempo import TempoBackend
from mlflow_otel.conventions.versions import version
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.mapping.trace import STAMPS
from mlflow_otel.settings import OtlpSettings, Settings
from mlflow_otel.settings.otlp import read_otlp
from mlflow_otel.store import in_memory
from mlflow_otel.store.sending import OtlpSender
from mlflow_otel.store.traces import LOOK_BACK_DAYS, Traces

HTTP_PORT: Final = 4318
"""OTLP's port for HTTP; any other speaks what ``OTEL_EXPORTER_OTLP_PROTOCOL`` says, gRPC by default."""
PARAMETERS: Final = ("otlp", "service", "days", "timeout", "sql")


def _jaeger(url: str, settings: Settings) -> TraceBackend:
    return JaegerBackend(url, settings.trace_lookup_headers)


def _tempo(url: str, settings: Settings) -> TraceBackend:
    return TempoBackend(url.partition("?")[0], tuple(STAMPS), settings.trace_lookup_headers)


KINDS: Final[Mapping[str, Callable[[str, Settings], TraceBackend]]] = {
    "otel+jaeger": _jaeger,
    "otel+tempo": _tempo,
}
"""What a scheme opens."""


def open_traces(uri: str, settings: Settings | None = None) -> Traces:
    """Return the traces that a tracking URI names.

    Raises:
        BackendError: The URI is none that is known here; the message says what is wrong with it.
    """
    settings = Settings.from_environment() if settings is None else settings
    parts = urlsplit(uri)
    kind, secure = parts.scheme.removesuffix("+https"), parts.scheme.endswith("+https")
    if kind == in_memory.SCHEME:
        return in_memory.open_received(settings.trace_lookup_timeout, _options(settings))
    if kind not in KINDS or not parts.hostname:
        raise BackendError(
            "The tracking URI names no trace backend: write otel+jaeger://host:16686 or "
            "otel+tempo://host:3200"
        )
    if "@" in parts.netloc:
        raise BackendError(
            "The tracking URI has credentials in it. Set MLFLOW_OTEL_TRACE_LOOKUP_HEADERS instead, as "
            "in authorization=Basic%20…"
        )
    said = parse_qs(parts.query)
    unknown = sorted(said.keys() - set(PARAMETERS))
    if unknown:
        raise BackendError(
            f"The tracking URI has the parameter {unknown[0]}; known are {', '.join(PARAMETERS)}"
        )
    services = [("service", name) for name in said.get("service", ())]
    query = f"?{urlencode(services)}" if services else ""
    url = f"{'https' if secure else 'http'}://{parts.netloc}{parts.path}{query}"
    otlp = _otlp(said.get("otlp", [""])[0], settings)
    return Traces(
        KINDS[kind](url, settings),
        None if otlp is None else OtlpSender(otlp),
        _options(settings),
        timeout=_number(said, "timeout", settings.trace_lookup_timeout),
        look_back_days=_number(said, "days", LOOK_BACK_DAYS),
    )


def database_of(uri: str) -> str | None:
    """Return the database that a tracking URI names for all that is no trace (``sql=sqlite:///…``), or None."""
    return parse_qs(urlsplit(uri).query).get("sql", [None])[0]


def _options(settings: Settings) -> MappingOptions:
    return MappingOptions(
        conventions=settings.conventions,
        version=version(latest=settings.latest_conventions),
        capture_content=settings.capture_content,
        promote_tags=settings.promote_tags,
        safe_attributes=settings.safe_attributes,
    )


def _otlp(endpoint: str, settings: Settings) -> OtlpSettings | None:
    """Return where changes are sent: what the URI names, else what the environment does."""
    if not endpoint:
        return settings.traces if settings.traces.configured else None
    environ = dict(os.environ)
    try:
        by_http = urlsplit(endpoint).port == HTTP_PORT
    except ValueError:
        by_http = False
    if by_http:
        environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    own = read_otlp("traces", {**environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint})
    if own.protocol == "grpc" or urlsplit(endpoint).path.strip("/"):
        return own
    whole = f"{endpoint.rstrip('/')}/v1/traces"
    return read_otlp("traces", {**environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": whole})


def _number(said: Mapping[str, list[str]], name: str, default: float) -> float:
    try:
        value = float(said[name][0]) if name in said else default
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BackendError(f"The tracking URI's parameter {name} must be a number above 0")
    return value
