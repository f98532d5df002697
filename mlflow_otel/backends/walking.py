"""All traces of a span of time from a backend, the newest first, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from mlflow_otel.backends.model import TraceQuery, TraceSummary

PAGE: Final = 500
"""Traces that are asked for at once: what MLflow's server gives at most."""
SMALLEST: Final = 1_000_000
"""Nanoseconds: a window that is no longer is taken as it is."""
FIRST: Final = 60 * 1_000_000_000
"""Nanoseconds of the first window."""


class Walked(NamedTuple):
    """A window of time.

    Args:
        traces: The traces that began in it, the newest first.
        down_to: Where it begins, in nanoseconds since the epoch.
    """

    traces: Sequence[TraceSummary]
    down_to: int


def walk(
    find: Callable[[TraceQuery], Sequence[TraceSummary]],
    start: int,
    end: int,
    services: Sequence[str] = (),
    page: int = PAGE,
) -> Iterator[Walked]:
    """Yield every trace that began from ``start`` to ``end``, each once, in windows.

    A window whose answer is as long as a page may be incomplete, and is cut in two. A window with few
    traces makes the next one longer. A trace that a backend finds by a span that was added later counts
    in the window that it began in.

    Args:
        find: Asks the backend.
        start: Nanoseconds since the epoch, included.
        end: Nanoseconds since the epoch, included.
        services: Of these alone; of all when empty.
        page: How many traces are asked for at once.
    """
    step = FIRST
    while end >= start:
        windows = [(max(start, end - step + 1), end)]
        end = windows[0][0] - 1
        cut = False
        number = 0
        while windows:
            first, last = windows.pop()
            found = find(TraceQuery((), first, last, services, page))
            if len(found) >= page and last - first >= SMALLEST:
                middle = (first + last) // 2
                windows += [(first, middle), (middle + 1, last)]
                cut = True
                continue
            mine = {trace.trace_id: trace for trace in found if first <= trace.start <= last}
            number += len(mine)
            yield Walked(sorted(mine.values(), key=lambda trace: -trace.start), first)
        if cut:
            step = max(step // 2, SMALLEST)
        elif number < page // 4:
            step *= 2
