"""Recognises the backend at an OTLP endpoint by what else it answers. For ``mlflow-otel doctor``."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from mlflow_otel.settings import OtlpSettings
from mlflow_otel.waiting import call_with_timeout

ASKING_SECONDS: Final = 1.0
ALL: Final = frozenset({"traces", "logs", "metrics"})
TRACES: Final = frozenset({"traces"})


class Backend(NamedTuple):
    """A backend that tells who it is.

    Args:
        name: Its name.
        port: Where it answers over HTTP; None: at the endpoint itself.
        path: What is asked there.
        tells: What only its answer contains.
        signals: What it takes at most.
        advice: What to set for it, or nothing.
    """

    name: str
    port: int | None
    path: str
    tells: bytes
    signals: frozenset[str]
    advice: str = ""


TRACES_ALONE: Final = (
    "it takes traces alone: set MLFLOW_OTEL_METRICS=false and MLFLOW_OTEL_ASSESSMENT_SIGNALS=traces, "
    "or put a Collector before it (collector-config/gateway.yaml)"
)
KNOWN: Final = (
    Backend("an OpenTelemetry Collector", 13133, "/", b"Server available", ALL),
    Backend("Jaeger", 16686, "/api/services", b'"data"', TRACES, TRACES_ALONE),
    Backend("Tempo", 3200, "/api/echo", b"echo", TRACES, TRACES_ALONE),
    Backend(
        "MLflow's tracking server",
        None,
        "/api/3.0/mlflow/server-info",
        b"store_type",
        TRACES,
        "it wants OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-mlflow-experiment-id=<ID>, and its own keys to show "
        "types, inputs and outputs: MLFLOW_OTEL_CONVENTIONS=genai,mlflow",
    ),
    Backend("mlflow-otel receive", None, "/spans", b"[", ALL),
)


def candidates(settings: OtlpSettings, taken: frozenset[str]) -> Iterator[Backend]:
    """Yield the known backends that answer beside an endpoint and take the signals that it took."""
    url = urlsplit(settings.endpoint if "://" in settings.endpoint else f"//{settings.endpoint}")
    for backend in KNOWN:
        port = url.port if backend.port is None else backend.port
        if taken <= backend.signals and url.hostname and port:
            host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
            if backend.tells in _asked(f"http://{host}:{port}{backend.path}"):
                yield backend


def _asked(url: str) -> bytes:
    # The time-out of urlopen holds for each read. An answer could come byte by byte for an hour.
    return call_with_timeout(ASKING_SECONDS, lambda: _read(url)) or b""


def _read(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=ASKING_SECONDS) as answer:  # noqa: S310 (http:// it is)
            body: bytes = answer.read(4096)
            return body
    except (OSError, ValueError, HTTPException):  # a gRPC port answers no HTTP/1.1
        return b""
