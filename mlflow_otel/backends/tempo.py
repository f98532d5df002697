"""Traces in Tempo, by TraceQL over its HTTP API.

Written by its documentation (https://grafana.com/docs/tempo/latest/api_docs/) and Grafana's grammar of
TraceQL; no Tempo runs in the project's tests. ``GET /api/search`` takes the first traces that it comes
upon, not the newest. ``GET /api/v2/traces/{id}`` gives a trace.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlflow_otel.backends.http_api import HttpApi
from mlflow_otel.backends.model import (
    BackendSpan,
    BackendTrace,
    TraceQuery,
    TraceSummary,
    trace_of,
)
from mlflow_otel.backends.narrowing import newest_by_narrowing
from mlflow_otel.backends.otlp_json import attributes_of, identity_of, number_of, spans_of
from mlflow_otel.conventions import mlflow as keys

SECOND: Final = 1_000_000_000
"""Nanoseconds: Tempo's search knows no shorter time."""
SERVICE: Final = "resource.service.name"


class TempoBackend:
    """Asks Tempo.

    Args:
        url: Of its HTTP API.
        wanted: The attributes that summaries have: a search answers with those it is asked for.
    """

    def __init__(self, url: str, wanted: Sequence[str]) -> None:
        self._api = HttpApi("Tempo", url)
        self._wanted = tuple(wanted)
        self.where = self._api.where

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match, of those that have an entry span.

        The conditions are asked of the entry span: one span a trace.

        Raises:
            BackendError: Tempo did not answer in time or as expected.
        """
        until = time.monotonic() + timeout
        text = self._query(query)

        def ask(start: int, end: int) -> tuple[list[TraceSummary], bool]:
            # The end is not included: the second that it is in is asked too.
            window = {"start": start // SECOND, "end": end // SECOND + 1}
            answer = self._api.get(
                "/api/search", {"q": text, "limit": query.limit, **window}, until
            )
            traces = answer.get("traces") if isinstance(answer, Mapping) else None
            held = [t for t in traces if isinstance(t, Mapping)] if isinstance(traces, list) else []
            summaries = (_summary(trace) for trace in held)
            return [s for s in summaries if s is not None], len(held) < query.limit

        return newest_by_narrowing(query, ask, SECOND)

    def _query(self, query: TraceQuery) -> str:
        clauses = [f"{_span(key)} = {json.dumps(value)}" for key, value in query.conditions]
        clauses.append(f"{_span(keys.TRACE_STATE)} != nil")
        if query.services:
            services = " || ".join(f"{SERVICE} = {json.dumps(name)}" for name in query.services)
            clauses.append(f"({services})")
        selected = ", ".join(map(_span, self._wanted))
        return f"{{ {' && '.join(clauses)} }} | select({selected})"

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
