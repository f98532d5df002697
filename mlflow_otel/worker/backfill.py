"""Past traces: read from a backend, the newest first, and judged as the worker judges those that come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from mlflow_otel.backends.mlflow_server import MlflowServerBackend
from mlflow_otel.backends.model import BackendError, TraceBackend, TraceQuery, TraceSummary
from mlflow_otel.backends.walking import PAGE, walk
from mlflow_otel.filtering.grammar import Clause
from mlflow_otel.filtering.matching import matches
from mlflow_otel.scoring.identity import SCORER_DIGEST, SCORER_NAME
from mlflow_otel.scoring.started import Started
from mlflow_otel.worker.checkpoint import Checkpoint, Span
from mlflow_otel.worker.mlflow_subject import MlflowSubject
from mlflow_otel.worker.service import ScoreWorker
from mlflow_otel.worker.subjects import (
    PlacedSubject,
    SessionSubject,
    StoredSubject,
    of_backend,
)

AT_ONCE: Final = 8
"""Traces that are fetched at once."""
TRIES: Final = 4
FLUSH_SECONDS: Final = 60.0
HINDERED: Final = ("cost", "breaker", "hung")
"""Why a scorer leaves out traces that a later run should not leave out."""
_T = TypeVar("_T")


class StoppedError(Exception):
    """A backfill ends before its end. The message says why."""


class TraceSource(Protocol):
    """Where past traces lie."""

    def find(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Return the newest traces of a query."""
        ...

    def get(self, trace_id: int) -> PlacedSubject | None:
        """Return a trace, or None when it is not there any more."""
        ...


@dataclass
class Progress:
    """How far a backfill is.

    Args:
        traces: Traces that were read.
        wanted: Runs that are wanted, by scorer.
        said: Runs that are not needed: the scorer has said it before.
        position: All that began later is done. Nanoseconds since the epoch.
    """

    traces: int = 0
    wanted: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    position: int = 0


