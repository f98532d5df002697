"""``search_traces``: a filter, an order and a page, over traces that a backend holds.

What equality the backend can answer is asked of it; every clause is held against each trace here as
well, so what is asked for may be more than the answer, never less. In order of time, a page needs no
more than its own stretch of time. In another order all that match must be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from mlflow_otel.backends.model import BackendTrace
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import Clause, FilterError, parse
from mlflow_otel.filtering.matching import TraceValues, matches
from mlflow_otel.filtering.ordering import Ordering, by_time, parse_order, sorting_key
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.store import values
from mlflow_otel.store.experiments import Experiments
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.paging import Page, Place, came_before, end_of, place_of, token_of
from mlflow_otel.store.reach import Reach
from mlflow_otel.store.rebuild import stored_spans
from mlflow_otel.store.scan import MILLISECOND, Span

_T = TypeVar("_T")

MOST_READ: Final = 10_000
"""Traces that one call reads, at most."""


class Search(NamedTuple):
    """What is searched for.

    Args:
        clauses: All of them are met.
        order: Of the traces.
        experiments: IDs; all when None.
        size: Traces of a page.
        token: Of the page; None for the first.
    """

    clauses: tuple[Clause, ...]
    order: tuple[Ordering, ...]
    experiments: tuple[str, ...] | None
    size: int
    token: str | None = None


class Searcher:
    """Searches a backend.

    Args:
        reach: Reads the backend.
        experiments: Tells whether a trace is an experiment's.
        read: Rebuilds a trace without its spans.
    """

    def __init__(
        self, reach: Reach, experiments: Experiments, read: Callable[[BackendTrace], StoredTrace]
    ) -> None:
        self.reach = reach
        self._experiments = experiments
        self._read = read

    def page(self, search: Search) -> Page:
        """Return a page of traces.

        Raises:
            FilterError: The order cannot be kept over so many traces, or the token is none of ours.
            BackendError: The backend did not answer in time or as expected.
        """
        place = None if search.token is None else place_of(search.token)
        ascending = by_time(search.order)
        if ascending is None or len(search.order) > 2:
            return self._sorted(search, place or Place())
        return self._by_time(search, place, ascending=ascending)

    def matching(
        self, clauses: Sequence[Clause], experiments: Sequence[str] | None, span: Span | None = None
    ) -> list[tuple[StoredTrace, TraceValues]]:
        """Return every trace that matches, the newest stretch of time first.

        Raises:
            FilterError: There are too many traces to read.
            BackendError: The backend did not answer in time or as expected.
        """
        found: list[tuple[StoredTrace, TraceValues]] = []
        wanted = self._wanted(clauses, experiments)
        read = 0
        for stretch in self.reach.stretches(clauses, experiments, span):
            read += len(stretch.traces)
            if read > MOST_READ:
                raise FilterError(
                    f"More than {MOST_READ} traces of {self.reach.where} would have to be read to "
                    "answer. Name a shorter time, as in trace.timestamp_ms > 1767225600000"
                )
            found += self._met(stretch.traces, wanted)
        return found

    def read(
        self,
        experiments: Sequence[str] | None,
        span: Span,
        make: Callable[[BackendTrace, StoredTrace], _T],
    ) -> Iterator[_T]:
        """Yield what is made of every trace of experiments that began in a span of time, in no order.

        Args:
            experiments: IDs; all when None.
            span: The time.
            make: Is called with the outline of each trace, by several threads at once.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """

        def made(held: BackendTrace) -> _T | None:
            stored = self._read(held)
            return make(held, stored) if self._is_of(stored, experiments) else None

        for several in self.reach.all_of(experiments, span, made):
            yield from (one for one in several if one is not None)

    def _is_of(self, stored: StoredTrace, experiments: Sequence[str] | None) -> bool:
        return experiments is None or any(
            self._experiments.holds(identity, stored) for identity in experiments
        )

    def first_of_session(self, session: str, experiment: str) -> BackendTrace | None:
        """Return the first trace of an experiment's session, or None.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        traces = [
            held
            for held in self.reach.of_session(session)
            if self._read(held).metadata.get(keys.METADATA_SESSION) == session
            and self._experiments.holds(experiment, self._read(held))
        ]
        return min(traces, key=lambda held: held.summary.start, default=None)

    def meets(self, held: BackendTrace, clauses: Sequence[Clause], experiment: str) -> bool:
        """Tell whether a trace of an experiment meets all clauses."""
        return any(True for _ in self._met([held], self._wanted(clauses, [experiment])))

    def _sorted(self, search: Search, place: Place) -> Page:
        found = self.matching(search.clauses, search.experiments)
        key = sorting_key(search.order)
        found.sort(key=lambda pair: key(pair[1]))
        until = place.offset + search.size
        page = [stored for stored, _ in found[place.offset : until]]
        return Page(page, token_of(Place(offset=until)) if len(found) > until else None)

    def _by_time(self, search: Search, place: Place | None, *, ascending: bool) -> Page:
        span = self.reach.time_of(search.clauses)
        if place is not None:
            edge = place.millis
            span = Span(edge, place.end) if ascending else Span(span.start, min(edge, span.end))
        key = sorting_key(search.order)
        wanted = self._wanted(search.clauses, search.experiments)
        page: list[StoredTrace] = []
        read = 0
        for stretch in self.reach.stretches(
            search.clauses, search.experiments, span, ascending=ascending
        ):
            read += len(stretch.traces)
            for traces in _by_millisecond(stretch.traces, ascending=ascending):
                for stored, _ in sorted(self._met(traces, wanted), key=lambda pair: key(pair[1])):
                    if place is not None and came_before(stored, place, key):
                        continue
                    if len(page) == search.size:
                        return Page(page, token_of(end_of(page[-1], span)))
                    page.append(stored)
            if read > MOST_READ:
                # What was read so far is the page; the next one goes on from here.
                edge = stretch.span.end + 1 if ascending else stretch.span.start - 1
                return Page(page, token_of(Place(millis=edge, end=span.end)))
        return Page(page, None)

    def _wanted(self, clauses: Sequence[Clause], experiments: Sequence[str] | None) -> _Wanted:
        sessions = _Sessions(self._session) if values.about_sessions(clauses) else None
        return _Wanted(clauses, experiments, sessions)

    def _met(
        self, traces: Iterable[BackendTrace], wanted: _Wanted
    ) -> Iterator[tuple[StoredTrace, TraceValues]]:
        spans_wanted = values.about_spans(wanted.clauses)
        for held in traces:
            stored = self._read(held)
            if not self._is_of(stored, wanted.experiments):
                continue
            seen = values.trace_values(
                stored,
                stored_spans(held) if spans_wanted else (),
                () if wanted.sessions is None else wanted.sessions.others(stored),
            )
            if matches(wanted.clauses, seen):
                yield stored, seen

    def _session(self, session: str) -> list[StoredTrace]:
        return [self._read(held) for held in self.reach.of_session(session)]


