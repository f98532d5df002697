"""The traces that a search has to look at, from the newest or from the oldest on.

What equality the backend can answer is asked of it. A condition is asked of the entry span, which a later
change does not change: the traces of which a later change meets it are looked for apart.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from mlflow_otel.backends.model import (
    BackendTrace,
    Condition,
    TooMuchError,
    TooSlowError,
    TraceBackend,
    TraceQuery,
    Window,
    is_entry,
)
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import Clause
from mlflow_otel.mapping import trace_update
from mlflow_otel.mapping.trace import STAMPS
from mlflow_otel.store import scan
from mlflow_otel.store.experiments import ENTRY, Experiments, Scope
from mlflow_otel.store.gather import gathered
from mlflow_otel.store.pushing import pushed_down, time_of
from mlflow_otel.store.scan import Span
from mlflow_otel.waiting import beside

_T = TypeVar("_T")

MOST_OF_SESSION: Final = 1000
MOST_KNOWN: Final = 100
"""Searches of which is remembered how dense their traces are."""
UPDATE: Final = Condition(keys.TRACE_UPDATE, "true")
"""On the spans that tell of later changes."""


class Reach:
    """Reads what a backend holds of experiments.

    Args:
        backend: Is asked.
        experiments: Knows where an experiment's traces are.
        timeout: Seconds for each call of the backend.
        look_back_ms: How far back traces are looked for, where no clause says it.
        now: Returns milliseconds since the epoch.
    """

    def __init__(
        self,
        backend: TraceBackend,
        experiments: Experiments,
        timeout: float,
        look_back_ms: int,
        now: Callable[[], int],
    ) -> None:
        self._backend = backend
        self._experiments = experiments
        self._timeout = timeout
        self._look_back = look_back_ms
        self._now = now
        # No lock: each step is one operation of a dict.
        self._newest_since: dict[tuple[Scope, ...], int] = {}
        self._met_by_many: dict[Condition, bool] = {}

    @property
    def where(self) -> str:
        """What is asked, for a message; without credentials."""
        return self._backend.where

    def end(self) -> int:
        """Return the latest time that traces are looked for, in milliseconds since the epoch."""
        return self._now() + scan.AHEAD_MILLIS

    def span_of(self, start: int | None, end: int | None) -> Span:
        """Return a span of time with the ends that are not given put in."""
        earliest = self._now() - self._look_back
        return Span(
            max(earliest if start is None else start, 0), self.end() if end is None else end
        )

    def time_of(self, clauses: Sequence[Clause]) -> Span:
        """Return the time that clauses leave, in milliseconds."""
        return time_of(clauses, self.span_of(None, None))

    def stretches(
        self,
        clauses: Sequence[Clause],
        experiments: Sequence[str] | None,
        span: Span | None = None,
        *,
        ascending: bool = False,
    ) -> Iterator[scan.Found]:
        """Yield stretches of time with every trace that may meet the clauses, and others.

        Args:
            clauses: What is searched for.
            experiments: IDs; all when None.
            span: The time; that of the clauses when None.
            ascending: From the oldest to the newest; else the other way.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        span = self.time_of(clauses) if span is None else span
        scopes = self._experiments.scopes(experiments)
        if not scopes:
            return
        scanned, late = self._asked_and_changed(scopes, pushed_down(clauses), span, ascending)
        for found in scanned:
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

    def _asked_and_changed(
        self, scopes: Sequence[Scope], asked: Sequence[Condition], span: Span, ascending: bool
    ) -> tuple[Iterator[scan.Found], dict[int, BackendTrace]]:
        """Return the stretches for which conditions are asked, and the traces of which a later change meets one.

        The backend is asked for both at the same time.
        """
        if not asked:
            return self._scanned(scopes, span, ascending=ascending), {}
        few = self._on_any_span(scopes, asked, span)
        if few is not None:
            return iter([scan.Found(span, few)]), {}
        changes = [beside(functools.partial(self._changed_late, one)) for one in asked]
        narrow = [Scope(scope.services, (*scope.conditions, *asked)) for scope in scopes]
        scanned = self._scanned(narrow, span, ascending=ascending)
        first = list(itertools.islice(scanned, 1))
        windows = [wait() for wait in changes]
        if not all(window.complete for window in windows):  # too many: each trace is looked at
            return self._scanned(scopes, span, ascending=ascending), {}
        late = {
            trace.summary.trace_id: trace
            for window in windows
            for trace in window.traces
            if _has_entry(trace)
        }
        return itertools.chain(first, scanned), late

    def _on_any_span(
        self, scopes: Sequence[Scope], asked: Sequence[Condition], span: Span
    ) -> list[BackendTrace] | None:
        """Return every trace that meets a condition on whichever of its spans, or None when that is not to be had.

        A trace's session, user and request ID stand on all its spans and on its later changes. So one question
        finds what takes two else. It is for what few traces meet, where no other service has spans.
        """
        if len(asked) != 1 or asked[0].key not in STAMPS or asked[0] in self._met_by_many:
            return None
        services = self._experiments.services()
        if span.end < self._now() or any({*one.services} != {*services} for one in scopes):
            return None
        start, end = span.start * scan.MILLISECOND, (span.end + 1) * scan.MILLISECOND - 1
        query = TraceQuery(asked, start, end, services, scan.AT_ONCE, all_or_none=True)
        try:
            window = self._backend.window(query, self._timeout)
        except (TooMuchError, TooSlowError):
            window = Window((), complete=False)
        if not window.complete:
            if len(self._met_by_many) >= MOST_KNOWN:
                self._met_by_many.clear()
            self._met_by_many[asked[0]] = True
            return None
        return [
            trace
            for trace in window.traces
            if start <= trace.summary.start <= end and _has_entry(trace)
        ]

    def all_of(
        self, experiments: Sequence[str] | None, span: Span, make: Callable[[BackendTrace], _T]
    ) -> Iterator[Sequence[_T]]:
        """Yield what is made of every trace of experiments that began in a span of time, and of others.

        Args:
            experiments: IDs; all when None.
            span: The time.
            make: Is called with the outline of each trace, by several threads at once.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        scopes = self._experiments.scopes(experiments)
        if scopes:
            yield from gathered(self._backend, scopes, span, self._timeout, make)

    def _scanned(
        self, scopes: Sequence[Scope], span: Span, *, ascending: bool
    ) -> Iterator[scan.Found]:
        """Yield what stretches of time hold.

        Lists show the newest traces again and again. So it is remembered since when the newest are that
        one answer held: the next search gets them in one call.
        """
        key, first = tuple(scopes), None
        newest = not ascending and span.start <= self._now() <= span.end
        if newest:
            since = max(self._newest_since.get(key, span.start), span.start)
            first = span.end - since + 1
        starts: list[int] = []
        for found in scan.stretches(
            self._backend, scopes, span, self._timeout, ascending=ascending, first=first
        ):
            if newest:
                starts += [trace.summary.start // scan.MILLISECOND for trace in found.traces]
                newest = len(starts) < scan.WANTED
                self._remember(key, found.span.start, starts)
            yield found

    def _remember(self, key: tuple[Scope, ...], since: int, starts: list[int]) -> None:
        """Remember since when the newest traces of a search are, as many as one answer should have."""
        if len(self._newest_since) >= MOST_KNOWN:
            self._newest_since.clear()
        if len(starts) < scan.SPARSE:
            self._newest_since.pop(key, None)
        elif len(starts) < scan.WANTED:
            self._newest_since[key] = since
        else:
            self._newest_since[key] = sorted(starts, reverse=True)[scan.WANTED - 1]

    def _changed_late(self, condition: Condition) -> Window:
        """Return the traces of which a later change meets a condition."""
        query = self._ever((UPDATE, condition))
        query = query._replace(services=self._experiments.services(), name=trace_update.SPAN_NAME)
        return self._backend.window(query, self._timeout)

    def of_session(self, session: str) -> Sequence[BackendTrace]:
        """Return the traces of a session, some of them when there are very many.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        query = self._ever((ENTRY, Condition(genai.SESSION_ID, session)))
        window = self._backend.window(query._replace(limit=MOST_OF_SESSION), self._timeout)
        return list(window.traces)

    def _ever(self, conditions: Sequence[Condition]) -> TraceQuery:
        start, end = self.span_of(None, None)
        edges = start * scan.MILLISECOND, end * scan.MILLISECOND
        return TraceQuery(conditions, *edges, (), scan.AT_ONCE)


def _has_entry(trace: BackendTrace) -> bool:
    """Tell whether a trace's entry span is there. Lists have no others."""
    return any(is_entry(span.attributes) for span in trace.spans)
