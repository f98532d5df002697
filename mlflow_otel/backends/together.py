"""Two backends asked as one: what a process still remembers, and the backend that gets it later."""

from __future__ import annotations

from mlflow_otel.backends.model import (
    BackendTrace,
    TraceBackend,
    TraceQuery,
    TraceSummary,
    Window,
    newest,
    trace_of,
)


class Together:
    """Asks the first, and the second for what the first does not have.

    Args:
        first: Knows what is new; it is asked first, and never waits.
        second: Knows what is old.
    """

    def __init__(self, first: TraceBackend, second: TraceBackend) -> None:
        self._first = first
        self._second = second

    @property
    def where(self) -> str:
        """What is asked, for a message; without credentials."""
        return f"{self._first.where} and {self._second.where}"

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match; see ``TraceBackend``."""
        found = [*self._second.find(query, timeout), *self._first.find(query, timeout)]
        return newest(found, query.limit)

    def window(self, query: TraceQuery, timeout: float) -> Window:
        """Return the traces that match, each with the spans of both; see ``TraceBackend``."""
        here, there = self._first.window(query, timeout), self._second.window(query, timeout)
        found = {trace.summary.trace_id: trace for trace in here.traces}
        for trace in there.traces:
            known = self._first.get(trace.summary.trace_id, timeout)
            found[trace.summary.trace_id] = merged(known, trace)
        return Window(list(found.values()), complete=here.complete and there.complete)

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:
        """Return a trace. The second is asked unless the first knows how it began."""
        known = self._first.get(trace_id, timeout)
        if known is not None and any(span.parent_id is None for span in known.spans):
            return known
        there = self._second.get(trace_id, timeout)
        return known if there is None else merged(known, there)

    def services(self, timeout: float) -> list[str]:
        """Return the names of the services that have traces, sorted."""
        return sorted({*self._first.services(timeout), *self._second.services(timeout)})


def merged(one: BackendTrace | None, other: BackendTrace) -> BackendTrace:
    """Return a trace with the spans of both, each once."""
    if one is None:
        return other
    spans = {span.span_id: span for span in (*other.spans, *one.spans)}
    return trace_of(other.summary.trace_id, spans.values())