class _Sessions:
    """Assessments of sessions, looked up once each."""

    def __init__(self, traces: Callable[[str], list[StoredTrace]]) -> None:
        self._traces = traces
        self._known: dict[str, list[tuple[str, AssessmentView]]] = {}

    def others(self, stored: StoredTrace) -> list[AssessmentView]:
        """Return the assessments of a trace's session that other traces of it have."""
        session = stored.metadata.get(keys.METADATA_SESSION)
        if session is None:
            return []
        if session not in self._known:
            self._known[session] = [
                (trace.trace_id, view)
                for trace in self._traces(session)
                if trace.metadata.get(keys.METADATA_SESSION) == session
                for view in trace.assessments
                if values.of_session(view)
            ]
        return [view for trace, view in self._known[session] if trace != stored.trace_id]


class _Wanted(NamedTuple):
    """What a trace must be: of the experiments, and as the clauses say."""

    clauses: Sequence[Clause]
    experiments: Sequence[str] | None
    sessions: _Sessions | None


def _by_millisecond(
    traces: Iterable[BackendTrace], *, ascending: bool
) -> Iterator[list[BackendTrace]]:
    """Yield the traces of each millisecond. A page ends before most are rebuilt."""

    def millis(held: BackendTrace) -> int:
        return held.summary.start // MILLISECOND

    ordered = sorted(traces, key=millis, reverse=not ascending)
    for _, together in itertools.groupby(ordered, key=millis):
        yield list(together)


def searched(
    filter_string: str | None,
    order_by: Sequence[str] | None,
    experiments: Sequence[str] | None,
    size: int,
    token: str | None,
) -> Search:
    """Return what a call of ``search_traces`` asks for.

    Raises:
        FilterError: Filter or order cannot be read; the message names the clause.
    """
    chosen = None if experiments is None else tuple(map(str, experiments))
    return Search(parse(filter_string), parse_order(order_by), chosen, size, token or None)
