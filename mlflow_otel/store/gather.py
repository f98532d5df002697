"""Every trace of a span of time, in no order: several questions at once, and few answers for nothing.

A backend gives some traces of a stretch, the newest or any. An answer that is not complete was read for
nothing, so the first question is a small one. A stretch whose answer is not complete is cut where the
traces that were given say that the others are. A cut that was wrong costs more questions, never a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

from mlflow_otel.backends.model import BackendTrace, TooSlowError, TraceBackend
from mlflow_otel.store import scan
from mlflow_otel.store.experiments import Scope
from mlflow_otel.store.scan import Part, Span

_T = TypeVar("_T")

AT_ONCE: Final = 2000
"""Traces that one answer has, at most. Jaeger in memory looks through all of its traces for each
question: a question costs as much as a hundred traces."""
PROBE: Final = 200
"""Traces that are asked for first: they tell when the others began."""
FEWEST: Final = 100
"""So many are asked for at once after answers that were too large or too slow."""
QUESTIONS: Final = 3
"""Questions that the backend has at a time: it works at the next while the last one's answer is read."""
PIECES: Final = 8
"""Into so many the time of the traces that were given is cut: of a backend that gives any traces, each
piece has more than were given of it."""
OLDER: Final = 4
"""Pieces into which the time before is cut: of a backend that gives the newest, all others are there."""


def gathered(
    backend: TraceBackend,
    scopes: Sequence[Scope],
    span: Span,
    timeout: float,
    make: Callable[[BackendTrace], _T],
) -> Iterator[Sequence[_T]]:
    """Yield what is made of the outlines of all traces that began in a span of time, as the answers come.

    Args:
        backend: Is asked, by several threads at once.
        scopes: What is asked for.
        span: What is read.
        timeout: Seconds for each call of the backend.
        make: Is called once for each trace, by several threads at once.

    Raises:
        BackendError: The backend did not answer in time or as expected.
    """
    waiting = [span] if span.start <= span.end else []
    asked: dict[Future[list[_T] | Part], tuple[Span, int]] = {}
    at_once, limit = AT_ONCE, PROBE
    with ThreadPoolExecutor(QUESTIONS, "mlflow-otel store") as pool:
        while waiting or asked:
            while waiting and len(asked) < QUESTIONS:
                piece, limit = waiting.pop(), min(limit, at_once)
                future = pool.submit(
                    scan.read_outlines, backend, scopes, piece, timeout, limit, make
                )
                asked[future] = piece, limit
                limit = AT_ONCE
            done, _ = wait(asked, return_when=FIRST_COMPLETED)
            for future in done:
                piece, of_it = asked.pop(future)
                try:
                    found = future.result()
                except TooSlowError:
                    if of_it <= FEWEST:
                        raise
                    at_once = min(at_once, max(of_it // 4, FEWEST))
                    waiting.append(piece)
                    continue
                if not isinstance(found, Part):
                    yield found
                    continue
                if not found.starts:  # the answer was too large
                    at_once = max(at_once // 2, FEWEST)
                waiting += cut(piece, found.starts)


def cut(span: Span, starts: Iterable[int]) -> list[Span]:
    """Return the pieces of a stretch that had too many traces, the newest first.

    Args:
        span: The stretch, longer than a millisecond.
        starts: When those traces began that were given.
    """
    ordered = sorted(at for at in starts if span.start <= at <= span.end)
    edges = [span.start + span.length * n // PIECES for n in range(1, PIECES)]
    if ordered:
        first, last = ordered[0], ordered[-1]
        length = (last - first + 1) * 3 // 4 + 1  # some less than were given: so it is complete
        among = [ordered[len(ordered) * n // PIECES] for n in range(1, PIECES)]
        before = [first - length * n for n in range(OLDER + 1)]
        inside = [at for at in (last + 1, *among, *before) if span.start < at <= span.end]
        edges = inside or edges  # all of one millisecond, the first: nothing is known of the others
    pieces, end = [], span.end
    for edge in sorted({at for at in edges if span.start < at <= span.end}, reverse=True):
        pieces.append(Span(edge, end))
        end = edge - 1
    return [*pieces, Span(span.start, end)]
