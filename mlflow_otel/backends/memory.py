"""This process's recent traces, asked as any backend is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from mlflow_otel.backends.model import (
    BackendTrace,
    Condition,
    TraceQuery,
    TraceSummary,
    newest,
)


class ProcessTraces(Protocol):
    """The traces of this process, as whoever keeps them hands them in."""

    def summaries(self, conditions: Sequence[Condition]) -> Iterable[TraceSummary]:
        """Return the traces that may meet the conditions; each is checked by who asks."""
        ...

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace, with the spans that are kept, or None."""
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

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:  # noqa: ARG002
        """Return a trace, or None when it is not remembered."""
        return self._traces.get(trace_id)

    def services(self, timeout: float) -> list[str]:  # noqa: ARG002
        """Return the names under which this process sends traces."""
        return sorted(set(self._traces.services()))


def _meets(trace: TraceSummary, conditions: Sequence[Condition]) -> bool:
    return all(
        key in trace.attributes and str(trace.attributes[key]) == value for key, value in conditions
    )
