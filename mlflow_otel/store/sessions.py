"""Sessions that are over: their last trace began in a stretch of time, and none came after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import Clause
from mlflow_otel.store.scan import Span
from mlflow_otel.store.search import Searcher


class CompletedSession(NamedTuple):
    """A session; times are milliseconds since the epoch."""

    session_id: str
    first: int
    last: int


def completed(
    searcher: Searcher, experiment: str, last: tuple[int, int], clauses: Sequence[Clause]
) -> list[CompletedSession]:
    """Return the sessions of an experiment that are over, by their last trace.

    Args:
        searcher: Searches the traces.
        experiment: Its ID.
        last: When the last trace began, earliest and latest, in milliseconds since the epoch.
        clauses: What a session's first trace meets.

    Raises:
        FilterError: There are too many traces to read.
        BackendError: The backend did not answer in time or as expected.
    """
    earliest, latest = last
    ends: dict[str, int] = {}
    for stored, _ in searcher.matching((), [experiment], Span(earliest, searcher.reach.end())):
        session = stored.metadata.get(keys.METADATA_SESSION)
        if session is not None:
            ends[session] = max(ends.get(session, 0), stored.request_time_ms)
    found = []
    for session, end in ends.items():
        if end > latest:
            continue
        first = searcher.first_of_session(session, experiment)
        if first is not None and searcher.meets(first, clauses, experiment):
            begin = first.summary.start // 1_000_000
            found.append(CompletedSession(session, min(begin, end), end))
    return sorted(found, key=lambda one: (one.last, one.session_id))
