"""The trace backend that ``MLFLOW_OTEL_TRACE_LOOKUP`` names.

Its module is imported when it is opened: most apps name none, and HTTP's client takes long to import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from mlflow_otel import wording
from mlflow_otel.backends.model import BackendError, TraceBackend
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.mapping.trace import STAMPS
from mlflow_otel.settings import Settings


def _jaeger(url: str, settings: Settings) -> TraceBackend:
    from mlflow_otel.backends.jaeger import JaegerBackend  # noqa: PLC0415

    return JaegerBackend(url, settings.trace_lookup_headers)


def _tempo(url: str, settings: Settings) -> TraceBackend:
    from mlflow_otel.backends.tempo import TempoBackend  # noqa: PLC0415

    promoted = (attribute for _, attribute in settings.promote_tags)
    return TempoBackend(url, (*STAMPS, *promoted), settings.trace_lookup_headers)


def _mlflow(url: str, settings: Settings) -> TraceBackend:
    from mlflow_otel.backends.mlflow_server import MlflowServerBackend  # noqa: PLC0415

    server = url or settings.tracking_uri
    if server is None:
        raise BackendError(
            "MLFLOW_OTEL_TRACE_LOOKUP=mlflow names no server",
            "set MLFLOW_TRACKING_URI to the server's URL, or write mlflow+http://host:5000",
        )
    options = MappingOptions(promote_tags=settings.promote_tags)
    return MlflowServerBackend(server, settings.experiment_id, settings.experiment_name, options)


KINDS: Final[Mapping[str, Callable[[str, Settings], TraceBackend]]] = {
    "jaeger": _jaeger,
    "tempo": _tempo,
    "mlflow": _mlflow,
}
"""The word before ``+`` in ``MLFLOW_OTEL_TRACE_LOOKUP``, and what it opens."""


USUAL_PORTS: Final[Mapping[str, str]] = {"16686": "jaeger", "3200": "tempo", "5000": "mlflow"}
WRITTEN: Final = re.compile(
    r"(?:(?P<kind>jaeger|tempo|mlflow)(?:\+|://))?(?:http(?P<secure>s)?:?//+)?(?P<place>[^\s/+].*)",
    re.IGNORECASE,
)
"""What was perhaps meant by a value that names no backend."""


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
        raise BackendError("MLFLOW_OTEL_TRACE_LOOKUP names no backend", _meant(named))
    return KINDS[kind](url, settings)


def _meant(named: str) -> str:
    """Return what to write instead of a value that names no backend."""
    words = WRITTEN.fullmatch(named)
    place = words["place"] if words else ""
    if words and _has_host(f"http://{place}"):
        kind = words["kind"] or USUAL_PORTS.get(place.partition("/")[0].rpartition(":")[2])
        if kind:
            secure = "s" if words["secure"] else ""
            return f"write {kind.lower()}+http{secure}://{wording.endpoint(place)}"
    return "set it to jaeger+http://host:16686, tempo+http://host:3200, mlflow+http://host:5000 or mlflow"


def _has_host(url: str) -> bool:
    try:
        return urlsplit(url).hostname is not None
    except ValueError:
        return False
