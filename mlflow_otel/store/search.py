"""``search_traces``: a filter, an order and a page, over traces that a backend holds.

What equality the backend can answer is asked of it; every clause is held against each trace here as
well, so what is asked for may be more than the answer, never less. In order of time, a page needs no
more than its own stretch of time. In another order all that match must be read.
"""

from __future__ import annotations

import base64
import binascii
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.backends.model import BackendTrace, Condition, TraceBackend, TraceQuery
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import Clause, FilterError, parse
from mlflow_otel.filtering.matching import TraceValues, matches
from mlflow_otel.filtering.ordering import Ordering, by_time, parse_order, sorting_key
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.trace import (
    METADATA_ATTRIBUTES,
    METADATA_SAID_ELSEWHERE,
    OF_A_SERVER,
    TAGS_SAID_ELSEWHERE,
)
from mlflow_otel.store import scan, values
from mlflow_otel.store.experiments import ENTRY, Experiments, Scope
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.rebuild import stored_spans
from mlflow_otel.store.scan import Span

MOST_READ: Final = 10_000
"""Traces that one call reads, at most."""
MOST_OF_SESSION: Final = 1000
UPDATE: Final = Condition(keys.TRACE_UPDATE, "true")
"""On the spans that tell of later changes."""
EQUAL: Final[Mapping[tuple[str, str], str]] = {
    ("attribute", "status"): keys.TRACE_STATE,
    ("attribute", "client_request_id"): keys.TRACE_CLIENT_REQUEST_ID,
    ("metadata", keys.METADATA_SESSION): genai.SESSION_ID,
    ("metadata", keys.METADATA_USER): genai.USER_ID,
    **{("metadata", key): attribute for key, attribute in METADATA_ATTRIBUTES.items()},
}
"""What stands on the entry span under a key of its own."""
PREFIXES: Final[Mapping[str, str]] = {
    "metadata": keys.TRACE_METADATA_PREFIX,
    "tag": keys.TRACE_TAG_PREFIX,
}
NOT_ASKED: Final = METADATA_SAID_ELSEWHERE | TAGS_SAID_ELSEWHERE | OF_A_SERVER
"""Metadata and tags that do not stand on the entry span as they are, or are put together here."""


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


class Page(NamedTuple):
    """A page of traces, and the token of the next one, or None."""

    traces: list[StoredTrace]
    token: str | None


class _Place(NamedTuple):
    """Where a page ends: the milliseconds and ID of its last trace, or how many came before."""

    millis: int = 0
    identity: str = ""
    offset: int = 0
    end: int = 0


