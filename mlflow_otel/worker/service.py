"""The worker: traces in, scorers over them, results out."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from mlflow_otel.accounting import Accounting
from mlflow_otel.holding.held_trace import HoldBounds
from mlflow_otel.holding.sweeper import Sweeper
from mlflow_otel.receiver.kafka import Record
from mlflow_otel.receiver.server import BusyError, Page
from mlflow_otel.receiver.tickets import Ticket
from mlflow_otel.scoring.scorers import Scorers
from mlflow_otel.scoring.started import Started
from mlflow_otel.settings import Settings
from mlflow_otel.signals.lazy_pipelines import LazyPipelines
from mlflow_otel.wiring import resource
from mlflow_otel.worker import subjects
from mlflow_otel.worker.arrivals import Arrival, arrivals, is_whole
from mlflow_otel.worker.gathering import Gathered, Gatherer
from mlflow_otel.worker.results import Results
from mlflow_otel.worker.sessions import IdleSession, Sessions
from mlflow_otel.worker.subjects import PlacedSubject, StoredSubject

MIN_TRACES: Final = 20_000
"""Traces that may be held: many apps', where the setting means one app's."""
MAX_IDS: Final = 1_000_000
"""Span IDs that are remembered, so that a span that comes twice counts once."""
MAX_AGE: Final = 3600.0
"""Seconds that a trace may be held, and that a judged one is remembered."""
LOOK_SECONDS: Final = 0.25
ROOM_SECONDS: Final = 1.0


class Waits(NamedTuple):
    """How long nothing must come.

    Args:
        trace: Seconds until a trace is taken for whole, once its root is there.
        session: Seconds until a session is judged.
    """

    trace: float = 10.0
    session: float = 300.0


class ScoreWorker:
    """Judges traces that come over OTLP. Safe to call from any thread.

    What cannot be judged at once is held, within bounds; past them ``add`` refuses what comes, and its
    sender is to come again. So nothing is dropped on account of a lack of room.

    Args:
        settings: The configuration: where results go, how much is held.
        signals: The pipelines, for metrics.
        accounting: Gets the counters.
        waits: How long nothing must come.
        clock: Seconds in which nothing comes of a trace (``Gatherer``).
    """

    def __init__(
        self,
        settings: Settings,
        signals: LazyPipelines,
        accounting: Accounting,
        waits: Waits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounting = accounting
        self._signals = signals
        self._max_bytes = settings.max_held_bytes
        self.results = Results(settings, signals, accounting)
        self.scorers = Scorers(
            signals,
            self.results.put,
            lambda: None,
            measured="metrics" in settings.assessment_signals,
            sessions=True,
        )
        bounds = HoldBounds(
            max(settings.max_traces, MIN_TRACES),
            settings.max_spans_per_trace,
            settings.max_held_bytes,
            MAX_AGE,
            MAX_IDS,
        )
        self._gatherer = Gatherer(
            bounds, waits.trace, settings.trace_timeout, self._wanted, accounting, clock
        )
        self._sessions = Sessions(
            waits.session,
            settings.max_held_bytes,
            lambda session: self.scorers.choose(session, session=True),
            accounting,
        )
        self._sweeping = threading.Lock()
        self._sweeper = Sweeper(self.sweep, LOOK_SECONDS, "mlflow-otel score")
        self._ends = math.inf
        self.stopping = False
        """Whether the worker ends: it takes nothing any more."""

    def start(self) -> None:
        """Begin to look at what is held."""
        self.results.open()
        self._sweeper.start()

    def _wanted(self, trace_id: str) -> Sequence[Started] | None:
        chosen = self.scorers.choose(trace_id)
        return chosen if chosen or self.scorers.wants_sessions else None

    @property
    def busy(self) -> str | None:
        """Why nothing can be taken now, or None."""
        if self.stopping:
            return "this worker is ending"
        if self.results.waiting_bytes > self._max_bytes:
            return "too much waits for the backend"
        return "too many traces wait to be scored" if self._gatherer.is_full else None

    def add(self, signal: str, body: bytes, ticket: Ticket | None = None) -> None:
        """Take one export request.

        Args:
            signal: What it has; all but traces is ignored.
            body: It, encoded.
            ticket: Held until all its traces are done with.

        Raises:
            DecodeError: It is no OTLP.
            BusyError: It cannot be taken now.
        """
        if signal != "traces":
            self._accounting.count(f"ignored.{signal}")
            return
        why = self.busy
        if why is not None:
            self._accounting.count("refused.overload")
            raise BusyError(why)
        self._judge_all(self._gatherer.add(self._whole(arrivals(body)), ticket))

    def take(self, record: Record, ticket: Ticket) -> None:
        """Take a record of a Kafka topic, and its ticket; one that is no OTLP is left out, and counted.

        Raises:
            BusyError: It cannot be taken now.
        """
        try:
            self.add("traces", record.value, ticket)
        except DecodeError as error:
            self._accounting.warn(
                "kafka.not_otlp",
                "A record of the topic is no OTLP request and was left out (%s). See that its producer "
                "writes otlp_proto.",
                error,
            )
        ticket.let_go()

    def flush(self, seconds: float) -> bool:
        """Wait until the backend has accepted what was said; True if it has, in time."""
        return self.results.flush(seconds)

    def forget(self, origins: Collection[Hashable]) -> None:
        """Drop what is held of requests from these origins: another worker gets them again."""
        self._gatherer.forget(origins)

    def _whole(self, came: Iterable[Arrival]) -> Iterable[Arrival]:
        for arrival in came:
            if is_whole(arrival.span):
                yield arrival
            else:
                self._accounting.count("refused.spans")

    def sweep(self) -> None:
        """Judge what is quiet and what is idle; a thread calls this."""
        with self._sweeping:
            self._judge_all(self._gatherer.due())
            self._judge_sessions(self._sessions.due())

    def _judge_all(self, gathered: Iterable[Gathered]) -> None:
        for trace in gathered:
            try:
                self._judge(trace)
            except Exception as error:  # of a trace that cannot be read: the others go on
                self._accounting.warn(
                    "scorer.unreadable",
                    "A trace is not scored, because it could not be rebuilt (%s: %s). Please report it "
                    "to mlflow-otel.",
                    type(error).__name__,
                    error,
                )
                trace.done()

    def _judge(self, trace: Gathered) -> None:
        if not trace.whole:
            for one in trace.chosen:
                one.drop("not_whole")
            trace.done()
            return
        subject = subjects.of_arrivals(trace.trace_id, trace.arrivals, trace.size)
        if not self.is_to_be_judged(subject):
            trace.done()
            return
        session = subject.session if self.scorers.wants_sessions else None
        if session is None:
            self.put(trace.chosen, subject, trace.done)
            return
        both = Ticket(trace.done)  # the trace is done with when it and its session are judged
        both.hold()
        self.put(trace.chosen, subject, both.let_go)
        if subject.is_production:
            self._judge_sessions(self._sessions.add(session, subject, both.let_go))
        else:
            both.let_go()

    def is_to_be_judged(self, subject: StoredSubject) -> bool:
        """Tell whether it is a trace of MLflow's; say what it lacks."""
        lacks = subject.missing
        if lacks is None:
            return True
        if lacks in subjects.MISSING:
            self._accounting.warn(f"scorer.{lacks}", subjects.MISSING[lacks])
            return True
        self._accounting.count(f"scorer.{lacks}")
        return False

    def _judge_sessions(self, idle: Iterable[IdleSession]) -> None:
        for session in idle:
            self.put(session.chosen, session.subject, session.done)

    def put(
        self, chosen: Sequence[Started], subject: PlacedSubject, done: Callable[[], object]
    ) -> None:
        """Have scorers judge something; wait for room."""
        if not chosen:
            done()
            return
        while not self.scorers.wait_for_room(subject.size, ROOM_SECONDS):
            if time.monotonic() > self._ends:
                break
        if not self.scorers.put(chosen, subject, done):
            done()

    def stats(self) -> Mapping[str, int]:
        """Return all counters, and how much is held or on its way now."""
        held = {f"held.{what}": n for what, n in self._gatherer.stats().items()}
        kept = {f"sessions.{what}": n for what, n in self._sessions.stats().items()}
        return {
            **self._accounting.snapshot(),
            **held,
            **kept,
            **self.scorers.stats(),
            "waiting.bytes": self.results.waiting_bytes,
        }

    def pages(self) -> dict[str, Page]:
        """Return what the HTTP port answers besides OTLP: health, and the counters for Prometheus."""

        def ready() -> tuple[int, str, str]:
            why = self.busy
            return (200, TEXT, "ok\n") if why is None else (503, TEXT, f"{why}\n")

        return {
            "/healthz": lambda: (200, TEXT, "ok\n"),
            "/readyz": ready,
            "/metrics": lambda: (200, TEXT, exposition(self.stats())),
        }

    def close(self, seconds: float) -> bool:
        """Judge what is held and send what was said, in time. True if every result was accepted.

        Sessions that are not idle are judged as they are.
        """
        until = time.monotonic() + seconds
        self._ends = until - seconds / 4
        self.stopping = True
        self._sweeper.stop()
        with self._sweeping:
            self._judge_all(self._gatherer.everything())
            self._judge_sessions(self._sessions.due(everything=True))
        self.scorers.shutdown(max(self._ends - time.monotonic(), 0.0))
        sent = self.results.flush(max(until - time.monotonic(), 0.0))
        self.results.close(max(until - time.monotonic(), 0.0))
        self._signals.shutdown(max(until - time.monotonic(), 1.0))
        return sent


TEXT: Final = "text/plain; charset=utf-8"


def exposition(stats: Mapping[str, Any]) -> str:
    """Return counters in Prometheus's text format."""
    lines = ["# TYPE mlflow_otel_score_items gauge"]
    for name, number in sorted(stats.items()):
        lines.append(f"mlflow_otel_score_items{{what={json.dumps(name)}}} {number}")
    return "\n".join(lines) + "\n"


def open_worker(
    settings: Settings,
    accounting: Accounting,
    waits: Waits,
    clock: Callable[[], float] = time.monotonic,
) -> ScoreWorker:
    """Return a worker with its pipelines."""
    made = resource(settings)
    pipelines = LazyPipelines(settings, lambda: made, accounting)
    return ScoreWorker(settings, pipelines, accounting, waits, clock)
