"""``handle.scorers``: starts and stops scorers, and gives them the traces that end in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.export.hooks import load
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.scoring import mlflow_adapter
from mlflow_otel.scoring.ended import EndedSubject
from mlflow_otel.scoring.metrics import ScorerMetrics
from mlflow_otel.scoring.model import ScorerError, ScorerStatus
from mlflow_otel.scoring.pool import Pool
from mlflow_otel.scoring.run import Log, Run
from mlflow_otel.scoring.sampling import Rate, how_many, in_order
from mlflow_otel.scoring.started import Started
from mlflow_otel.scoring.subject import Subject
from mlflow_otel.settings import Settings
from mlflow_otel.signals.lazy_pipelines import LazyPipelines
from mlflow_otel.tracing import scorer_calls
from mlflow_otel.tracing.whole import EndedTrace

RETRY_SECONDS: Final = 60.0
"""After which scorers that a variable names and that could not be imported are looked for again."""


class _Group:
    """Scorers with one filter in common: the rule of sampling is about these together."""

    __slots__ = ("ordered", "started")

    def __init__(self, started: list[Started]) -> None:
        self.ordered = in_order(Rate(one.name, one.rate) for one in started)
        by_name = {one.name: one for one in started}
        self.started = [by_name[step.name] for step in self.ordered]


class Scorers:
    """Runs scorers on the traces that end in this process, beside the app's threads.

    The lock guards which scorers are started. A forked child begins with a new lock and the same
    scorers.

    Args:
        signals: The pipelines, for the metrics.
        log: Logs what a scorer says of what it judged.
        changed: Called when the first scorer is started, and when the last is stopped.
        measured: Whether there are metrics.
        sessions: Whether scorers of whole sessions may be started.

    Example:
        >>> def short(outputs):
        ...     return len(str(outputs)) < 200
        >>> handle = mlflow_otel.instrument()
        >>> handle.scorers.start(short, mlflow_otel.ScorerSamplingConfig(sample_rate=0.5))
        >>> [(one.name, one.sampling_config.sample_rate) for one in handle.scorers.list()]
        [('short', 0.5)]
        >>> handle.scorers.stop("short")
    """

    def __init__(
        self,
        signals: LazyPipelines,
        log: Log,
        changed: Callable[[], object],
        *,
        measured: bool,
        sessions: bool = False,
    ) -> None:
        self._sessions = sessions
        self._signals = signals
        self._settings: Settings = signals.settings
        self._accounting: Accounting = signals.accounting
        self._log = log
        self._changed = changed
        self._measured = measured
        self._started: dict[str, Started] = {}
        self._groups: tuple[_Group, ...] = ()
        self._session_groups: tuple[_Group, ...] = ()
        self._named = self._settings.scorers
        self._looked = False
        self._look_again = 0.0
        self._pool = Pool(
            self._settings.scorer_workers, self._settings.max_traces, self._settings.max_held_bytes
        )
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()
        self._metrics: ScorerMetrics | None = None
        self._left_out = 0  # by scorers that were stopped

    @property
    def wanted(self) -> bool:
        """Whether there are scorers, or a variable names some."""
        return bool(self._started) or self._named is not None

    @property
    def wants_sessions(self) -> bool:
        """Whether there are scorers of whole sessions."""
        return bool(self._session_groups)

    def start(
        self,
        scorer: Any,
        sampling_config: Any = None,
        *,
        name: str | None = None,
        timeout: float | None = None,
        max_per_minute: float | None = None,
        max_cost_per_day: float | None = None,
    ) -> None:
        """Run a scorer on a sample of the traces that end from now on.

        Args:
            scorer: One of MLflow's scorers or judges, or a function that takes any of ``inputs``,
                ``outputs``, ``expectations`` and ``trace`` by name, and returns a number, a bool, a
                text, MLflow's ``Feedback``, a list of these, or None.
            sampling_config: ``ScorerSamplingConfig``, MLflow's or ours; all traces when None.
            name: For a callable without a name.
            timeout: Seconds a run may take; the scorer's own when None, else 300. 0: no limit.
            max_per_minute: Runs, at most; traces beyond that are not scored.
            max_cost_per_day: US dollars, at most, as far as the judge says what it has cost.

        Raises:
            ScorerError: It cannot be run, or its filter cannot be evaluated; the message says why.
        """
        prepared = mlflow_adapter.prepare(scorer, name)
        if prepared.session and not self._sessions:
            raise ScorerError(
                f"The scorer {prepared.name!r} judges whole sessions, and in the app a trace is scored "
                "when it ends. Run it in `mlflow-otel score`"
            )
        started = Started(
            prepared,
            mlflow_adapter.sampling_config_class()()
            if sampling_config is None
            else sampling_config,
            self._accounting,
            timeout=timeout,
            max_per_minute=max_per_minute,
            max_cost_per_day=max_cost_per_day,
        )
        with self._lock:
            if started.name in self._started:
                raise ScorerError(f"A scorer named {started.name!r} is started; stop it first")
            self._started[started.name] = started
            self._regroup()
        scorer_calls.follow_threads()
        self._open()

    def update(self, name: str, sampling_config: Any) -> None:
        """Give a started scorer another sampling configuration.

        Raises:
            ScorerError: There is no such scorer, or the configuration cannot be followed.
        """
        with self._lock:
            self._one(name).configure(sampling_config)
            self._regroup()

    def stop(self, name: str) -> None:
        """Stop a scorer: traces that wait for it are still scored.

        Raises:
            ScorerError: There is no such scorer.
        """
        with self._lock:
            self._left_out += self._one(name).sampled_out
            del self._started[name]
            self._regroup()

    def list(self) -> list[ScorerStatus]:
        """Return the started scorers, in the order they were started."""
        with self._lock:
            return [one.status() for one in self._started.values()]

    def _one(self, name: str) -> Started:
        started = self._started.get(name)
        if started is None:
            known = ", ".join(self._started) or "none"
            raise ScorerError(f"No scorer named {name!r} is started; started are: {known}")
        return started

    def _regroup(self) -> None:
        self._groups = self._grouped(session=False)
        self._session_groups = self._grouped(session=True)
        self._changed()

    def _grouped(self, *, session: bool) -> tuple[_Group, ...]:
        groups: dict[object, list[Started]] = {}
        for one in self._started.values():
            if one.prepared.session is session:
                filter_string = getattr(one.config, "filter_string", None) or None
                groups.setdefault(filter_string, []).append(one)
        return tuple(_Group(several) for several in groups.values())

    def load(self) -> None:
        """Start what ``MLFLOW_OTEL_SCORERS`` names, if it can be imported yet. Never raises."""
        with self._lock:
            named, self._named = self._named, None  # what is imported may come here again
        if named is None:
            return
        if time.monotonic() < self._look_again:
            self._named = named
            return
        try:
            found = load(named, callable_only=False)
            items = list(found) if isinstance(found, Iterable) else [found]
        except Exception as error:
            self._look_later(named, error)
            return
        for item in items:
            try:
                self.start(**_arguments(item))
            except Exception as error:
                self._say_not_started(named, error)
        self._changed()

    def _look_later(self, named: str, error: Exception) -> None:
        """Look again when a trace ends: an app that is instrumented before it starts is not there yet."""
        if self._looked:
            self._say_not_started(named, error)
            self._look_again = time.monotonic() + RETRY_SECONDS
        self._looked = True
        self._named = named
        self._changed()

    def _say_not_started(self, named: str, error: Exception) -> None:
        self._accounting.warn(
            "scorer.not_started",
            "A scorer of MLFLOW_OTEL_SCORERS=%s is not started (%s). Mend what it names.",
            named,
            error,
        )

    def _open(self) -> None:
        # In a thread of the app's: when the interpreter exits, no other can open the pipeline.
        if not self._measured or self._metrics is not None or self._signals.closed:
            return
        with self._lock:
            if self._metrics is None:
                try:
                    self._metrics = ScorerMetrics(self._signals.meters().meter, self.list)
                except Exception as error:
                    self._measured = False
                    self._accounting.warn(
                        "metrics.failed",
                        "There are no metrics of scorers (%s: %s). See OTEL_EXPORTER_OTLP_METRICS_*.",
                        type(error).__name__,
                        error,
                    )

    def wanting(self, trace_id: int) -> Callable[[EndedTrace], bool] | None:
        """Return what takes a trace that ended, or None: no scorer is to see it.

        Called in the app's thread for each trace. Never raises and does not wait.

        Args:
            trace_id: OpenTelemetry's ID.
        """
        if self._named is not None:
            self.load()
        chosen = self._choose(b"tr-%032x" % trace_id, self._groups)
        return partial(self._take, chosen) if chosen else None

    def _take(self, chosen: Sequence[Started], trace: EndedTrace) -> bool:
        return self.put(chosen, EndedSubject(trace))

    def choose(self, identity: str, *, session: bool = False) -> Sequence[Started]:
        """Return the scorers whose samples a trace or a session is in.

        Args:
            identity: MLflow's ID of the trace, or the session's.
            session: Whether it is a session.
        """
        groups = self._session_groups if session else self._groups
        return self._choose(identity.encode("utf-8", "surrogatepass"), groups)

    def _choose(self, identity: bytes, groups: Sequence[_Group]) -> Sequence[Started]:
        chosen: list[Started] = []
        for group in groups:
            number = how_many(identity, group.ordered)
            if number:
                chosen += group.started[:number]
            if number < len(group.started):
                with self._lock:
                    for one in group.started[number:]:
                        one.left_out += 1
        return chosen

    def wait_for_room(self, size: int, seconds: float) -> bool:
        """Wait until there is room for something of so many bytes; False when there is none in time."""
        return self._pool.wait_for_room(size, seconds)

    def put(
        self,
        chosen: Sequence[Started],
        subject: Subject,
        ended: Callable[[], object] | None = None,
    ) -> bool:
        """Have scorers judge something; False when there is no room, and then that is counted.

        Args:
            chosen: The scorers, one or more.
            subject: What they judge.
            ended: Called when the last of them is done or given up.
        """
        if self._metrics is None:
            self._open()
        traced = self._settings.scorer_traces
        runs = [Run(one, subject, self._log, self._timed, traced=traced) for one in chosen]
        if self._pool.put(runs, subject.size, ended):
            return True
        for one in chosen:
            one.drop("shutdown" if self._signals.closed else "queue_full")
        return False

    def _timed(self, scorer: str, seconds: float, error: str | None) -> None:
        if self._metrics is not None:
            self._metrics.timed(scorer, seconds, error)

    def stats(self) -> Mapping[str, int]:
        """Return how many runs wait and how many are under way, where scorers were started."""
        if not self.wanted and not self._left_out:
            return {}
        with self._lock:
            left_out = self._left_out + sum(one.sampled_out for one in self._started.values())
        waiting = {"scorer.waiting": self._pool.waiting, "scorer.running": self._pool.running}
        return {"scorer.sampled_out": left_out, **waiting}

    def drain(self, seconds: float) -> bool:
        """Wait until the traces that ended are scored; False when they are not in time."""
        return self._pool.drain(seconds)

    def shutdown(self, seconds: float) -> None:
        """Score what can be scored in time; the rest is dropped and counted."""
        for job in self._pool.stop(seconds):
            if isinstance(job, Run):
                job.scorer.drop("shutdown")


def _arguments(item: Any) -> dict[str, Any]:
    """Return the arguments of ``start`` that an item of ``MLFLOW_OTEL_SCORERS`` stands for."""
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, tuple) and len(item) == 2:
        return {"scorer": item[0], "sampling_config": item[1]}
    return {"scorer": item}