class Searcher:
    """Searches a backend.

    Args:
        backend: Is asked.
        experiments: Knows where an experiment's traces are.
        read: Rebuilds a trace without its spans.
        timeout: Seconds for each call of the backend.
        look_back_ms: How far back traces are looked for, where no clause says it.
        now: Returns milliseconds since the epoch.
    """

    def __init__(
        self,
        backend: TraceBackend,
        experiments: Experiments,
        read: Callable[[BackendTrace], StoredTrace],
        timeout: float,
        look_back_ms: int,
        now: Callable[[], int],
    ) -> None:
        self._backend = backend
        self._experiments = experiments
        self._read = read
        self._timeout = timeout
        self._look_back = look_back_ms
        self._now = now

    def page(self, search: Search) -> Page:
        """Return a page of traces.

        Raises:
            FilterError: The order cannot be kept over so many traces, or the token is none of ours.
            BackendError: The backend did not answer in time or as expected.
        """
        place = None if search.token is None else _place(search.token)
        ascending = by_time(search.order)
        if ascending is None or len(search.order) > 2:
            return self._sorted(search, place or _Place())
        return self._by_time(search, place, ascending=ascending)

    def matching(
        self, clauses: Sequence[Clause], experiments: Sequence[str] | None, span: Span | None = None
    ) -> list[tuple[StoredTrace, TraceValues]]:
        """Return every trace that matches, the newest first.

        Raises:
            FilterError: There are too many traces to read.
            BackendError: The backend did not answer in time or as expected.
        """
        found: list[tuple[StoredTrace, TraceValues]] = []
        read = 0
        for stretch in self._stretches(clauses, experiments, span, ascending=False):
            read += len(stretch.traces)
            if read > MOST_READ:
                raise FilterError(self._too_many())
            found += self._met(stretch.traces, clauses, experiments)
        return found

    def end(self) -> int:
        """Return the latest time that traces are looked for, in milliseconds since the epoch."""
        return self._now() + scan.FIRST_MILLIS

    def span_of(self, start: int | None, end: int | None) -> Span:
        """Return a span of time with the ends that are not given put in."""
        earliest = self._now() - self._look_back
        return Span(
            max(earliest if start is None else start, 0), self.end() if end is None else end
        )

    def read(
        self, experiments: Sequence[str] | None, span: Span
    ) -> Iterator[tuple[BackendTrace, StoredTrace]]:
        """Yield every trace of experiments that began in a span of time.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        for stretch in self._stretches((), experiments, span, ascending=False):
            for held in stretch.traces:
                stored = self._read(held)
                if self._is_of(stored, experiments):
                    yield held, stored

    def _is_of(self, stored: StoredTrace, experiments: Sequence[str] | None) -> bool:
        return experiments is None or any(
            self._experiments.holds(identity, stored) for identity in experiments
        )

    def _too_many(self) -> str:
        return (
            f"More than {MOST_READ} traces of {self._backend.where} would have to be read to answer. "
            "Name a shorter time, as in trace.timestamp_ms > 1767225600000"
        )

    def first_of_session(self, session: str, experiment: str) -> BackendTrace | None:
        """Return the first trace of an experiment's session, or None.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        traces = [
            held
            for held in self._held_of_session(session)
            if self._read(held).metadata.get(keys.METADATA_SESSION) == session
            and self._experiments.holds(experiment, self._read(held))
        ]
        return min(traces, key=lambda held: held.summary.start, default=None)

    def meets(self, held: BackendTrace, clauses: Sequence[Clause], experiment: str) -> bool:
        """Tell whether a trace of an experiment meets all clauses."""
        return bool(self._met([held], clauses, [experiment]))

    def _sorted(self, search: Search, place: _Place) -> Page:
        found = self.matching(search.clauses, search.experiments)
        key = sorting_key(search.order)
        found.sort(key=lambda pair: key(pair[1]))
        until = place.offset + search.size
        page = [stored for stored, _ in found[place.offset : until]]
        return Page(page, _token(_Place(offset=until)) if len(found) > until else None)

    def _by_time(self, search: Search, place: _Place | None, *, ascending: bool) -> Page:
        span = self._span(search.clauses)
        if place is not None:
            edge = place.millis
            span = Span(edge, place.end) if ascending else Span(span.start, min(edge, span.end))
        key = sorting_key(search.order)
        page: list[StoredTrace] = []
        read = 0
        for stretch in self._stretches(
            search.clauses, search.experiments, span, ascending=ascending
        ):
            read += len(stretch.traces)
            met = self._met(stretch.traces, search.clauses, search.experiments)
            for stored, _ in sorted(met, key=lambda pair: key(pair[1])):
                if place is not None and _came_before(stored, place, key):
                    continue
                if len(page) == search.size:
                    last = page[-1]
                    return Page(page, _token(_end(last, span)))
                page.append(stored)
            if read > MOST_READ:
                # What was read so far is the page; the next one goes on from here.
                edge = stretch.span.end + 1 if ascending else stretch.span.start - 1
                return Page(page, _token(_Place(millis=edge, end=span.end)))
        return Page(page, None)

    def _stretches(
        self,
        clauses: Sequence[Clause],
        experiments: Sequence[str] | None,
        span: Span | None,
        *,
        ascending: bool,
    ) -> Iterator[scan.Found]:
        span = self._span(clauses) if span is None else span
        scopes = self._experiments.scopes(experiments)
        if not scopes:
            return
        asked = pushed_down(clauses)
        late = self._changed_late(asked)
        if late is None:
            asked, late = (), {}
        scopes = [Scope(scope.services, (*scope.conditions, *asked)) for scope in scopes]
        for found in scan.stretches(
            self._backend, scopes, span, self._timeout, ascending=ascending
        ):
            known = {trace.summary.trace_id for trace in found.traces}
            start, end = (
                edge * scan.MILLISECOND for edge in (found.span.start, found.span.end + 1)
            )
            others = (
                trace
                for identity, trace in late.items()
                if identity not in known and start <= trace.summary.start < end
            )
            yield found._replace(traces=[*found.traces, *others])

    def _changed_late(self, conditions: Sequence[Condition]) -> dict[int, BackendTrace] | None:
        """Return the traces of which a later change meets a condition; None when they are too many.

        A condition is asked of the entry span, which a later change does not change: it stands on a
        span of its own.
        """
        now = self._now()
        found: dict[int, BackendTrace] = {}
        for condition in conditions:
            query = TraceQuery(
                (UPDATE, condition),
                (now - self._look_back) * scan.MILLISECOND,
                (now + scan.FIRST_MILLIS) * scan.MILLISECOND,
                (),
                scan.AT_ONCE,
            )
            window = self._backend.window(query, self._timeout)
            if not window.complete:
                return None
            found.update((trace.summary.trace_id, trace) for trace in window.traces)
        return found

    def _met(
        self,
        traces: Iterable[BackendTrace],
        clauses: Sequence[Clause],
        experiments: Sequence[str] | None,
    ) -> list[tuple[StoredTrace, TraceValues]]:
        spans_wanted = values.about_spans(clauses)
        sessions = _Sessions(self._session) if values.about_sessions(clauses) else None
        found = []
        for held in traces:
            stored = self._read(held)
            if not self._is_of(stored, experiments):
                continue
            seen = values.trace_values(
                stored,
                stored_spans(held) if spans_wanted else (),
                () if sessions is None else sessions.others(stored),
            )
            if matches(clauses, seen):
                found.append((stored, seen))
        return found

    def _session(self, session: str) -> list[StoredTrace]:
        return [self._read(held) for held in self._held_of_session(session)]

    def _held_of_session(self, session: str) -> Sequence[BackendTrace]:
        """Return the traces of a session, some of them when there are very many."""
        now = self._now()
        query = TraceQuery(
            (ENTRY, Condition(genai.SESSION_ID, session)),
            (now - self._look_back) * scan.MILLISECOND,
            (now + scan.FIRST_MILLIS) * scan.MILLISECOND,
            (),
            MOST_OF_SESSION,
        )
        return self._backend.window(query, self._timeout).traces

    def _span(self, clauses: Sequence[Clause]) -> Span:
        """Return the time that the clauses leave, in milliseconds."""
        bounds = [
            (clause.comparator, int(clause.value))
            for clause in clauses
            if clause[:2] == ("attribute", "timestamp_ms") and isinstance(clause.value, int | float)
        ]
        now = self._now()
        lower = [at for comparator, at in bounds if comparator in {">", ">=", "="}]
        upper = [at for comparator, at in bounds if comparator in {"<", "<=", "="}]
        ahead = self.end()  # clocks of others may be ahead
        return Span(max(max(lower, default=now - self._look_back), 0), min([*upper, ahead]))


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


