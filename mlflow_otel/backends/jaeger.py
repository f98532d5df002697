"""Traces in Jaeger, by the HTTP API of its query service.

A search goes to ``/api/traces``, as Jaeger's own pages do (https://www.jaegertracing.io/docs/, "APIs";
Jaeger 1.76 and 2.13): the search of ``/api/v3`` ignores conditions on attributes and does not say so.
A trace comes from ``/api/v3/traces/{id}``, which keeps nanoseconds, types and nested values. A search
needs a service: the query names it, else the URL does (``?service=``), else each that Jaeger knows is
asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mlflow_otel.backends.http_api import HttpApi
from mlflow_otel.backends.model import (
    BackendSpan,
    BackendTrace,
    TraceQuery,
    TraceSummary,
    newest,
    trace_of,
)
from mlflow_otel.backends.narrowing import newest_by_narrowing
from mlflow_otel.backends.otlp_json import identity_of, number_of, spans_of

MICROSECOND: Final = 1000
"""Nanoseconds: Jaeger's search knows no shorter time."""


class JaegerBackend:
    """Asks Jaeger.

    Args:
        url: Of its query service; ``?service=`` says which services are searched.
    """

    def __init__(self, url: str) -> None:
        self._api = HttpApi("Jaeger", url)
        self._named = parse_qs(urlsplit(url).query).get("service", [])
        self.where = self._api.where

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match. Jaeger compares values as text.

        Raises:
            BackendError: Jaeger did not answer in time or as expected; all services together have
                ``timeout`` seconds.
        """
        until = time.monotonic() + timeout
        traces: list[TraceSummary] = []
        for service in query.services or self._named or self._services(until):
            traces += newest_by_narrowing(
                query,
                lambda start, end, service=service: self._search(  # type: ignore[misc]
                    service, query, start, end, until
                ),
                MICROSECOND,
            )
        return newest(traces, query.limit)

    def _search(
        self, service: str, query: TraceQuery, start: int, end: int, until: float
    ) -> tuple[list[TraceSummary], bool]:
        asked = {
            "service": service,
            "tags": json.dumps({condition.key: condition.value for condition in query.conditions}),
            "limit": query.limit,
            "start": start // MICROSECOND,
            "end": -(-end // MICROSECOND),  # rounded up: a span within its last microsecond counts
        }
        traces = _data(self._api.get("/api/traces", asked, until))
        summaries = (_summary(trace) for trace in traces if isinstance(trace, Mapping))
        return [trace for trace in summaries if trace is not None], len(traces) < query.limit

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:
        """Return a trace, or None when Jaeger does not hold it."""
        until = time.monotonic() + timeout
        path = f"/api/v3/traces/{trace_id:032x}"
        answer = self._api.get(path, {}, until, may_be_missing=True)
        spans = list(spans_of(answer.get("result") if isinstance(answer, Mapping) else None))
        return trace_of(trace_id, spans) if spans else None

    def services(self, timeout: float) -> list[str]:
        """Return the names of the services that Jaeger knows."""
        return self._services(time.monotonic() + timeout)

    def _services(self, until: float) -> list[str]:
        return sorted(map(str, _data(self._api.get("/api/services", {}, until))))


def _data(answer: object) -> list[Any]:
    data = answer.get("data") if isinstance(answer, Mapping) else None
    return data if isinstance(data, list) else []


def _summary(trace: Mapping[str, Any]) -> TraceSummary | None:
    trace_id = identity_of(str(trace.get("traceID", "")).rjust(32, "0"))
    spans = trace.get("spans")
    if trace_id is None or not isinstance(spans, list):
        return None
    held = (_span(span) for span in spans if isinstance(span, Mapping))
    summary = trace_of(trace_id, (span for span in held if span is not None)).summary
    return summary if summary.start else None


def _span(span: Mapping[str, Any]) -> BackendSpan | None:
    identity = identity_of(span.get("spanID"))
    if identity is None:
        return None
    tags = span.get("tags")
    attributes = {
        str(tag["key"]): tag.get("value")
        for tag in (tags if isinstance(tags, list) else ())
        if isinstance(tag, Mapping) and "key" in tag
    }
    start = number_of(span.get("startTime")) * MICROSECOND
    end = start + number_of(span.get("duration")) * MICROSECOND
    return BackendSpan(identity, None, str(span.get("operationName", "")), start, end, attributes)
