"""Finding the trace of a client request ID where traces are kept: one interface for each backend."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.trace import STAMPED
from mlflow_otel.settings import Settings

LIMIT: Final = 20
"""Traces of one request that are looked at."""


class Found(NamedTuple):
    """A trace that a backend holds.

    Args:
        trace_id: OpenTelemetry's ID.
        root: The span ID of its local root, or None.
        started: Nanoseconds since the epoch.
        stamp: What every span of it carries.
    """

    trace_id: int
    root: int | None
    started: int
    stamp: Mapping[str, Any]


class Lookup(Protocol):
    """Asks one backend for traces."""

    where: str
    """What is asked, for an error to say; no credentials."""

    def find(self, client_request_id: str, timeout: float) -> list[Found]:
        """Return the traces of a request.

        Raises:
            LookupFailedError: The backend does not answer, in ``timeout`` seconds, or not as expected.
        """
        ...


class LookupFailedError(Exception):
    """A backend could not be asked for traces."""


KINDS: Final = {"jaeger": "jaeger", "tempo": "tempo", "mlflow": "mlflow"}
"""The word before ``+`` in ``MLFLOW_OTEL_TRACE_LOOKUP`` to the module of this package."""


def open_lookup(settings: Settings) -> Lookup | None:
    """Return what ``MLFLOW_OTEL_TRACE_LOOKUP`` names, or None when it names nothing.

    Raises:
        LookupFailedError: The value names no backend that is known here.
    """
    named = settings.trace_lookup
    if named is None:
        return None
    kind, plus, url = named.partition("+")
    if kind not in KINDS or (kind != "mlflow" and urlsplit(url).hostname is None):
        raise LookupFailedError(
            "MLFLOW_OTEL_TRACE_LOOKUP names no backend: set it to mlflow, jaeger+http://host:16686 or "
            "tempo+http://host:3200"
        )
    module = import_module(f"mlflow_otel.feedback.lookup.{KINDS[kind]}")
    lookup: Lookup = module.open(url if plus else "", settings)
    return lookup


def without_credentials(url: str) -> str:
    """Return a URL as it may be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def get_json(url: str, path: str, query: Mapping[str, Any], timeout: float) -> Any:
    """Return what an HTTP API answers to a GET.

    Raises:
        LookupFailedError: It does not answer, or not with JSON.
    """
    import requests  # noqa: PLC0415 (an app that never looks a trace up need not load it)

    parts = urlsplit(url)
    target = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, "", ""))
    shown = without_credentials(target)
    try:
        answer = requests.get(target, params=dict(query), timeout=timeout)
        if answer.status_code != 200:
            raise LookupFailedError(f"{shown} answered {answer.status_code}: {answer.text[:200]}")
        return answer.json()
    except (requests.RequestException, ValueError) as error:
        raise LookupFailedError(f"{shown} did not answer: {type(error).__name__}") from error


def stamp_of(attributes: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return which of a span's attributes every span of its trace carries."""
    promoted = (attribute for _, attribute in settings.promote_tags)
    return {key: attributes[key] for key in (*STAMPED, *promoted) if key in attributes}


def is_entry(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a span is its trace's local root: trace-level attributes stand there alone."""
    return keys.TRACE_STATE in attributes and genai.EVALUATION_NAME not in attributes
