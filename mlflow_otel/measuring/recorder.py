"""Records the measures of released spans and traces, in a thread beside the app's."""

from __future__ import annotations

import threading
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from mlflow_otel.conventions import genai
from mlflow_otel.conventions.versions import version
from mlflow_otel.export.mapped import BatchContext, view_of
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping import content, measures, trace
from mlflow_otel.mapping.measures import Measure, MeasuredSpan
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.measuring.instruments import MAX_VALUES, Record, create
from mlflow_otel.signals.attribute_limits import AttributeLimits
from mlflow_otel.signals.lazy_pipelines import LazyPipelines

NANOSECONDS: Final = 1e9
AFTER_EXPORT: Final = 7.0
"""Seconds after which spans are measured, a little more than ``BatchSpanProcessor`` waits by default."""


class Recorder:
    """Turns spans into metrics. Never raises, and does not wait for the network.

    ``_opening`` is an opening lock (docs/architecture.md): the instruments are made once, under it.
    ``_waiting_lock`` guards the number of waiting bytes. A forked child begins with new locks, no
    instruments and nothing waiting.

    Args:
        signals: Has the pipeline of metrics, and the thread this is done in.
    """

    def __init__(self, signals: LazyPipelines) -> None:
        self._signals = signals
        self._limited = AttributeLimits(MAX_VALUES)
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have no instruments and nothing waiting. Called in a forked child too."""
        self._opening = threading.RLock()
        self._waiting_lock = threading.RLock()
        self._waiting_bytes = 0
        self._instruments: dict[str, Record] | None = None

    def open(self) -> None:
        """Make the instruments, in the caller's thread: when the interpreter exits, no other thread can."""
        with self._opening:
            if self._instruments is None:
                self._instruments = create(
                    self._signals.meters().meter,
                    version(latest=self._signals.settings.latest_conventions),
                )

    def released(
        self, spans: list[ReadableSpan], batch: BatchContext, root: ReadableSpan | None
    ) -> None:
        """Take spans that were released.

        Args:
            spans: The spans.
            batch: What they share.
            root: The local root, when a trace of MLflow's ended with them.
        """
        signals = self._signals
        if signals.closed:
            return
        if self._instruments is None:
            self.open()
        if not signals.settings.asynchronous:
            self._record(spans, batch, root)
        elif not self._measure_in_background(spans, batch, root):
            signals.accounting.warn(
                "metrics.not_measured",
                "Spans are missing from the GenAI metrics, because too many wait to be measured: "
                "the app makes more spans than one core can measure. Set MLFLOW_OTEL_METRICS=false"
                " to turn these metrics off.",
                number=len(spans),
            )

    def _measure_in_background(
        self, spans: list[ReadableSpan], batch: BatchContext, root: ReadableSpan | None
    ) -> bool:
        """Have spans measured in the background. False when too much waits there."""
        size = batch.size

        def measure() -> None:
            try:
                self._record(spans, batch, root)
            finally:
                self._add_to_waiting(-size)

        waiting, most = self._add_to_waiting(size), self._signals.settings.max_held_bytes
        # Spans that are exported are mapped by the exporter first, and measured by its result.
        after = AFTER_EXPORT if batch.outlines is not None and waiting <= most / 2 else 0.0
        if waiting > most or not self._signals.jobs.run(measure, after):
            self._add_to_waiting(-size)
            return False
        return True

    def _add_to_waiting(self, size: int) -> int:
        with self._waiting_lock:
            self._waiting_bytes += size
            return self._waiting_bytes

    def _record(
        self, spans: list[ReadableSpan], batch: BatchContext, root: ReadableSpan | None
    ) -> None:
        context = batch.context()
        environment = trace.stamp(context, batch.options).get(genai.ENVIRONMENT)
        timed = [_measured_span(span, batch) for span in spans]
        found: dict[ReadableSpan, list[Measure]] = {}
        for index, measure in measures.measures_of_spans(timed, batch.options.version):
            found.setdefault(spans[index], []).append(measure)
        if root is not None:
            of_trace = measures.measures_of_trace(context, root.name, _seconds(root))
            found.setdefault(root, []).extend(of_trace)
        for span, measured in found.items():
            self._add(measured, span.context, environment, batch.options)

    def _add(
        self,
        found: list[Measure],
        span: SpanContext | None,
        environment: object,
        options: MappingOptions,
    ) -> None:
        if span is None or self._instruments is None:
            return
        around = set_span_in_context(NonRecordingSpan(span), Context())  # for exemplars
        for name, value, attributes in found:
            if environment is not None:
                attributes[genai.ENVIRONMENT] = environment
            leaving = self._limited(_guarded(name, attributes, options))
            self._instruments[name](value, leaving, around)


def _guarded(name: str, attributes: dict[str, Any], options: MappingOptions) -> dict[str, Any]:
    """Return what leaves of a metric's attributes."""
    if not options.capture_content:
        attributes = content.of_metric(attributes, options)
    return attributes if options.redact is None else redacted(name, attributes, options.redact)


def _measured_span(span: ReadableSpan, batch: BatchContext) -> MeasuredSpan:
    span_id = span.context.span_id
    known = None if batch.outlines is None else batch.outlines.get(span_id)
    view = view_of(span, batch) if known is None else None
    parent_id = None if span.parent is None else span.parent.span_id
    return MeasuredSpan(view, span_id, parent_id, _seconds(span), known)


def _seconds(span: ReadableSpan) -> float:
    return max((span.end_time or 0) - (span.start_time or 0), 0) / NANOSECONDS
