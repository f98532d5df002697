"""The traces of a backend in order of time, none twice and none left out.

A backend gives a number of traces of a stretch of time, whichever they are. A stretch whose answer is
not complete is asked again in parts; the next one is longer when few came. Its ends are whole
milliseconds, as MLflow's times are, so that traces of one millisecond come together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from mlflow_otel.backends.model import BackendTrace, TooMuchError, TraceBackend, TraceQuery
from mlflow_otel.store.experiments import Scope

MILLISECOND: Final = 1_000_000
AT_ONCE: Final = 200
"""Traces that one answer has, at most."""
AT_ONCE_OF_ONE_MILLISECOND: Final = 10_000
FIRST_MILLIS: Final = 10 * 60 * 1000
"""The first stretch."""
LONGER: Final = 4
SPARSE: Final = AT_ONCE // LONGER
"""A stretch with fewer traces is followed by a longer one."""


class Span(NamedTuple):
    """A stretch of time, in milliseconds since the epoch, both ends included."""

    start: int
    end: int


class Found(NamedTuple):
    """What a stretch of time holds.

    Args:
        span: The stretch.
        traces: Those that began in it, in no order.
    """

    span: Span
    traces: Sequence[BackendTrace]


def stretches(
    backend: TraceBackend,
    scopes: Sequence[Scope],
    span: Span,
    timeout: float,
    *,
    ascending: bool = False,
    first: int = FIRST_MILLIS,
) -> Iterator[Found]:
    """Yield what the stretches of a span of time hold, one after the other, until all of it was read.

    Args:
        backend: Is asked.
        scopes: What is asked for.
        span: What is read.
        timeout: Seconds for each call of the backend.
        ascending: From the oldest to the newest; else the other way.
        first: Milliseconds of the first stretch.

    Raises:
        BackendError: The backend did not answer in time or as expected.
    """
    length, edge = first, span.start if ascending else span.end
    while span.start <= edge <= span.end:
        if ascending:
            asked = Span(edge, min(edge + length - 1, span.end))
        else:
            asked = Span(max(edge - length + 1, span.start), edge)
        length = asked.end - asked.start + 1
        traces = _read(backend, scopes, asked, timeout)
        if traces is None:
            length = max(length // LONGER, 1)
            continue
        yield Found(asked, traces)
        edge = asked.end + 1 if ascending else asked.start - 1
        if len(traces) < SPARSE:
            length *= LONGER


def _read(
    backend: TraceBackend, scopes: Sequence[Scope], span: Span, timeout: float
) -> list[BackendTrace] | None:
    """Return the traces that began in a stretch; None when it must be cut."""
    shortest = span.start == span.end
    limit = AT_ONCE_OF_ONE_MILLISECOND if shortest else AT_ONCE
    start, end = span.start * MILLISECOND, (span.end + 1) * MILLISECOND - 1
    found: dict[int, BackendTrace] = {}
    for scope in scopes:
        query = TraceQuery(scope.conditions, start, end, scope.services, limit)
        try:
            window = backend.window(query, timeout)
        except TooMuchError:
            if shortest:
                raise
            return None
        if not (window.complete or shortest):
            return None
        found.update((trace.summary.trace_id, trace) for trace in window.traces)
    # A span added later, or of another service, may match where its trace began elsewhere.
    return [trace for trace in found.values() if start <= trace.summary.start <= end]
