"""This process's recent traces, asked as any backend is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from mlflow_otel.backends.model import (
    BackendSpan,
    BackendTrace,
    Condition,
    TraceQuery,
    TraceSummary,
    Window,
    newest,
    text_of,
)

SERVICE: Final = "service.name"


class ProcessTraces(Protocol):
    """The traces of this process, as whoever keeps them hands them in."""

    def summaries(self, conditions: Sequence[Condition]) -> Iterable[TraceSummary]:
        """Return the traces that may meet the conditions; each is checked by who asks."""
        ...

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace, with the spans that are kept, or None."""
        ...

    def all(self) -> Iterable[BackendTrace]:
        """Return every trace, with the spans that are kept."""
        ...

    def services(self) -> Iterable[str]:
        """Return the names under which this process sends traces."""
        ...


class MemoryBackend:
    """Asks this process's memory; never waits and never fails.

    Args:
        traces: The traces.
    """

    where = "this process's recent traces"

    def __init__(self, traces: ProcessTraces) -> None:
        self._traces = traces

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:  # noqa: ARG002
        """Return the newest traces that match."""
        if query.services and not set(query.services) & set(self._traces.services()):
            return []
        return newest(
            (
                trace
                for trace in self._traces.summaries(query.conditions)
                if query.start <= trace.start <= query.end and _meets(trace, query.conditions)
            ),
            query.limit,
        )

    def window(self, query: TraceQuery, timeout: float) -> Window:  # noqa: ARG002
        """Return the traces that match, with the spans that are kept: all of them, whatever the limit."""
        return Window([t for t in self._traces.all() if _matches(t, query)], complete=True)

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:  # noqa: ARG002
        """Return a trace, or None when it is not remembered."""
        return self._traces.get(trace_id)

    def services(self, timeout: float) -> list[str]:  # noqa: ARG002
        """Return the names under which this process sends traces."""
        return sorted(set(self._traces.services()))


def _matches(trace: BackendTrace, query: TraceQuery) -> bool:
    """Tell whether one span of a trace meets all of a query; where none is kept, what stands for them."""
    if not trace.spans:
        summary = trace.summary
        return query.start <= summary.start <= query.end and _meets(summary, query.conditions)
    if trace.spans[-1].start < query.start or trace.spans[0].start > query.end:
        return False  # they are in order of time: nearly all traces end here
    return any(
        query.start <= span.start <= query.end
        and (not query.services or span.resource.get(SERVICE) in query.services)
        and _meets(span, query.conditions)
        for span in trace.spans
    )


def _meets(trace: TraceSummary | BackendSpan, conditions: Sequence[Condition]) -> bool:
    return all(
        key in trace.attributes and text_of(trace.attributes[key]) == value
        for key, value in conditions
    )
