"""Two backends as one: this process's memory, and a place that has other processes' traces too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mlflow_otel.backends.model import (
    BackendError,
    BackendTrace,
    TraceBackend,
    TraceQuery,
    TraceSummary,
    Window,
    newest,
    trace_of,
)

_T = TypeVar("_T")


class MergedBackend:
    """Asks both. Where the second does not answer, the first answers alone.

    Args:
        first: Never fails.
        second: May fail.
        failed: Called with what the second failed with.
    """

    def __init__(
        self,
        first: TraceBackend,
        second: TraceBackend,
        failed: Callable[[BackendError], object],
    ) -> None:
        self._first = first
        self._second = second
        self._failed = failed
        self._unanswered: BackendError | None = None

    @property
    def where(self) -> str:
        """What is asked, for a message; without credentials. Says so when the second did not answer last."""
        if self._unanswered is not None:
            return f"{self._first.where}, and {self._unanswered}"
        return f"{self._first.where} and {self._second.where}"

    def _asked(self, ask: Callable[[], _T], otherwise: _T) -> _T:
        try:
            found = ask()
        except BackendError as error:
            self._unanswered = error
            self._failed(error)
            return otherwise
        self._unanswered = None
        return found

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match."""
        nothing: list[TraceSummary] = []
        others = self._asked(lambda: self._second.find(query, timeout), nothing)
        return newest([*others, *self._first.find(query, timeout)], query.limit)

    def window(self, query: TraceQuery, timeout: float) -> Window:
        """Return the traces that match, each with the spans that either has."""
        ours = self._first.window(query, timeout)
        theirs = self._asked(lambda: self._second.window(query, timeout), Window((), complete=True))
        found = {trace.summary.trace_id: trace for trace in theirs.traces}
        for trace in ours.traces:
            found[trace.summary.trace_id] = joined(trace, found.get(trace.summary.trace_id))
        return Window(list(found.values()), ours.complete and theirs.complete)

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:
        """Return a trace with the spans that either has, or None."""
        ours = self._first.get(trace_id, timeout)
        theirs = self._asked(lambda: self._second.get(trace_id, timeout), None)
        return theirs if ours is None else joined(ours, theirs)

    def services(self, timeout: float) -> list[str]:
        """Return the names of the services that either has."""
        nothing: list[str] = []
        others = self._asked(lambda: self._second.services(timeout), nothing)
        return sorted({*others, *self._first.services(timeout)})


def joined(one: BackendTrace, other: BackendTrace | None) -> BackendTrace:
    """Return a trace with the spans that either of two has; the first one's where both have one."""
    if other is None:
        return one
    spans = {span.span_id: span for span in (*other.spans, *one.spans)}
    return trace_of(one.summary.trace_id, spans.values()) if spans else one
