"""The traces of a backend in order of time, none twice and none left out.

A backend gives a number of traces of a stretch of time, whichever they are. A stretch whose answer is
not complete is asked again, cut where its answer says that the traces are. Its ends are whole
milliseconds, as MLflow's times are, so that traces of one millisecond come together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from mlflow_otel.backends.model import (
    BackendTrace,
    TooMuchError,
    TooSlowError,
    TraceBackend,
    TraceQuery,
)
from mlflow_otel.store.experiments import Scope

_T = TypeVar("_T")

MILLISECOND: Final = 1_000_000
AT_ONCE: Final = 200
"""Traces that the first answer has, at most: a page is full with them, as a rule. Each next one has twice as
many, since a question costs as much as a hundred traces."""
MOST_AT_ONCE: Final = 2000
AT_ONCE_OF_ONE_MILLISECOND: Final = 10_000
AHEAD_MILLIS: Final = 10 * 60 * 1000
"""So much others' clocks may be ahead."""
WANTED: Final = AT_ONCE * 3 // 4
"""Traces that the first stretch should have: some may be added while they are read."""
SPARSE: Final = AT_ONCE // 4
"""A stretch with fewer traces says little of how dense they are: the next one is much longer."""
LONGER: Final = 16
SHORTER: Final = 16
"""An answer that is not complete was read for nothing: a large step spares the next one."""


class Span(NamedTuple):
    """A stretch of time, in milliseconds since the epoch, both ends included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many milliseconds it has."""
        return self.end - self.start + 1


class Found(NamedTuple):
    """What a stretch of time holds.

    Args:
        span: The stretch.
        traces: Those that began in it, in no order.
    """

    span: Span
    traces: Sequence[BackendTrace]


class Part(NamedTuple):
    """Milliseconds at which some traces of a stretch began; there are more."""

    starts: Sequence[int]


def stretches(
    backend: TraceBackend,
    scopes: Sequence[Scope],
    span: Span,
    timeout: float,
    *,
    ascending: bool = False,
    first: int | None = None,
) -> Iterator[Found]:
    """Yield what the stretches of a span of time hold, one after the other, until all of it was read.

    Args:
        backend: Is asked.
        scopes: What is asked for.
        span: What is read.
        timeout: Seconds for each call of the backend.
        ascending: From the oldest to the newest; else the other way.
        first: Milliseconds of the first stretch; all of the span when None.

    Raises:
        BackendError: The backend did not answer in time or as expected.
    """
    length = span.length if first is None else first
    edge, cuts = span.start if ascending else span.end, 0
    at_once, most = AT_ONCE, MOST_AT_ONCE
    seen: Sequence[int] = ()
    while span.start <= edge <= span.end:
        if ascending:
            asked = Span(edge, min(edge + length - 1, span.end))
        else:
            asked = Span(max(edge - length + 1, span.start), edge)
        try:
            found = read(backend, scopes, asked, timeout, at_once)
        except TooSlowError:
            if at_once <= AT_ONCE:
                raise
            at_once = most = AT_ONCE
            continue
        if isinstance(found, Part):
            seen = found.starts
            if not seen:  # the answer was too large
                at_once = most = max(at_once // 2, SPARSE)
            wanted = _wanted(at_once)
            length, cuts = _cut(asked, seen, wanted, cuts, ascending=ascending), cuts + 1
            continue
        yield Found(asked, found)
        edge, cuts = asked.end + 1 if ascending else asked.start - 1, 0
        seen = [at for at in seen if (at >= edge if ascending else at <= edge)]
        was, at_once = at_once, min(at_once * 2, most)
        length = _next(asked.length, len(found), _wanted(at_once))
        if len(seen) > was // 2:  # most of an answer that was not complete lies ahead, in a heap
            length = min(length, _reaching(seen, _wanted(was), edge, ascending=ascending))


def _wanted(at_once: int) -> int:
    """Return how many traces a stretch should have, of which so many are asked for."""
    return at_once * 3 // 4


def _cut(asked: Span, starts: Sequence[int], wanted: int, cuts: int, *, ascending: bool) -> int:
    """Return how long a stretch is asked for, after one that had too many traces.

    Most backends give the newest, or nearly: then the first cut fits. Of one that gives any traces, a
    second cut is far shorter.

    Args:
        asked: The stretch that had too many.
        starts: When those traces began that were given.
        wanted: How many the next stretch should have.
        cuts: How often it was cut before.
        ascending: Which of its ends stays.
    """
    shorter = max(asked.length // SHORTER, 1)
    if not starts:
        return shorter
    place = wanted if cuts == 0 else len(starts) // SHORTER
    edge = asked.start if ascending else asked.end
    length = _reaching(starts, place, edge, ascending=ascending)
    return length if length < asked.length else shorter


def _reaching(starts: Sequence[int], place: int, edge: int, *, ascending: bool) -> int:
    """Return how long the stretch is from an edge to one of some traces, by its place in their order."""
    ordered = sorted(starts, reverse=not ascending)
    return abs(ordered[min(place, len(ordered) - 1)] - edge) + 1


def _next(length: int, found: int, wanted: int) -> int:
    """Return how long the next stretch is."""
    if found < SPARSE:
        return length * LONGER
    return max(length * wanted // found, 1)


def read(
    backend: TraceBackend,
    scopes: Sequence[Scope],
    span: Span,
    timeout: float,
    at_once: int = AT_ONCE,
) -> list[BackendTrace] | Part:
    """Return the traces that began in a stretch, or a part of them when it must be cut.

    Args:
        backend: Is asked.
        scopes: What is asked for.
        span: The stretch. One millisecond is not cut.
        timeout: Seconds for each call of the backend.
        at_once: Traces that one answer has, at most.

    Raises:
        BackendError: The backend did not answer in time or as expected.
    """
    return _read(backend, scopes, span, timeout, at_once, lambda trace: trace, outline=False)


def read_outlines(
    backend: TraceBackend,
    scopes: Sequence[Scope],
    span: Span,
    timeout: float,
    at_once: int,
    make: Callable[[BackendTrace], _T],
) -> list[_T] | Part:
    """Return what is made of the outlines of the traces that began in a stretch; see ``read``.

    An outline is let go as soon as something was made of it: thousands of them at a time would be looked
    through by the garbage collector again and again.
    """
    return _read(backend, scopes, span, timeout, at_once, make, outline=True)


def _read(
    backend: TraceBackend,
    scopes: Sequence[Scope],
    span: Span,
    timeout: float,
    at_once: int,
    make: Callable[[BackendTrace], _T],
    *,
    outline: bool,
) -> list[_T] | Part:
    shortest = span.start == span.end
    limit = AT_ONCE_OF_ONE_MILLISECOND if shortest else at_once
    start, end = span.start * MILLISECOND, (span.end + 1) * MILLISECOND - 1
    found: dict[int, _T] = {}
    for scope in scopes:
        query = TraceQuery(
            scope.conditions,
            start,
            end,
            scope.services,
            limit,
            all_or_none=not shortest,
            outline=outline,
        )
        try:
            window = backend.window(query, timeout)
        except TooMuchError:
            if shortest:
                raise
            return Part(())
        if not (window.complete or shortest):
            starts = (trace.summary.start for trace in window.traces)
            return Part([at // MILLISECOND for at in starts if start <= at <= end])
        for trace in window.traces:
            # A span added later, or of another service, may match where its trace began elsewhere.
            if start <= trace.summary.start <= end:
                found[trace.summary.trace_id] = make(trace)
    return list(found.values())
