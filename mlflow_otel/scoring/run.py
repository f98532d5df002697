"""One scorer's run over what it judges: from the filter to the assessments."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Mapping
from typing import Any

from mlflow_otel.filtering.matching import matches
from mlflow_otel.scoring import mlflow_adapter
from mlflow_otel.scoring.started import Started
from mlflow_otel.scoring.subject import Subject
from mlflow_otel.tracing import scorer_calls
from mlflow_otel.tracing.scorer_calls import ScorerCall
from mlflow_otel.untraced import untraced

Log = Callable[[Subject, Any], object]
"""Takes what was judged, and MLflow's ``Feedback``."""
Timed = Callable[[str, float, str | None], object]


class Outcome:
    """What a run came to.

    Args:
        error: What the scorer raised, or None.
        value: What it returned.
        seconds: How long it took.
    """

    __slots__ = ("error", "seconds", "value")

    def __init__(self, value: Any, error: BaseException | None, seconds: float) -> None:
        self.value = value
        self.error = error
        self.seconds = seconds


class Run:
    """A job of the pool: one scorer over one trace, or one session.

    Args:
        scorer: The scorer.
        subject: What it judges.
        log: Logs what it says.
        timed: Takes each run's scorer, seconds, and error type.
        traced: Whether what the scorer calls leaves as traces.
    """

    __slots__ = ("_log", "_subject", "_timed", "_traced", "scorer")

    def __init__(
        self, scorer: Started, subject: Subject, log: Log, timed: Timed, *, traced: bool
    ) -> None:
        self.scorer = scorer
        self._subject = subject
        self._log = log
        self._timed = timed
        self._traced = traced

    @property
    def seconds(self) -> float:
        """How long it may take."""
        return self.scorer.seconds

    def work(self) -> Outcome | None:
        """Run the scorer, if the trace meets its filter and its limits allow it."""
        began = time.monotonic()
        try:
            if not self._subject.is_production or not self._meets_filter():
                self.scorer.filtered_out()
                return None
            if not self.scorer.may_run():
                return None
            takes = self.scorer.prepared.takes
            given = {name: self._subject.argument(name) for name in sorted(takes)}
            value = contextvars.Context().run(self._call, given)
        except BaseException as error:  # sys.exit() too: it is the scorer's, not the app's
            return Outcome(None, error, time.monotonic() - began)
        return Outcome(value, None, time.monotonic() - began)

    def _meets_filter(self) -> bool:
        clauses = self.scorer.clauses
        return not clauses or matches(clauses, self._subject.values())

    def _call(self, given: Mapping[str, Any]) -> Any:
        call = ScorerCall(self.scorer.name, *self._subject.location)
        scorer_calls.current.set(call)
        try:
            with contextlib.nullcontext() if self._traced else untraced():
                return self.scorer.prepared.call(**given)
        finally:
            call.ended = True

    def done(self, outcome: Outcome | None) -> None:
        """Log what the scorer said."""
        if outcome is None:
            return
        error, results = outcome.error, []
        if error is None:
            try:
                results = mlflow_adapter.feedbacks(
                    self.scorer.prepared, self._subject, outcome.value
                )
                for one in results:
                    self._log(self._subject, one)
            except Exception as refused:
                error = refused
        if self.scorer.capped and mlflow_adapter.costs_unknown(results):
            self.scorer.cost_unknown()
        if error is None:
            kind = mlflow_adapter.error_of(results)  # judges return their errors, too
            self._count(kind, mlflow_adapter.cost_of(results), outcome.seconds)
        else:
            self._report(error, mlflow_adapter.cost_of(results), outcome.seconds)

    def overdue(self) -> None:
        """Log that the scorer took too long."""
        self.scorer.hangs(1)
        error = TimeoutError(f"{self.scorer.name} took longer than {self.scorer.seconds:g} seconds")
        self._report(error, 0.0, self.scorer.seconds)

    def came_back(self) -> None:
        """Note that the thread that took too long has ended."""
        self.scorer.hangs(-1)

    def _count(self, kind: str | None, cost: float, seconds: float) -> None:
        self.scorer.ran(failed=kind is not None, cost=cost)
        self._timed(self.scorer.name, seconds, kind)

    def _report(self, error: BaseException, cost: float, seconds: float) -> None:
        """Count a failure, and log it on the trace."""
        kind = type(error).__name__
        self._count(kind, cost, seconds)
        try:
            said = mlflow_adapter.failure(self.scorer.prepared, self._subject, error)
            self._log(self._subject, said)
        except Exception as refused:  # of an exception without words, or of the log
            self.scorer.unreported(kind, refused)
