"""What scorers do, as metrics: read from their counts when a reader collects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.scoring.model import ScorerStatus
from mlflow_otel.signals.attribute_limits import AttributeLimits

SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TRACES: Final = "{trace}"
CAUSE: Final = "error.type"
MAX_ERRORS: Final = {genai.ERROR_TYPE: 50}

Rows = Iterable[tuple[int, dict[str, str]]]

COUNTERS: Final[tuple[tuple[str, str, str, Callable[[ScorerStatus], Rows]], ...]] = (
    (keys.SCORER_RUNS, "{run}", "Runs of scorers.", lambda one: [(one.runs, {})]),
    (keys.SCORER_FAILED, "{run}", "Runs that failed.", lambda one: [(one.failed, {})]),
    (
        keys.SCORER_SAMPLED_OUT,
        TRACES,
        "Traces that a scorer's rate or filter left out.",
        lambda one: [(one.sampled_out, {})],
    ),
    (
        keys.SCORER_DROPPED,
        TRACES,
        "Traces that were to be scored and were not, by cause.",
        lambda one: [(number, {CAUSE: cause}) for cause, number in one.dropped.items()],
    ),
)


class ScorerMetrics:
    """The metrics of scorers.

    Args:
        meter: Makes the instruments.
        started: Returns the scorers' counts.
    """

    def __init__(self, meter: Meter, started: Callable[[], Iterable[ScorerStatus]]) -> None:
        for name, unit, text, rows in COUNTERS:
            meter.create_observable_counter(name, [_reading(started, rows)], unit, text)
        self._limited = AttributeLimits(MAX_ERRORS, each=keys.SCORER_NAME)
        self._duration = meter.create_histogram(
            keys.SCORER_DURATION,
            "s",
            "How long runs of scorers took.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )

    def timed(self, scorer: str, seconds: float, error: str | None) -> None:
        """Record one run."""
        attributes = {keys.SCORER_NAME: scorer}
        if error is not None:
            attributes[genai.ERROR_TYPE] = error
        self._duration.record(seconds, self._limited(attributes))


def _reading(
    started: Callable[[], Iterable[ScorerStatus]], rows: Callable[[ScorerStatus], Rows]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: [
        Observation(number, {keys.SCORER_NAME: one.name, **attributes})
        for one in started()
        for number, attributes in rows(one)
    ]
