"""What charts count, read once for all of them.

A page of charts asks some twenty questions about the same time. The traces are read once; after that
only what is new is read: traces that began since, and traces that were changed since, each by the spans
that were added to it. Some minutes later all is read anew.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mlflow_otel.backends.model import (
    BackendTrace,
    Condition,
    TooMuchError,
    TraceBackend,
    TraceQuery,
)
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import FilterError
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping.assessment import KINDS
from mlflow_otel.store import scan
from mlflow_otel.store.columns import Table
from mlflow_otel.store.facts import TraceFacts
from mlflow_otel.store.scan import Span

MOST_KEPT: Final = 50_000
"""Traces of one group of experiments; a question about more is refused."""
GROUPS: Final = 8
"""Groups of experiments that are kept; the one that was asked for longest ago goes first."""
FRESH_SECONDS: Final = 2.0
"""For so long what was read is not looked at again."""
ANEW_SECONDS: Final = 600.0
"""After so long all is read anew: a trace that took long, or waited for its backend, came late; old
ones are dropped there."""
OVERLAP_MILLIS: Final = 60_000
"""What began or changed so short a time before the last look is looked at again: it may have come later."""
ADDED: Final = (
    Condition(keys.TRACE_UPDATE, "true"),
    *(Condition(keys.ASSESSMENT_TYPE, kind) for kind in KINDS),
)
"""What stands on the spans that are added to a trace."""

Group = tuple[str, ...]


class _Read:
    """What was read of one group. The lock lets one caller read at a time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.span: Span | None = None
        self.facts: dict[int, TraceFacts] = {}
        self.version = 0
        self._table: tuple[int, Table] | None = None
        self.looked_at = 0.0
        self.read_at = 0.0

    def put(self, fact: TraceFacts) -> None:
        """Keep what is known of a trace."""
        if self.facts.get(fact.otel_trace_id) != fact:
            self.facts[fact.otel_trace_id] = fact
            self.version += 1

    def forget_dropped(self, there: Callable[[int], bool]) -> None:
        """Forget the traces that the backend has no more. It drops the oldest first, or all when it ends."""
        ordered = sorted(self.facts.values(), key=lambda fact: fact.started_ms)
        if not ordered or there(ordered[0].otel_trace_id):
            return
        first = bisect.bisect_left(ordered, 1, key=lambda fact: there(fact.otel_trace_id))
        for fact in ordered[:first]:
            del self.facts[fact.otel_trace_id]
        self.version += 1

    def empty(self) -> None:
        """Have nothing read."""
        self.facts, self.span = {}, None
        self.version += 1

    def table(self) -> Table:
        """Return all facts in columns: the same table until something changes."""
        version = self.version  # before the facts are read: a change meanwhile makes the table old
        if self._table is None or self._table[0] != version:
            self._table = version, Table(self.facts.values())
        return self._table[1]


class Summaries:
    """The facts of traces, shared by all who count them.

    Its lock guards the table of groups; a group's own lock is held while the backend is asked, so that
    several callers ask once. A forked child begins with nothing read.

    Args:
        read: Yields every trace of a group that began in a span of time.
        changed: Yields the traces of a group that were changed in a span of time.
        there: Tells whether the backend has a trace still.
        now: Returns milliseconds since the epoch.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        read: Callable[[Group, Span], Iterable[TraceFacts]],
        changed: Callable[[Group, Span], Iterable[TraceFacts]],
        there: Callable[[int], bool],
        now: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._read_changed = changed
        self._there = there
        self._now = now
        self._clock = clock
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have nothing read. Called in a forked child too."""
        self._lock = threading.RLock()
        self._groups: OrderedDict[Group, _Read] = OrderedDict()

    def of(self, group: Group, span: Span) -> Table:
        """Return the facts of every trace of a group that began in a span of time, and of others.

        Raises:
            FilterError: There are too many traces.
            BackendError: The backend did not answer in time or as expected.
        """
        held = self._held(group)
        with held.lock:
            was_read = held.span is not None
            try:
                self._bring_up_to_date(held, group, span)
            except FilterError:
                if not was_read:
                    raise
                self._bring_up_to_date(held, group, span)  # anew: what was asked before is let go
            return held.table()

    def changed(self, fact: TraceFacts) -> None:
        """Take over what this process changed: the backend has it later."""
        with self._lock:
            groups = list(self._groups.values())
        for held in groups:  # without its lock: no trace is added, and a read sets it right
            if fact.otel_trace_id in held.facts:
                held.put(fact)

    def _held(self, group: Group) -> _Read:
        with self._lock:
            held = self._groups.setdefault(group, _Read())
            self._groups.move_to_end(group)
            while len(self._groups) > GROUPS:
                self._groups.popitem(last=False)
            return held

    def _bring_up_to_date(self, held: _Read, group: Group, span: Span) -> None:
        now = self._now()
        until = now + scan.AHEAD_MILLIS  # clocks of others may be ahead
        if held.span is not None and self._clock() - held.read_at >= ANEW_SECONDS:
            held.empty()
        if held.span is None:
            held.read_at = self._clock()
            self._add(held, self._read(group, Span(span.start, until)))
            held.span = Span(span.start, now)
            held.looked_at = self._clock()
            return
        if span.start < held.span.start:
            self._add(held, self._read(group, Span(span.start, held.span.start - 1)))
            held.span = held.span._replace(start=span.start)
        if self._clock() - held.looked_at >= FRESH_SECONDS:
            held.forget_dropped(self._there)
            since = Span(max(held.span.end - OVERLAP_MILLIS, 0), until)
            self._add(held, self._read(group, since))
            known = (fact for fact in self._read_changed(group, since) if self._is_in(held, fact))
            self._add(held, known)
            held.span = held.span._replace(end=now)
            held.looked_at = self._clock()

    @staticmethod
    def _is_in(held: _Read, fact: TraceFacts) -> bool:
        return held.span is not None and fact.started_ms >= held.span.start

    @staticmethod
    def _add(held: _Read, facts: Iterable[TraceFacts]) -> None:
        for fact in facts:
            held.put(fact)
            if len(held.facts) > MOST_KEPT:
                held.empty()
                raise FilterError(
                    f"More than {MOST_KEPT} traces would have to be counted. Choose a shorter time"
                )


def changed_in(backend: TraceBackend, span: Span, timeout: float) -> Iterator[BackendTrace]:
    """Yield the traces to which something was added in a span of time; some of them several times.

    Args:
        backend: Is asked, for every service: what is added may be another service's.
        span: The time.
        timeout: Seconds for each call of the backend.

    Raises:
        BackendError: The backend did not answer in time or as expected.
    """
    for condition in ADDED:
        stretches = [span]
        while stretches:
            start, end = stretches.pop()
            limit = scan.AT_ONCE_OF_ONE_MILLISECOND if start == end else scan.AT_ONCE
            query = TraceQuery(
                (condition,),
                start * scan.MILLISECOND,
                (end + 1) * scan.MILLISECOND - 1,
                (),
                limit,
            )
            try:
                window = backend.window(query, timeout)
            except TooMuchError:
                if start == end:
                    raise
                window = None
            if window is not None and (window.complete or start == end):
                yield from window.traces
                continue
            middle = (start + end) // 2
            stretches += [Span(start, middle), Span(middle + 1, end)]