class Backfill:
    """Judges past traces.

    Args:
        source: Where they lie.
        worker: Judges them; it was not started.
        clauses: Which of them.
        checkpoint: Notes how far it came.
        again: Whether to judge what a scorer has judged before.
        dry: Whether only to count.
        max_bytes: Of the traces that are kept for scorers of sessions.
        page: Traces that are asked for at once.
    """

    def __init__(
        self,
        source: TraceSource,
        worker: ScoreWorker,
        clauses: Sequence[Clause],
        checkpoint: Checkpoint,
        *,
        again: bool = False,
        dry: bool = False,
        max_bytes: int,
        page: int = PAGE,
    ) -> None:
        self._page = page
        self._left_bytes = max_bytes
        self._source = source
        self._worker = worker
        self._clauses = clauses
        self._checkpoint = checkpoint
        self._again = again
        self._dry = dry
        self._stop = threading.Event()
        self._sessions: dict[str, list[PlacedSubject]] = {}
        self.progress = Progress()

    def stop(self) -> None:
        """End after the trace under way."""
        self._stop.set()

    def run(self, span: Span, services: Sequence[str], changed: Callable[[], object]) -> None:
        """Judge what began in a span of time.

        Args:
            span: The time.
            services: Of these alone; of all when empty.
            changed: Called when there is progress.

        Raises:
            StoppedError: It ended before its end; what was done is noted.
            BackendError: The source does not answer.
        """
        self.progress.position = span.end
        hindered = self._hindered()
        with ThreadPoolExecutor(AT_ONCE, "mlflow-otel fetch") as fetching:
            windows = walk(
                lambda query: self._again_and_again(lambda: self._source.find(query)),
                span.start,
                span.end,
                services,
                self._page,
            )
            for window in windows:
                for subject in self._fetched(fetching, window.traces):
                    self._judge(subject)
                    self.progress.position = subject.start
                    changed()
                self._settle(hindered)
                self.progress.position = window.down_to
                if not self._dry:
                    self._checkpoint.save(Span(span.start, window.down_to - 1))
                changed()
        self._judge_sessions()
        self._settle(hindered)
        if not self._dry:
            self._checkpoint.remove()

    def _fetched(
        self, fetching: ThreadPoolExecutor, traces: Sequence[TraceSummary]
    ) -> Iterator[PlacedSubject]:
        for place in range(0, len(traces), AT_ONCE):
            some = traces[place : place + AT_ONCE]
            for subject in fetching.map(self._fetch, some):
                if self._stop.is_set():
                    raise StoppedError("interrupted")
                if subject is not None:
                    yield subject

    def _fetch(self, trace: TraceSummary) -> PlacedSubject | None:
        return self._again_and_again(lambda: self._source.get(trace.trace_id))

    def _again_and_again(self, ask: Callable[[], _T]) -> _T:
        for tried in range(TRIES):
            try:
                return ask()
            except BackendError:
                if tried == TRIES - 1 or self._stop.wait(2**tried):
                    raise
        raise AssertionError

    def _judge(self, subject: PlacedSubject) -> None:
        self.progress.traces += 1
        if isinstance(subject, StoredSubject) and not self._worker.is_to_be_judged(subject):
            return
        if not subject.is_production or not _meets(self._clauses, subject):
            return
        scorers = self._worker.scorers
        self._have_judged(scorers.choose(subject.trace_id), subject)
        if scorers.wants_sessions and subject.session is not None:
            self._left_bytes -= subject.size
            if self._left_bytes < 0:
                raise StoppedError(
                    "the sessions of this time are larger than MLFLOW_OTEL_MAX_HELD_BYTES: raise it, or "
                    "shorten --since"
                )
            self._sessions.setdefault(subject.session, []).append(subject)

    def _judge_sessions(self) -> None:
        """Judge the sessions: now all their traces were read."""
        for session, traces in self._sessions.items():
            chosen = self._worker.scorers.choose(session, session=True)
            self._have_judged(chosen, SessionSubject(session, traces))
        self._sessions.clear()

    def _have_judged(self, chosen: Sequence[Started], subject: PlacedSubject) -> None:
        due = []
        for one in chosen:
            if not _meets(one.clauses, subject):
                one.filtered_out()
            elif not self._again and _has_said(one, subject):
                self.progress.said[one.name] += 1
            else:
                self.progress.wanted[one.name] += 1
                due.append(one)
        if self._dry:
            return
        for one in due:
            one.wait_for_turn(self._stop.wait)
        self._worker.put(due, subject, lambda: None)

    def _settle(self, hindered: int) -> None:
        """Wait until all that was read is judged, and the backend has what was said.

        Raises:
            StoppedError: Something was left out, which a later run should not leave out.
        """
        if self._dry:
            return
        while not self._worker.scorers.drain(1.0):
            if self._stop.is_set():
                raise StoppedError("interrupted")
        if not self._worker.results.flush(FLUSH_SECONDS):
            raise StoppedError("the backend did not accept every result; the warnings say why")
        if self._hindered() > hindered:
            raise StoppedError("a scorer was held back; the warnings say why")

    def _hindered(self) -> int:
        return sum(
            one.dropped.get(cause, 0) for one in self._worker.scorers.list() for cause in HINDERED
        )

    @property
    def cost(self) -> float:
        """US dollars that the scorers have cost today, as far as their results say."""
        return sum(one.cost for one in self._worker.scorers.list())


class BackendSource:
    """Traces that went over OTLP into a backend.

    Args:
        backend: It.
        timeout: Seconds that one question may take.
    """

    def __init__(self, backend: TraceBackend, timeout: float) -> None:
        self._backend = backend
        self._timeout = timeout

    def find(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Return the newest traces of a query."""
        return self._backend.find(query, self._timeout)

    def get(self, trace_id: int) -> PlacedSubject | None:
        """Return a trace, or None when it is not there any more."""
        held = self._backend.get(trace_id, self._timeout)
        return None if held is None else of_backend(held)


class MlflowSource:
    """Traces of an MLflow server.

    Args:
        backend: It.
        timeout: Seconds that one question may take.
        resource: Whose results they are: ``ResourceSpans`` without spans, encoded.
    """

    def __init__(self, backend: MlflowServerBackend, timeout: float, resource: bytes) -> None:
        self._backend = backend
        self._timeout = timeout
        self._resource = resource

    def find(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Return the newest traces of a query."""
        return self._backend.find(query, self._timeout)

    def get(self, trace_id: int) -> PlacedSubject | None:
        """Return a trace, or None when it is not there any more."""
        found = self._backend.entity(trace_id, self._timeout)
        return None if found is None else MlflowSubject(*found, self._resource)


def _meets(clauses: Sequence[Clause], subject: PlacedSubject) -> bool:
    return not clauses or matches(clauses, subject.values())


def _has_said(one: Started, subject: PlacedSubject) -> bool:
    """Tell whether this version of a scorer has judged something before, and did not fail."""
    return any(
        said.metadata.get(SCORER_NAME) == one.name
        and said.metadata.get(SCORER_DIGEST) == one.prepared.digest
        and said.error_code is None
        for said in subject.said
    )
