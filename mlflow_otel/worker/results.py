"""What scorers say, on its way: as event, evaluation span and metrics, as any assessment leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.conventions import genai
from mlflow_otel.delivery.outlet import Outlet, Waiting
from mlflow_otel.export.guards import mapping_options
from mlflow_otel.feedback import mlflow_adapter
from mlflow_otel.feedback.emitter import MAX_VALUES, Scores
from mlflow_otel.feedback.ledger import Ledger
from mlflow_otel.mapping import assessment
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.otlp.evaluation import Evaluation
from mlflow_otel.scoring.subject import Subject
from mlflow_otel.settings import Settings, Signal
from mlflow_otel.signals.attribute_limits import AttributeLimits
from mlflow_otel.signals.lazy_pipelines import LazyPipelines
from mlflow_otel.worker.subjects import PlacedSubject

SENT: Final[Sequence[Signal]] = ("traces", "logs")
OVERHEAD_BYTES: Final = 2000
"""What a result takes up while it waits, besides its texts."""


class Results:
    """Sends what scorers say of traces that other processes made.

    It has the resource of the judged trace, so that it stands beside it. A result is encoded and sent
    in threads of its own.

    Args:
        settings: Where to, and as which signals.
        signals: The pipeline of metrics.
        accounting: Gets ``assessments`` and the counters of delivery.
    """

    def __init__(self, settings: Settings, signals: LazyPipelines, accounting: Accounting) -> None:
        self._accounting = accounting
        self._options = mapping_options(settings, accounting)
        self._signals = signals
        self._measured = "metrics" in settings.assessment_signals
        self._limited = AttributeLimits(MAX_VALUES, each=genai.EVALUATION_NAME)
        self._scores: Scores | None = None
        self._ledger = Ledger()
        self._outlets: dict[Signal, Outlet] = {
            signal: Outlet(
                signal,
                settings,
                accounting if signal == "traces" else accounting.prefixed(f"{signal}."),
                optional=signal != "traces",
            )
            for signal in SENT
            if signal in settings.assessment_signals
        }

    def open(self) -> None:
        """Open the metrics, where there are any."""
        if self._measured:
            try:
                self._scores = Scores(self._signals.meters().meter)
            except Exception as error:
                self._accounting.warn(
                    "metrics.failed",
                    "There are no metrics of assessments (%s: %s). See OTEL_EXPORTER_OTLP_METRICS_*.",
                    type(error).__name__,
                    error,
                )

    @property
    def waiting_bytes(self) -> int:
        """Bytes of what is not in a request yet."""
        return sum(outlet.waiting_bytes for outlet in self._outlets.values())

    def put(self, judged: Subject, feedback: Any) -> None:
        """Send one result.

        Args:
            judged: What was judged.
            feedback: MLflow's ``Feedback``.

        Raises:
            MlflowException: It is not valid; nothing of it was sent.
        """
        if not isinstance(judged, PlacedSubject):
            raise TypeError(f"{type(judged).__name__} has no place for results")
        mlflow_adapter.check(judged.trace_id, feedback)
        view = self._view(judged, feedback)
        target = judged.target(self._options)
        sent = Evaluation(
            view, target.stamp, target.trace_id, target.span_id, judged.resource, self._options
        )
        size = OVERHEAD_BYTES + len(view.rationale or "") + len(view.error_stack_trace or "")
        made = {"traces": sent.span, "logs": sent.event}
        for signal, outlet in self._outlets.items():
            outlet.put(Waiting(made[signal], 1, size))
        self._accounting.count("assessments")
        if self._scores is not None and view.operation == "create":
            attributes = assessment.metric_attributes(view, self._options, sampled=True)
            self._scores.record(assessment.score_of(view), self._limited(attributes))

    def _view(self, judged: PlacedSubject, feedback: Any) -> AssessmentView:
        """Return a result's plain values; one that was said before is an update of that."""
        made = mlflow_adapter.created(judged.trace_id, feedback)
        former = self._ledger.get(made.assessment_id) or next(
            (one for one in judged.said if one.assessment_id == made.assessment_id), None
        )
        self._ledger.put(made)
        if former is None:
            return mlflow_adapter.view_of(made)
        made.create_time_ms = former.create_time_ms
        return mlflow_adapter.view_of(made, "update")

    def flush(self, seconds: float) -> bool:
        """Wait for what was put; True if all since the last flush was accepted in time."""
        return all([outlet.flush(seconds) for outlet in self._outlets.values()])  # noqa: C419 (each)

    def close(self, seconds: float) -> None:
        """Deliver what can be in time; the rest is spooled, or counted as dropped."""
        for outlet in self._outlets.values():
            outlet.close(seconds / max(len(self._outlets), 1))
