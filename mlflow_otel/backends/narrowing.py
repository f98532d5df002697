"""The newest traces from a backend whose limit gives some traces, not the newest."""

from __future__ import annotations

from collections.abc import Callable

from mlflow_otel.backends.model import TraceQuery, TraceSummary, newest


def newest_by_narrowing(
    query: TraceQuery,
    ask: Callable[[int, int], tuple[list[TraceSummary], bool]],
    smallest: int,
) -> list[TraceSummary]:
    """Return the newest traces of a query.

    An answer that is as long as the limit may leave out newer traces. Its window is then cut in
    two, and the newer half is asked first, until an answer is complete.

    Args:
        query: What is wanted.
        ask: Asks for the window from a start to an end, in nanoseconds, both included; returns the
            traces and whether these are all.
        smallest: Nanoseconds. A window that is no longer is taken as it is.
    """
    taken: dict[int, TraceSummary] = {}
    windows = [(query.start, query.end)]
    while windows and len(taken) < query.limit:
        start, end = windows.pop()
        traces, complete = ask(start, end)
        if complete or end - start <= smallest:
            taken.update((trace.trace_id, trace) for trace in traces)
            continue
        middle = (start + end) // 2
        windows += [(start, middle), (middle + 1, end)]
    return newest(taken.values(), query.limit)
