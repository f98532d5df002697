"""``MlflowSpanExporter``: spans, mapped, to an OTLP endpoint."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.signal_delivery import SignalDelivery
from mlflow_otel.delivery.transport import Outcome, Transport
from mlflow_otel.export.flushing import called_by_force_flush
from mlflow_otel.export.guards import Guards
from mlflow_otel.export.hooks import ShouldExport
from mlflow_otel.export.mapped import BatchContext, MappedSpan, made_by_mlflow
from mlflow_otel.export.observability import Observer, observe
from mlflow_otel.export.spans import encode_spans
from mlflow_otel.mapping.model import Redact
from mlflow_otel.settings import Settings

_live: Final[dict[int, weakref.ref[MlflowSpanExporter]]] = {}


def flush_all(seconds: float) -> None:
    """Wait for what every exporter of this process has in flight.

    Args:
        seconds: For all of them.
    """
    until = time.monotonic() + seconds
    for weak in list(_live.values()):
        exporter = weak()
        if exporter is not None:
            exporter.force_flush(max(int((until - time.monotonic()) * 1000), 0))


class MlflowSpanExporter(SpanExporter):
    """Exports spans over OTLP, gRPC or HTTP/protobuf, as ``OTEL_EXPORTER_OTLP_*`` say.

    Spans that ``MlflowSpanProcessor`` handed on carry the session, user, tags and other context of their
    trace. MLflow's spans from another processor are mapped by what they hold themselves. Nothing here
    raises: what cannot be sent is counted and warned about, once a minute a cause.

    Requests are cut below ``MLFLOW_OTEL_MAX_REQUEST_BYTES``, and below what a server refuses as too
    large. A span that is too large by itself has its largest values truncated. Up to
    ``MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS`` requests are in flight, each retried as the OTLP
    specification says for up to ``MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT`` seconds without holding
    up the others. With ``MLFLOW_ENABLE_ASYNC_TRACE_LOGGING=false`` each is sent in the calling
    thread, within ``OTEL_EXPORTER_OTLP_TIMEOUT``. So is a batch that the SDK's own processor exports
    in its ``force_flush``, which does not flush the exporter itself.

    With ``MLFLOW_OTEL_SPOOL_DIR`` set, a request that the backend does not take at the first try is
    spooled. This process or the next sends it when the backend is back: see ``spool`` and ``backlog``.

    Args:
        settings: The configuration; from the environment when None.
        transport: Sends the bytes; opened by the settings when None.
        redact: Called as ``redact(name, key, value)`` with each attribute, event attribute and link
            attribute that leaves, after the mapping, in the export thread. It returns what leaves
            instead, or None to leave it out. If it raises, that value does not leave. The name is
            the span's or the event's. Values that all spans of a trace share are shown once, with
            the trace's name. A span's status text has the key ``otel.status_description``. Beats
            ``MLFLOW_OTEL_REDACT``.
        should_export: Called with a ``SpanToExport`` for each span. If it returns False, the span
            does not leave, and is counted as ``filtered``. Its children leave as they are. Most
            backends show them as further roots of the trace. If it raises, the span leaves. Beats ``MLFLOW_OTEL_SHOULD_EXPORT``.
        accounting: Gets the counters, those of ``SignalDelivery``.

    Example:
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from opentelemetry.sdk.trace.export import BatchSpanProcessor
        >>> provider = TracerProvider()
        >>> exporter = mlflow_otel.MlflowSpanExporter()
        >>> provider.add_span_processor(BatchSpanProcessor(exporter))
        >>> provider.get_tracer("app").start_span("answer").end()
        >>> provider.force_flush()
        True
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        redact: Redact | None = None,
        should_export: ShouldExport | None = None,
        transport: Transport | None = None,
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        settings_in_force = (
            Settings.from_environment(accounting=accounting) if settings is None else settings
        )
        self._guards = Guards.of(settings_in_force.with_hooks(redact, should_export), accounting)
        self._own_batch = BatchContext(
            options=self._guards.options, accounting=accounting, keep=self._guards.keep
        )
        self._accounting = accounting
        self._seconds = settings_in_force.traces.timeout
        self._observer: Observer | None = None  # a spool may send before the next line is over
        self._delivery = SignalDelivery(
            "traces",
            settings_in_force,
            transport=transport,
            accounting=accounting,
            tried=self._observe,
        )
        if settings_in_force.internal_metrics:
            self._observer = observe(self, accounting, settings_in_force.traces)
        number = id(self)
        _live[number] = weakref.ref(self, lambda _: _live.pop(number, None))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take ``spans`` for delivery. Each is exported, or counted as dropped.

        Returns:
            SUCCESS when taken (or, when exporting in the calling thread, accepted by the server).
        """
        leaving = [span for span in map(self._mapped, spans) if span is not None]
        if spans and not leaving:
            return SpanExportResult.SUCCESS
        taken = self._delivery.deliver(
            lambda: encode_spans(leaving, self._accounting), len(leaving)
        )
        # MlflowSpanProcessor flushes the exporter itself, other processors do not.
        if spans and not isinstance(spans[0], MappedSpan) and called_by_force_flush():
            taken &= self._delivery.force_flush(self._seconds)
        return SpanExportResult.SUCCESS if taken else SpanExportResult.FAILURE

    def _mapped(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return a span as it leaves, or None when it does not."""
        guards = self._guards
        if isinstance(span, MappedSpan):
            batch = guards.restrict(span.batch)
            if batch is not span.batch:
                span = MappedSpan(span.recorded, batch)
        elif guards.holds_nothing_back and not made_by_mlflow(span):
            return span
        else:
            span = MappedSpan(span, self._own_batch)
        return span if span.batch.keep is None or span.kept else None

    def _observe(self, seconds: float, outcome: Outcome) -> None:
        if self._observer is not None:
            self._observer.tried(seconds, outcome)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait for what is in flight. True if everything taken since the last flush was accepted in time."""
        return self._delivery.force_flush(timeout_millis / 1000)

    @property
    def in_flight(self) -> int:
        """Spans taken and neither exported, dropped nor spooled yet."""
        return self._delivery.in_flight

    @property
    def spooled(self) -> int:
        """Spans of this process that are in the spool. They are sent in the background."""
        return self._delivery.spooled

    def stop_by(self, seconds: float) -> None:
        """Begin to end: what is not delivered in ``seconds`` is dropped and counted."""
        self._delivery.stop_by(seconds)

    def shutdown(self) -> None:
        """Give what is in flight up to 5 seconds, then close the connection. Later spans are dropped.

        With a spool, what was not delivered by then is in it.
        """
        self._delivery.shutdown()
