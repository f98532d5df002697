"""``should_export`` in front of exporters that are not ours. It is asked in the export thread if there is one."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ReadableSpan,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mlflow_otel.export.exporter import MlflowSpanExporter
from mlflow_otel.export.mapped import MappedSpan
from mlflow_otel.tracing import otel_adapter


class FilteringExporter(SpanExporter):
    """Gives another exporter the spans that ``should_export`` keeps.

    Args:
        wrapped: The other exporter.
    """

    def __init__(self, wrapped: SpanExporter) -> None:
        self.wrapped = wrapped

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans that are kept."""
        kept = tuple(span for span in spans if _kept(span))
        return self.wrapped.export(kept) if kept else SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the other exporter."""
        return self.wrapped.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Shut the other exporter down."""
        self.wrapped.shutdown()


class FilteringProcessor(SpanProcessor):
    """Hands on to another processor the spans that ``should_export`` keeps. It asks in the app's thread.

    Args:
        wrapped: The other processor, which is none of the SDK's.
    """

    def __init__(self, wrapped: SpanProcessor) -> None:
        self.wrapped = wrapped

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand the start on."""
        self.wrapped.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand the end on, if the span is kept."""
        if _kept(span):
            self.wrapped.on_end(span)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the other processor."""
        return self.wrapped.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Shut the other processor down."""
        self.wrapped.shutdown()


def filtering(processor: SpanProcessor) -> SpanProcessor:
    """Return a processor behind which every exporter gets only what ``should_export`` keeps."""
    if isinstance(processor, SynchronousMultiSpanProcessor):
        return otel_adapter.fan_out([filtering(p) for p in otel_adapter.chain(processor)])
    if otel_adapter.wrap_exporter(processor, _filtered):
        return processor
    return FilteringProcessor(processor)


def _filtered(exporter: SpanExporter) -> SpanExporter:
    if isinstance(exporter, (MlflowSpanExporter, FilteringExporter)):
        return exporter
    return FilteringExporter(exporter)


def _kept(span: ReadableSpan) -> bool:
    return not isinstance(span, MappedSpan) or span.kept
