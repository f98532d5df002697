"""Sends an assessment: as the evaluation's event, its span, its metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.metrics import Meter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status, StatusCode

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.guards import mapping_options
from mlflow_otel.feedback.assessment_target import AssessmentTarget
from mlflow_otel.feedback.later_span import later_span
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping import assessment
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.signals.attribute_limits import AttributeLimits
from mlflow_otel.signals.lazy_pipelines import LazyPipelines

if TYPE_CHECKING:
    from mlflow_otel.signals.pipelines import Events

MAX_VALUES: Final = {
    genai.EVALUATION_NAME: 200,
    genai.EVALUATION_SCORE_LABEL: 50,
    genai.ERROR_TYPE: 50,
}
"""Values a metric attribute may take; labels and errors: for each name."""

BOUNDARIES: Final = (
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1,
    2,
    3,
    4,
    5,
    10,
    25,
    50,
    75,
    100,
)
"""Of the score histogram: scores go from 0 to 1 mostly, to 5 or 10 often, to 100 sometimes."""


class Emitter:
    """Sends assessments as the signals that ``MLFLOW_OTEL_ASSESSMENT_SIGNALS`` names. Never raises.

    Nothing is opened before the first assessment. ``_opening`` is an opening lock
    (docs/architecture.md): the pipelines are opened once, under it. A forked child begins with a new
    lock and opens what it needs itself.

    Args:
        signals: The pipelines of events and metrics.
        open_spans: Returns what takes evaluation spans into the traces' own pipeline.
        resource: Returns the resource of the evaluation's event and span.
        wanted: The signals to send; those of the settings when None.
    """

    def __init__(
        self,
        signals: LazyPipelines,
        open_spans: Callable[[], Callable[[ReadableSpan], None]],
        resource: Callable[[], Resource],
        wanted: frozenset[str] | None = None,
    ) -> None:
        self._signals = signals
        self._settings = signals.settings
        self._accounting = signals.accounting
        self._options = mapping_options(self._settings, self._accounting)
        self._open_spans = open_spans
        self._resource = resource
        self._wanted = self._settings.assessment_signals if wanted is None else wanted
        self._limited = AttributeLimits(MAX_VALUES, each=genai.EVALUATION_NAME)
        self._events: Events | None = None
        self._hand_on: Callable[[ReadableSpan], None] | None = None
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have nothing open. Called in a forked child too."""
        self._opening = threading.RLock()
        self._ready = False
        self._scores: Scores | None = None

    def emit(self, view: AssessmentView, target: AssessmentTarget) -> None:
        """Send one assessment; does not wait for the network."""
        if self._settings.disabled:
            return
        self._accounting.count("assessments")
        if self._signals.closed:
            self._accounting.warn(
                "assessments.already_shutdown",
                "Assessments that are logged after shutdown() are dropped. Call shutdown() last.",
            )
            return
        if not self._ready:
            self._open()
        if not self._settings.asynchronous:
            self._send(view, target)
        elif not self._signals.jobs.run(lambda: self._send(view, target)):
            self._accounting.warn(
                "assessments.dropped",
                "Assessments are dropped, because too many wait to be exported. Log them more "
                "slowly, or call force_flush() in between.",
            )

    def _open(self) -> None:
        # In the caller's thread, once: when the interpreter exits, no other can open them, nor make the
        # resource, whose detectors the SDK runs in a pool of threads.
        with self._opening:
            if self._ready:
                return
            try:
                if "traces" in self._wanted:
                    self._hand_on = self._open_spans()
                    self._resource()
                if "logs" in self._wanted:
                    self._events = self._signals.events()
                if "metrics" in self._wanted:
                    self._scores = Scores(self._signals.meters().meter)
            except Exception as error:
                self._failed("assessments", "a signal", error)
            self._ready = True

    def _failed(self, name: str, what: str, error: Exception) -> None:
        self._accounting.warn(
            "assessments.failed",
            "The assessment %s was not exported as %s (%s: %s). Please report it to mlflow-otel.",
            str(name)[:100],
            what,
            type(error).__name__,
            error,
        )

    def _send(self, view: AssessmentView, target: AssessmentTarget) -> None:
        stamp = target.stamp if target.sampled else {**target.stamp, keys.TRACE_SAMPLED: False}
        try:
            attributes = assessment.event_attributes(view, stamp, self._options)
        except Exception as error:
            self._failed(view.name, "anything", error)
            return
        for signal, send in (
            ("logs", self._emit_event),
            ("traces", self._emit_span),
            ("metrics", self._record),
        ):
            if signal in self._wanted:
                try:
                    send(view, target, attributes)
                except Exception as error:
                    self._failed(view.name, signal, error)

    def _emit_event(
        self, view: AssessmentView, target: AssessmentTarget, event: dict[str, Any]
    ) -> None:
        if self._events is None:
            return
        self._events.emit(
            genai.EVALUATION_RESULT_EVENT,
            view.time,
            target.trace_id,
            target.span_id or 0,
            int(target.sampled),
            self._redacted(genai.EVALUATION_RESULT_EVENT, event),
        )

    def _redacted(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        redact = self._options.redact
        return values if redact is None else redacted(name, values, redact)

    def _emit_span(
        self, view: AssessmentView, target: AssessmentTarget, event: dict[str, Any]
    ) -> None:
        if not target.sampled or self._hand_on is None:
            return  # its trace is not there
        made = assessment.evaluation_span(view, event, self._options)
        failed = None if made.error is None else Status(StatusCode.ERROR, made.error or None)
        self._hand_on(
            later_span(
                made.name,
                target,
                made.attributes,
                made.start,
                self._resource(),
                self._options.version,
                failed,
            )
        )

    def _record(
        self, view: AssessmentView, target: AssessmentTarget, _event: dict[str, Any]
    ) -> None:
        if view.operation != "create":
            return  # counted when it was made
        if self._scores is None:
            return
        attributes = assessment.metric_attributes(view, self._options, sampled=target.sampled)
        attributes = self._redacted(keys.ASSESSMENT_COUNT, attributes)
        self._scores.record(assessment.score_of(view), self._limited(attributes))


class Scores:
    """Counts assessments and records their scores.

    Args:
        meter: Makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._count = meter.create_counter(
            keys.ASSESSMENT_COUNT, "{assessment}", "Assessments logged."
        )
        self._score = meter.create_histogram(
            keys.ASSESSMENT_SCORE,
            "1",
            "Scores of feedback; true counts as 1, false as 0.",
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )

    def record(self, score: float | None, attributes: Mapping[str, Any]) -> None:
        """Count one assessment, and its score if it has one."""
        self._count.add(1, attributes)
        if score is not None:
            self._score.record(score, attributes)
