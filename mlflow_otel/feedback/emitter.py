"""An assessment on its way out: the evaluation's event, its span, its metrics."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.delivery.exporter import mapping_options
from mlflow_otel.delivery.mapped import SCOPE
from mlflow_otel.feedback.judged import Judged
from mlflow_otel.feedback.later import Later
from mlflow_otel.forking import in_child
from mlflow_otel.mapping import assessment
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.settings import Settings

if TYPE_CHECKING:
    from mlflow_otel.feedback.pipelines import Events, Metrics

MAX_VALUES: Final = {genai.EVALUATION_NAME: 200, genai.EVALUATION_SCORE_LABEL: 50, genai.ERROR_TYPE: 50}  # fmt: skip
"""Values a metric attribute may take (labels: for each name); what comes then counts as ``_OTHER``."""

_ids: Final = RandomIdGenerator()


class Emitter:
    """Sends assessments as the signals that ``MLFLOW_OTEL_ASSESSMENT_SIGNALS`` names. Never raises.

    Nothing is opened before the first assessment.

    Args:
        settings: The configuration.
        open_spans: Returns what takes evaluation spans into the traces' own pipeline.
        resource: Whose assessments these are.
        accounting: Gets ``assessments`` and ``assessments.*``.
        signals: The signals to send; those of the settings when None.
    """

    def __init__(
        self,
        settings: Settings,
        open_spans: Callable[[], Callable[[ReadableSpan], None]],
        resource: Callable[[], Resource],
        accounting: Accounting = ACCOUNTING,
        *,
        signals: frozenset[str] | None = None,
    ) -> None:
        self._settings = settings
        self._options = mapping_options(settings)
        self._open_spans = open_spans
        self._hand_on: Callable[[ReadableSpan], None] | None = None
        self._resource = resource
        self._accounting = accounting
        self._signals = settings.assessment_signals if signals is None else signals
        self._closed = False
        self._ready = False
        self._forked = False
        self._opening = threading.Lock()
        self._events: Events | None = None
        self._metrics: Metrics | None = None
        in_child(self._begin_in_child)
        self._later = Later()
        self._values: defaultdict[Any, set[Any]] = defaultdict(set)

    def _begin_in_child(self) -> None:
        # What the parent counted is the parent's to report; a child counts from nothing, as an
        # instance of its own, or the two would overwrite each other.
        self._opening = threading.Lock()
        self._metrics = None
        self._ready = False
        self._forked = True

    def emit(self, view: AssessmentView, judged: Judged) -> None:
        """Send one assessment; does not wait for the network."""
        if self._settings.disabled:
            return
        self._accounting.count("assessments")
        if self._closed:
            self._accounting.warn(
                "assessments.already_shutdown",
                "Assessments that are logged after shutdown() are dropped: shut down last of all.",
            )
            return
        if not self._ready:
            self._open()
        if not self._settings.asynchronous:
            self._send(view, judged)
        elif not self._later.run(lambda: self._send(view, judged)):
            self._accounting.warn(
                "assessments.dropped",
                "Assessments are dropped: too many wait. Log them more slowly, or flush in between.",
            )

    def _open(self) -> None:
        # In the caller's thread, once: when the interpreter exits, no other can open them.
        with self._opening:
            if self._ready:
                return
            try:
                # The SDK's logs and metrics: an app that gets no feedback need not load them.
                from mlflow_otel.feedback.pipelines import Events, Metrics  # noqa: PLC0415

                resource = self._resource()
                if "traces" in self._signals:
                    self._hand_on = self._open_spans()
                if "logs" in self._signals and self._events is None:
                    self._events = Events(self._settings, resource, self._accounting)
                if "metrics" in self._signals:
                    if self._forked:
                        own = Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())})
                        resource = resource.merge(own)
                    self._metrics = Metrics(self._settings, resource, self._accounting)
            except Exception as error:
                self._failed("assessments", "a signal", error)
            self._ready = True

    def _failed(self, name: str, what: str, error: Exception) -> None:
        self._accounting.warn(
            "assessments.failed",
            "An assessment (%s) did not leave as %s (%s: %s). Please report it to mlflow-otel.",
            str(name)[:100], what, type(error).__name__, error,
        )  # fmt: skip

    def _send(self, view: AssessmentView, judged: Judged) -> None:
        stamp = judged.stamp if judged.sampled else {**judged.stamp, keys.TRACE_SAMPLED: False}
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
            if signal in self._signals:
                try:
                    send(view, judged, attributes)
                except Exception as error:
                    self._failed(view.name, signal, error)

    def _emit_event(self, view: AssessmentView, judged: Judged, event: dict[str, Any]) -> None:
        if self._events is None:
            return
        self._events.emit(
            genai.EVALUATION_RESULT_EVENT, view.time, judged.trace_id, judged.span_id or 0,
            int(judged.sampled), event,
        )  # fmt: skip

    def _emit_span(self, view: AssessmentView, judged: Judged, event: dict[str, Any]) -> None:
        if not judged.sampled or self._hand_on is None:
            return  # its trace is not there
        sampled = TraceFlags(TraceFlags.SAMPLED)
        over = judged.span_id and SpanContext(judged.trace_id, judged.span_id, True, sampled)
        failed = view.error_code is not None
        said = event.get(keys.ASSESSMENT_ERROR_MESSAGE)
        self._hand_on(
            ReadableSpan(
                name=assessment.span_name(view),
                context=SpanContext(judged.trace_id, _ids.generate_span_id(), False, sampled),
                parent=over or None,
                resource=self._resource(),
                attributes=assessment.span_attributes(event, self._options),
                links=(Link(over),) if over else (),
                kind=SpanKind.INTERNAL,
                status=Status(StatusCode.ERROR, said) if failed else Status(),
                start_time=view.time,
                end_time=view.time,
                instrumentation_scope=SCOPE,
            )
        )

    def _record(self, view: AssessmentView, judged: Judged, _event: dict[str, Any]) -> None:
        if view.operation != "create":
            return  # counted when it was made
        if self._metrics is None:
            return
        found = assessment.metric_attributes(view, sampled=judged.sampled)
        self._metrics.record(assessment.score_of(view), self._bounded(found))

    def _bounded(self, attributes: dict[str, Any]) -> dict[str, Any]:
        for key, most in MAX_VALUES.items():
            value = attributes.get(key)
            if value is None:
                continue
            name = attributes[genai.EVALUATION_NAME] if key != genai.EVALUATION_NAME else ""
            known = self._values[key, name]
            if value not in known and len(known) >= most:
                attributes[key] = genai.ERROR_TYPE_OTHER
            else:
                known.add(value)
        return attributes

    def drain(self, seconds: float) -> bool:
        """See to it that what was logged is on its way; False when it is not in time."""
        return self._later.drain(seconds)

    @property
    def is_open(self) -> bool:
        """Whether events or metrics were sent, so that ending takes a moment."""
        return bool(self._pipelines)

    @property
    def _pipelines(self) -> list[tuple[str, Events | Metrics]]:
        pipelines = (("logs.", self._events), ("metrics.", self._metrics))
        return [(name, pipeline) for name, pipeline in pipelines if pipeline is not None]

    def stats(self) -> dict[str, int]:
        """Return how many log records and metrics are in flight and spooled."""
        return {k: n for name, one in self._pipelines for k, n in one.stats(name).items()}

    def force_flush(self, seconds: float) -> bool:
        """Export events and metrics that wait; True if all were accepted in time."""
        until = time.monotonic() + seconds
        if not self._later.drain(seconds):
            return False
        flushed = [
            one.force_flush(max(until - time.monotonic(), 0.0)) for _, one in self._pipelines
        ]
        return all(flushed)

    def shutdown(self, seconds: float) -> None:
        """Export what waits and end, in time. Once."""
        until = time.monotonic() + seconds
        self._closed = True
        self._later.drain(seconds / 2)
        for _, pipeline in self._pipelines:
            pipeline.stop_by(max(until - time.monotonic(), 0.0))
        for _, pipeline in self._pipelines:
            pipeline.shutdown(max(until - time.monotonic(), 0.0))
        self._events = self._metrics = None
