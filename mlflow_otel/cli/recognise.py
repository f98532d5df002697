"""Recognises the backend at an OTLP endpoint by what else it answers. For ``mlflow-otel doctor``.

What answers at the endpoint itself is the one that takes the traces. What answers at another port of
its host is only somebody on the same host, and is told as such.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from mlflow_otel.settings import OtlpSettings, Settings
from mlflow_otel.waiting import call_with_timeout

ASKING_SECONDS: Final = 1.0
ANSWERING_SECONDS: Final = 5.0
"""For the endpoint itself, all questions together: it answered a request before, and a server that has just started is slow."""
ALL: Final = frozenset({"traces", "logs", "metrics"})
TRACES: Final = frozenset({"traces"})


class Backend(NamedTuple):
    """A backend that tells who it is.

    Args:
        name: Its name.
        path: What is asked over HTTP.
        tells: What only its answer contains.
        port: Where it answers as a rule, if not at the endpoint itself.
        signals: What it takes at most.
    """

    name: str
    path: str
    tells: bytes
    port: int = 0
    signals: frozenset[str] = ALL


MLFLOW: Final = Backend("MLflow's tracking server", "/api/3.0/mlflow/server-info", b"store_type")
HERE: Final = (
    Backend("mlflow-otel bridge", "/version", b"+bridge"),
    MLFLOW,
    Backend("mlflow-otel receive", "/spans", b"["),
)
BESIDE: Final = (
    Backend("an OpenTelemetry Collector", "/", b"Server available", 13133),
    Backend("Jaeger", "/api/services", b'"data"', 16686, TRACES),
    Backend("Tempo", "/api/echo", b"echo", 3200, TRACES),
    Backend("mlflow-otel receive", "/spans", b"[", 4318),
)


def at_endpoint(options: OtlpSettings) -> Backend | None:
    """Return who answers at an OTLP endpoint, if it tells over HTTP.

    Args:
        options: Names the endpoint.
    """
    url = urlsplit(options.endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        return None
    place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    until = time.monotonic() + ANSWERING_SECONDS
    for one in HERE:
        left = until - time.monotonic()
        if left > 0 and one.tells in _asked(f"{place}{one.path}", left):
            return one
    return None


def beside(settings: Settings, taken: frozenset[str]) -> Iterator[tuple[Backend, str]]:
    """Yield the known backends on the host that traces go to, and where they answer.

    Args:
        settings: The configuration. What ``MLFLOW_OTEL_TRACE_LOOKUP`` names is asked too.
        taken: The signals that the endpoint took: a backend that takes fewer is not the one.
    """
    endpoint = settings.traces.endpoint
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname
    if not host:
        return
    kind, _, url = (settings.trace_lookup or "").partition("+")
    named = urlsplit(url)
    for backend in BESIDE:
        ports = [backend.port]
        if kind == backend.name.lower() and named.hostname == host and named.port:
            ports.insert(0, named.port)
        for port in ports if taken <= backend.signals else ():
            place = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            if backend.tells in _asked(f"{place}{backend.path}", ASKING_SECONDS):
                yield backend, place
                break


def _asked(url: str, seconds: float) -> bytes:
    # The time-out of urlopen holds for each read. An answer could come byte by byte for an hour.
    return call_with_timeout(seconds, lambda: _read(url, seconds)) or b""


def _read(url: str, seconds: float) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 (http:// it is)
            body: bytes = answer.read(4096)
            return body
    except (OSError, ValueError, HTTPException):  # a gRPC port answers no HTTP/1.1
        return b""
