"""The trace backend that ``MLFLOW_OTEL_TRACE_LOOKUP`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from mlflow_otel.backends.jaeger import JaegerBackend
from mlflow_otel.backends.mlflow_server import MlflowServerBackend
from mlflow_otel.backends.model import BackendError, TraceBackend
from mlflow_otel.backends.tempo import TempoBackend
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.mapping.trace import STAMPS
from mlflow_otel.settings import Settings


def _jaeger(url: str, settings: Settings) -> TraceBackend:
    return JaegerBackend(url, settings.trace_lookup_headers)


def _tempo(url: str, settings: Settings) -> TraceBackend:
    promoted = (attribute for _, attribute in settings.promote_tags)
    return TempoBackend(url, (*STAMPS, *promoted), settings.trace_lookup_headers)


def _mlflow(url: str, settings: Settings) -> TraceBackend:
    server = url or settings.tracking_uri
    if server is None:
        raise BackendError(
            "MLFLOW_OTEL_TRACE_LOOKUP=mlflow needs MLFLOW_TRACKING_URI to name the server"
        )
    options = MappingOptions(promote_tags=settings.promote_tags)
    return MlflowServerBackend(server, settings.experiment_id, settings.experiment_name, options)


KINDS: Final[Mapping[str, Callable[[str, Settings], TraceBackend]]] = {
    "jaeger": _jaeger,
    "tempo": _tempo,
    "mlflow": _mlflow,
}
"""The word before ``+`` in ``MLFLOW_OTEL_TRACE_LOOKUP``, and what it opens."""


def open_backend(settings: Settings) -> TraceBackend | None:
    """Return what ``MLFLOW_OTEL_TRACE_LOOKUP`` names, or None when it is not set.

    Raises:
        BackendError: The value names no backend that is known here.
    """
    named = settings.trace_lookup
    if named is None:
        return None
    kind, _, url = named.partition("+")
    if kind not in KINDS or not (kind == "mlflow" or _has_host(url)):
        raise BackendError(
            "MLFLOW_OTEL_TRACE_LOOKUP names no backend: set it to mlflow, jaeger+http://host:16686 or "
            "tempo+http://host:3200"
        )
    return KINDS[kind](url, settings)


def _has_host(url: str) -> bool:
    try:
        return urlsplit(url).hostname is not None
    except ValueError:
        return False