def pushed_down(clauses: Iterable[Clause]) -> tuple[Condition, ...]:
    """Return the conditions on the entry span that every trace meets that the clauses let through."""
    found = []
    for clause in clauses:
        value = clause.value
        if clause.comparator != "=" or not isinstance(value, str) or not value:
            continue
        attribute = EQUAL.get((clause.entity, clause.key))
        if attribute is None and clause.key not in NOT_ASKED:
            prefix = PREFIXES.get(clause.entity)
            attribute = None if prefix is None else f"{prefix}{clause.key}"
        if attribute is not None and not value.startswith("["):  # several sessions in one value
            found.append(Condition(attribute, value))
    return tuple(found)


def _came_before(stored: StoredTrace, place: _Place, key: Callable[[TraceValues], Any]) -> bool:
    """Tell whether a trace stood on a page before."""
    if not place.identity or stored.request_time_ms != place.millis:
        return False
    last = TraceValues({"timestamp_ms": place.millis, "request_id": place.identity})
    this = TraceValues({"timestamp_ms": place.millis, "request_id": stored.trace_id})
    return not operator.lt(key(last), key(this))


def _end(last: StoredTrace, span: Span) -> _Place:
    return _Place(last.request_time_ms, last.trace_id, 0, span.end)


def _token(place: _Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place(token: str) -> _Place:
    """Return the place that a token names.

    Raises:
        FilterError: It is none of ours.
    """
    try:
        millis, identity, offset, end = json.loads(base64.urlsafe_b64decode(token))
        return _Place(int(millis), str(identity), int(offset), int(end))
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise FilterError("The page token is none that this store gave") from error


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
