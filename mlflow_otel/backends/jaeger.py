"""Traces in Jaeger, by the HTTP API of its query service.

A search goes to ``/api/traces``, as Jaeger's own pages do (https://www.jaegertracing.io/docs/, "APIs";
Jaeger 1.76 and 2.13): the search of ``/api/v3`` ignores conditions on attributes and does not say so.
A trace comes from ``/api/v3/traces/{id}``, which keeps nanoseconds, types and nested values. A search
needs a service: the query names it, else the URL does (``?service=``), else each that Jaeger knows is
asked.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mlflow_otel.backends import jaeger_json, jaeger_typed
from mlflow_otel.backends.http_api import HttpApi
from mlflow_otel.backends.jaeger_json import MICROSECOND, ToldTrace, data_of
from mlflow_otel.backends.model import (
    BackendError,
    BackendTrace,
    TraceQuery,
    TraceSummary,
    Window,
    newest,
    trace_of,
    without_spans,
)
from mlflow_otel.backends.narrowing import newest_by_narrowing
from mlflow_otel.backends.otlp_json import spans_of
from mlflow_otel.mapping.values import loads

MOST: Final = 1_000_000
"""Traces that one answer may have, until Jaeger says that it takes fewer."""
TOO_DEEP: Final = "search depth must be"
"""What Jaeger answers to a limit that is larger than it takes."""


class JaegerBackend:
    """Asks Jaeger.

    Args:
        url: Of its query service; ``?service=`` says which services are searched.
        headers: Sent with every request.
    """

    def __init__(self, url: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self._api = HttpApi("Jaeger", 16686, url, headers)
        self._most = MOST
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

            def ask(
                start: int, end: int, service: str = service
            ) -> tuple[list[TraceSummary], bool]:
                found = self._search(service, query, start, end, until)
                return [t.summary for t in found.traces if t.summary.start], found.complete

            traces += newest_by_narrowing(query, ask, MICROSECOND)
        return newest(traces, query.limit)

    def window(self, query: TraceQuery, timeout: float) -> Window:
        """Return the traces that match, whole, as Jaeger's search gives them: in microseconds.

        Raises:
            BackendError: Jaeger did not answer in time or as expected.
        """
        until = time.monotonic() + timeout
        windows = [
            self._search(service, query, query.start, query.end, until)
            for service in query.services or self._named or self._services(until)
        ]
        traces = _each_once(windows)
        complete = all(window.complete for window in windows)
        return Window(traces if query.outline else list(traces), complete)

    def _search(
        self, service: str, query: TraceQuery, start: int, end: int, until: float
    ) -> Window:
        asked: dict[str, Any] = {
            "service": service,
            "tags": json.dumps({condition.key: condition.value for condition in query.conditions}),
            "limit": min(query.limit, self._most),
            "start": start // MICROSECOND,
            "end": -(-end // MICROSECOND),  # rounded up: a span within its last microsecond counts
            "raw": "true",  # as it came: what Jaeger puts right else takes half of its time
        }
        if query.name is not None:
            asked["operation"] = query.name
        told = functools.partial(_told, outline=query.outline)
        try:
            traces = self._api.get("/api/traces", asked, until, read=told)
        except BackendError as error:
            if TOO_DEEP not in error.what or self._most <= 1:
                raise
            # Jaeger in memory refuses a limit that is not below its ``max_traces``.
            self._most = max(min(query.limit, self._most) // 4, 1)
            return self._search(service, query, start, end, until)
        complete = len(traces) < asked["limit"]
        read = _whole if complete or not query.all_or_none else _began
        held = (read(trace) for trace in traces)
        return Window((trace for trace in held if trace is not None), complete)

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
        return sorted(map(str, data_of(self._api.get("/api/services", {}, until))))


def _told(body: bytes, *, outline: bool) -> list[ToldTrace]:
    """Return the traces of an answer to a search; raises ``ValueError`` when it is no JSON."""
    told = jaeger_typed.read(body, outline=outline)
    return jaeger_json.read(loads(body)) if told is None else told


def _each_once(windows: Iterable[Window]) -> Iterator[BackendTrace]:
    """Yield the traces of several services: a trace may have spans of more than one."""
    known = set()
    for window in windows:
        for trace in window.traces:
            if trace.summary.trace_id not in known:
                known.add(trace.summary.trace_id)
                yield trace


def _began(told: ToldTrace) -> BackendTrace | None:
    if told.trace_id is None or told.start is None:
        return None
    return without_spans(told.trace_id, told.start)


def _whole(told: ToldTrace) -> BackendTrace | None:
    if told.trace_id is None:
        return None
    held = trace_of(told.trace_id, told.spans())
    return held if held.spans else None
