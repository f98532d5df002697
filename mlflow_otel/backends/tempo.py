"""Traces in Tempo, by TraceQL over its HTTP API.

Written by its documentation (https://grafana.com/docs/tempo/latest/api_docs/) and Grafana's grammar of
TraceQL; no Tempo runs in the project's tests. ``GET /api/search`` takes the first traces that it comes
upon, not the newest. ``GET /api/v2/traces/{id}`` gives a trace.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from mlflow_otel.backends.http_api import HttpApi
from mlflow_otel.backends.model import (
    BackendSpan,
    BackendTrace,
    TraceQuery,
    TraceSummary,
    Window,
    trace_of,
)
from mlflow_otel.backends.narrowing import newest_by_narrowing
from mlflow_otel.backends.otlp_json import attributes_of, identity_of, number_of, spans_of
from mlflow_otel.conventions import mlflow as keys

SECOND: Final = 1_000_000_000
"""Nanoseconds: Tempo's search knows no shorter time."""
LONGEST: Final = (168 * 3600 - 2) * SECOND
"""Nanoseconds: Tempo refuses a search over a longer time, by default (``query_frontend.search.max_duration``)."""
AT_ONCE: Final = 8
"""Traces that are fetched at the same time."""
SERVICE: Final = "resource.service.name"


class TempoBackend:
    """Asks Tempo.

    Args:
        url: Of its HTTP API.
        wanted: The attributes that summaries have: a search answers with those it is asked for.
        headers: Sent with every request.
    """

    def __init__(
        self, url: str, wanted: Sequence[str], headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._api = HttpApi("Tempo", 3200, url, headers)
        self._wanted = tuple(wanted)
        self.where = self._api.where

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match, of those that have an entry span.

        The conditions are asked of the entry span: one span a trace.

        Raises:
            BackendError: Tempo did not answer in time or as expected.
        """
        until = time.monotonic() + timeout
        text = self._query(query, f"{_span(keys.TRACE_STATE)} != nil")
        return newest_by_narrowing(
            query, lambda start, end: self._search(text, start, end, query.limit, until), SECOND
        )

    def window(self, query: TraceQuery, timeout: float) -> Window:
        """Return the traces that match, whole: a search, and a call for each trace that it finds.

        Raises:
            BackendError: Tempo did not answer in time or as expected.
        """
        until = time.monotonic() + timeout
        found, complete = self._search(
            self._query(query), query.start, query.end, query.limit, until
        )

        if query.all_or_none and not complete:
            return Window([BackendTrace(summary, ()) for summary in found], complete)

        def held(summary: TraceSummary) -> BackendTrace | None:
            return self.get(summary.trace_id, max(until - time.monotonic(), 0.0))

        with ThreadPoolExecutor(AT_ONCE, "mlflow-otel tempo") as pool:
            traces = list(pool.map(held, found))
        return Window([trace for trace in traces if trace is not None], complete)

    def _search(
        self, text: str, start: int, end: int, limit: int, until: float
    ) -> tuple[list[TraceSummary], bool]:
        """Return traces of a time and whether these are all. A long time is asked in parts, the newest first."""
        found: dict[int, TraceSummary] = {}
        while end >= start:
            part = max(start, end - LONGEST)
            traces, complete = self._search_part(text, part, end, limit, until)
            found.update((trace.trace_id, trace) for trace in traces)
            if not complete:
                return list(found.values()), False
            end = part - 1
        return list(found.values()), True

    def _search_part(
        self, text: str, start: int, end: int, limit: int, until: float
    ) -> tuple[list[TraceSummary], bool]:
        # The end is not included: the second that it is in is asked too.
        window = {"start": start // SECOND, "end": end // SECOND + 1}
        answer = self._api.get("/api/search", {"q": text, "limit": limit, **window}, until)
        traces = answer.get("traces") if isinstance(answer, Mapping) else None
        held = [t for t in traces if isinstance(t, Mapping)] if isinstance(traces, list) else []
        summaries = (_summary(trace) for trace in held)
        return [s for s in summaries if s is not None], len(held) < limit

    def _query(self, query: TraceQuery, *further: str) -> str:
        clauses = [_equal(key, value) for key, value in query.conditions]
        clauses += further
        if query.name is not None:
            clauses.append(f"name = {json.dumps(query.name)}")
        if query.services:
            services = " || ".join(f"{SERVICE} = {json.dumps(name)}" for name in query.services)
            clauses.append(f"({services})")
        selected = ", ".join(map(_span, self._wanted))
        return f"{{ {' && '.join(clauses) or 'true'} }} | select({selected})"

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:
        """Return a trace, or None when Tempo does not hold it."""
        until = time.monotonic() + timeout
        path = f"/api/v2/traces/{trace_id:032x}"
        answer = self._api.get(path, {}, until, may_be_missing=True)
        spans = list(spans_of(answer.get("trace") if isinstance(answer, Mapping) else None))
        return trace_of(trace_id, spans) if spans else None

    def services(self, timeout: float) -> list[str]:
        """Return the names of the services that have traces."""
        until = time.monotonic() + timeout
        answer = self._api.get(f"/api/v2/search/tag/{SERVICE}/values", {}, until)
        values = answer.get("tagValues") if isinstance(answer, Mapping) else None
        held = values if isinstance(values, list) else []
        return sorted(str(v["value"]) for v in held if isinstance(v, Mapping) and "value" in v)


def _equal(key: str, value: str) -> str:
    # TraceQL compares types: what may be a boolean is asked for as both.
    text = f"{_span(key)} = {json.dumps(value)}"
    return f"({text} || {_span(key)} = {value})" if value in {"true", "false"} else text


def _span(key: str) -> str:
    return f"span.{json.dumps(key)}"


def _summary(trace: Mapping[str, Any]) -> TraceSummary | None:
    trace_id = identity_of(str(trace.get("traceID", "")).rjust(32, "0"))
    if trace_id is None:
        return None
    sets = trace.get("spanSets") or [trace.get("spanSet")]
    spans = [
        span
        for one in (sets if isinstance(sets, list) else ())
        if isinstance(one, Mapping)
        for span in one.get("spans") or ()
        if isinstance(span, Mapping)
    ]
    held = [
        BackendSpan(
            identity, None, "", number_of(span.get("startTimeUnixNano")), 0, attributes_of(span)
        )
        for span in spans
        if (identity := identity_of(span.get("spanID"))) is not None
    ]
    first = min(held, key=lambda span: span.start, default=None)
    return TraceSummary(
        trace_id,
        None if first is None else first.span_id,
        number_of(trace.get("startTimeUnixNano")),
        {} if first is None else first.attributes,
    )
