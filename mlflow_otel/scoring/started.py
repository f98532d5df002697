"""One scorer that was started: its configuration, its limits, and what became of the traces."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.filtering.grammar import Clause, FilterError, parse
from mlflow_otel.filtering.matching import cannot_be_matched
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.scoring.limits import PAUSE_SECONDS, Breaker, CostCap, TokenBucket
from mlflow_otel.scoring.model import DEFAULT_SECONDS, Prepared, ScorerError, ScorerStatus
from mlflow_otel.scoring.pool import NEVER

MOST_HUNG: Final = 3
"""Threads that one scorer may keep after its timeout; until one comes back it is not run."""

PACE_SECONDS: Final = 0.1
"""How often it is looked whether another run is allowed."""

CAUSES: Final = {
    "queue_full": "too many traces wait to be scored. Lower its sample_rate, or raise MLFLOW_OTEL_SCORER_WORKERS",
    "rate": "it would run more often than max_per_minute. Lower its sample_rate, or raise that",
    "cost": "it has cost max_cost_per_day today (UTC). It goes on tomorrow",
    "breaker": "it failed again and again. It is tried once a minute; see the errors of its assessments",
    "hung": "calls of it did not come back after its timeout. See where it waits",
    "shutdown": "the process ended before it was run",
    "not_whole": "they are larger than what is held. Raise MLFLOW_OTEL_MAX_HELD_BYTES",
}
"""Why a trace is not scored, and what to do."""


def clauses_of(name: str, config: Any) -> tuple[Clause, ...]:
    """Return a sampling configuration's filter.

    Raises:
        ScorerError: It cannot be evaluated here; the message names the clause.
    """
    try:
        clauses = parse(getattr(config, "filter_string", None))
    except FilterError as error:
        raise ScorerError(f"The filter of the scorer {name!r} cannot be read: {error}") from error
    beyond = cannot_be_matched(clauses)
    if beyond is not None:
        raise ScorerError(
            f"The filter of the scorer {name!r} has {beyond.text!r}, which cannot be evaluated when a "
            "trace ends: use status, name, tags, metadata, request IDs, times, span name, type, status "
            "and attributes"
        )
    return clauses


def rate_of(name: str, config: Any) -> float:
    """Return a sampling configuration's rate.

    Raises:
        ScorerError: It is none.
    """
    rate = getattr(config, "sample_rate", None)
    if rate is None:
        return 1.0
    if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise ScorerError(
            f"The sample_rate of the scorer {name!r} must be from 0 to 1, not {rate!r}"
        )
    return float(rate)


class Started:
    """A scorer that was started.

    The lock guards the limits and the counts. A forked child begins with a new lock, no counts, and
    the limits as they were.

    Args:
        prepared: The scorer.
        config: Which traces it sees.
        accounting: Gets what becomes of the traces.
        timeout: Seconds a run may take; the scorer's own when None. 0: as long as it likes.
        max_per_minute: Runs, at most.
        max_cost_per_day: US dollars, at most.
    """

    def __init__(
        self,
        prepared: Prepared,
        config: Any,
        accounting: Accounting,
        *,
        timeout: float | None = None,
        max_per_minute: float | None = None,
        max_cost_per_day: float | None = None,
    ) -> None:
        self.prepared = prepared
        self.name = prepared.name
        self.configure(config)
        for what, value in (
            ("timeout", timeout),
            ("max_per_minute", max_per_minute),
            ("max_cost_per_day", max_cost_per_day),
        ):
            if value is not None and not (isinstance(value, (int, float)) and value >= 0):
                raise ScorerError(f"{what} of the scorer {self.name!r} must not be {value!r}")
        own = DEFAULT_SECONDS if prepared.seconds is None else prepared.seconds
        self.seconds = (own if timeout is None else timeout) or NEVER
        self._accounting = accounting
        self._bucket = (
            None if max_per_minute is None else TokenBucket(max_per_minute, time.monotonic())
        )
        self._paced = False
        self.capped = max_cost_per_day is not None
        self._cap = CostCap(math.inf if max_cost_per_day is None else max_cost_per_day)
        self._breaker = Breaker(self._opened)
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Count from zero, with a new lock. Called in a forked child too."""
        self._lock = threading.RLock()
        self.runs = self.failed = self._sampled_out = self._hung = 0
        self.left_out = 0  # by the rate: added to by the app's threads, under their caller's lock
        self.dropped: Counter[str] = Counter()

    def configure(self, config: Any) -> None:
        """Take another sampling configuration; raises ``ScorerError`` when it cannot be followed."""
        self.rate, self.clauses = rate_of(self.name, config), clauses_of(self.name, config)
        self.config = config

    @property
    def sampled_out(self) -> int:
        """Traces that the rate or the filter left out."""
        return self.left_out + self._sampled_out

    def filtered_out(self) -> None:
        """Count a trace that the filter left out."""
        with self._lock:
            self._sampled_out += 1

    def drop(self, cause: str, number: int = 1) -> None:
        """Count traces that were to be scored and are not, and say so once a minute."""
        with self._lock:
            self.dropped[cause] += number
        self._accounting.count("scorer.dropped", number)
        self._accounting.warn(
            f"scorer.dropped.{cause}",
            "Traces are not scored by %s: " + CAUSES[cause] + ".",
            self.name,
            number=number,
        )

    def may_run(self) -> bool:
        """Tell whether a run may begin now; if not, that is counted."""
        cause = self._hindered()
        if cause is not None:
            self.drop(cause)
        return cause is None

    def wait_for_turn(self, wait: Callable[[float], object]) -> None:
        """Wait until ``max_per_minute`` allows another run, for one who has the time. Then call ``may_run``.

        Args:
            wait: Waits so many seconds; true when there is no use in waiting.
        """
        self._paced = True  # from now on this is asked here alone
        while self._bucket is not None:
            with self._lock:
                if self._bucket.take(time.monotonic()):
                    return
            if wait(PACE_SECONDS):
                return

    def _hindered(self) -> str | None:
        now = time.monotonic()
        with self._lock:
            if self._hung >= MOST_HUNG:
                return "hung"
            if not self._cap.allows(time.time()):
                return "cost"
            if self._bucket is not None and not self._paced and not self._bucket.take(now):
                return "rate"
            return None if self._breaker.allows(now) else "breaker"

    def ran(self, *, failed: bool, cost: float = 0.0) -> None:
        """Count a run."""
        with self._lock:
            self.runs += 1
            self._cap.add(cost, time.time())
            if failed:
                self.failed += 1
                self._breaker.failed(time.monotonic())
            else:
                self._breaker.succeeded()
        self._accounting.count("scorer.runs")
        if failed:
            self._accounting.count("scorer.failed")

    def cost_unknown(self) -> None:
        """Say once a minute that the cost cap cannot hold."""
        self._accounting.warn(
            f"scorer.cost_unknown.{self.name}",
            "The scorer %s has max_cost_per_day, and its judge does not say what an answer has cost: MLflow "
            "knows no price of its model. So that limit does not hold. Set max_per_minute.",
            self.name,
        )

    def unreported(self, kind: str, why: Exception) -> None:
        """Count a failure that could not be logged on its trace, and say so once a minute."""
        self._accounting.warn(
            "scorer.unreported",
            "The scorer %s failed (%s), and its trace does not say so (%s). Please report it to mlflow-otel.",
            self.name,
            kind,
            type(why).__name__,
        )

    def hangs(self, by: int) -> None:
        """Count a thread that the scorer keeps after its timeout, or that came back (-1)."""
        with self._lock:
            self._hung += by

    def _opened(self) -> None:
        self._accounting.warn(
            f"scorer.breaker_opened.{self.name}",
            "The scorer %s failed again and again. It is tried once in %d s until it succeeds; the "
            "errors stand on its assessments.",
            self.name,
            int(PAUSE_SECONDS),
        )

    def status(self) -> ScorerStatus:
        """Return what ``handle.scorers.list()`` shows."""
        with self._lock:
            return ScorerStatus(
                name=self.name,
                sampling_config=self.config,
                digest=self.prepared.digest,
                runs=self.runs,
                failed=self.failed,
                sampled_out=self.sampled_out,
                dropped=dict(self.dropped),
                cost=self._cap.spent,
                open=self._breaker.is_open,
            )
