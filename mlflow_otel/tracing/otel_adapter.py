"""The SDK's private parts, of every supported version (``pyproject.toml``).

Why private: processors can be added to a ``TracerProvider``, but not replaced. Where a shared provider
has exporters already, our processor must stand in front of them, so that each span leaves once. The
whole logs SDK is still private, and ``Logger.emit`` takes an event's name in newer versions only.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk import _logs
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ReadableSpan,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, TraceFlags, get_current_span

from mlflow_otel.tracing.size import EVENT_BYTES, SPAN_BYTES, size_of_text, size_of_values

_EMIT: Final = inspect.signature(_logs.Logger.emit).parameters
_RECORD: Final = getattr(_logs, "LogRecord", None)


def processors(provider: TracerProvider) -> tuple[SpanProcessor, ...]:
    """Return a provider's processors in order."""
    return tuple(provider._active_span_processor._span_processors)  # noqa: SLF001


def set_processors(provider: TracerProvider, chain: tuple[SpanProcessor, ...]) -> None:
    """Replace a provider's processors."""
    active = provider._active_span_processor  # noqa: SLF001
    with active._lock:  # noqa: SLF001
        active._span_processors = chain  # noqa: SLF001


def in_order(
    active: SpanProcessor | None,
    order: Callable[[tuple[SpanProcessor, ...]], tuple[SpanProcessor, ...]],
) -> tuple[SpanProcessor, ...]:
    """Put the processors behind a provider's one processor in another order. Return them in that order.

    Args:
        active: What a tracer hands its spans to; None without one.
        order: Returns its argument itself where nothing is to change.
    """
    several: Any = active
    chain: tuple[SpanProcessor, ...] = getattr(several, "_span_processors", ())
    if order(chain) is chain:  # as a rule
        return chain
    with several._lock:  # noqa: SLF001 (another thread may add one)
        several._span_processors = order(several._span_processors)  # noqa: SLF001
        return tuple(several._span_processors)  # noqa: SLF001


def exports(processor: SpanProcessor) -> bool:
    """Tell whether a processor is one of the SDK's that hand spans to an exporter."""
    return isinstance(processor, (BatchSpanProcessor, SimpleSpanProcessor)) and not by_mlflow(
        processor
    )


def by_mlflow(processor: SpanProcessor) -> bool:
    """Tell whether MLflow put a processor there."""
    return type(processor).__module__.partition(".")[0] == "mlflow"


def annotates(processor: SpanProcessor) -> bool:
    """Tell whether a processor is of MLflow's autologging for a library that has a tracer of its own.

    It writes type, inputs and outputs on that library's spans when they end.
    """
    module = type(processor).__module__
    return module.startswith("mlflow.") and module.endswith(".autolog")


def speaks_otlp(processor: SpanProcessor) -> bool:
    """Tell whether a processor's exporter sends OTLP."""
    exporter = getattr(processor, "span_exporter", None)
    exporter = getattr(exporter, "wrapped", exporter)
    return (
        exporter is not None
        and "otlp" in f"{type(exporter).__module__}.{type(exporter).__name__}".lower()
    ) or (type(exporter).__module__.startswith("mlflow_otel."))


def chain(processor: SynchronousMultiSpanProcessor) -> tuple[SpanProcessor, ...]:
    """Return the processors to which a processor hands on."""
    return tuple(processor._span_processors)  # noqa: SLF001


def exporters(processor: SpanProcessor) -> list[SpanExporter]:
    """Return the exporters behind a processor, one of the SDK's or several."""
    if isinstance(processor, SynchronousMultiSpanProcessor):
        return [e for p in processor._span_processors for e in exporters(p)]  # noqa: SLF001
    exporter = getattr(processor, "span_exporter", None)
    return [exporter] if isinstance(exporter, SpanExporter) else []


def wrap_exporter(processor: SpanProcessor, wrap: Callable[[SpanExporter], SpanExporter]) -> bool:
    """Wrap the exporter of one of the SDK's processors. False for any other processor."""
    if isinstance(processor, BatchSpanProcessor):
        batching: Any = processor._batch_processor  # noqa: SLF001
        batching._exporter = wrap(batching._exporter)  # noqa: SLF001
    elif isinstance(processor, SimpleSpanProcessor):
        processor.span_exporter = wrap(processor.span_exporter)
    else:
        return False
    return True


def hears_of_starts(processor: SpanProcessor) -> bool:
    """Tell whether a processor does anything when a span starts. The SDK's exporting processors do not."""
    ignoring = (SpanProcessor, BatchSpanProcessor, SimpleSpanProcessor)
    return all(type(processor).on_start is not kind.on_start for kind in ignoring)


def queues(processor: SpanProcessor) -> list[deque[ReadableSpan]]:
    """Return the queues of the SDK's batching behind a processor; each has its ``maxlen``.

    A full queue drops its oldest span. Older SDKs do so without a warning.
    """
    if isinstance(processor, SynchronousMultiSpanProcessor):
        return [q for p in processor._span_processors for q in queues(p)]  # noqa: SLF001
    if not isinstance(processor, BatchSpanProcessor):
        return []
    return [processor._batch_processor._queue]  # noqa: SLF001


def size_of(span: ReadableSpan) -> int:
    """Return how many bytes an ended span takes up. Called in the app's thread for each span.

    The SDK's own properties copy attributes, events and links, and take a lock for each.
    """
    attributes, events, links = span._attributes, span._events, span._links  # noqa: SLF001
    try:
        said = span._status._description  # noqa: SLF001
        size = size_of_values(attributes._dict) + SPAN_BYTES  # type: ignore[union-attr] # noqa: SLF001
        events, links = events._dq, links._dq  # type: ignore[attr-defined] # noqa: SLF001
    except AttributeError:  # a span that no tracer made
        said, size = span.status.description, size_of_values(attributes or {}) + SPAN_BYTES
    if said or events or links:
        size += size_of_text(said or "")
        for event in events:
            size += EVENT_BYTES + size_of_values(event.attributes or {})
        for link in links:
            size += EVENT_BYTES + size_of_values(link.attributes or {})
    return size


def fan_out(chain: list[SpanProcessor]) -> SpanProcessor:
    """Return one processor that hands on to all of ``chain``."""
    if len(chain) == 1:
        return chain[0]
    several = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    for processor in chain:
        several.add_span_processor(processor)
    return several


def stand_in_front(
    provider: TracerProvider,
    own_export: Callable[[], SpanProcessor],
    make: Callable[[SpanProcessor], SpanProcessor],
    *,
    keep_mlflow: bool,
) -> tuple[SpanProcessor, ...]:
    """Put a processor in front of all that export in ``provider``.

    Args:
        provider: The shared provider.
        own_export: Makes an exporting processor, for a provider that sends no OTLP yet.
        make: Makes the processor that is to stand in front, given what it hands on to.
        keep_mlflow: Whether MLflow's processors stay (dual export). Those that annotate always do.

    Returns:
        The processors that stood there before.
    """
    before = processors(provider)
    exporting = [processor for processor in before if exports(processor)]
    others = [
        p
        for p in before
        if p not in exporting and (keep_mlflow or annotates(p) or not by_mlflow(p))
    ]
    targets = list(exporting)
    if not any(speaks_otlp(processor) for processor in exporting):
        targets.append(own_export())
    set_processors(provider, (*others, make(fan_out(targets))))
    return before


def logger_provider(
    resource: Resource, exporter: Any, *, asynchronous: bool
) -> tuple[_logs.LoggerProvider, deque[Any] | None]:
    """Return a provider whose records go to ``exporter``, and the queue they wait in, if they do."""
    provider = _logs.LoggerProvider(resource, shutdown_on_exit=False)
    if not asynchronous:
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        return provider, None
    batching = BatchLogRecordProcessor(exporter)
    provider.add_log_record_processor(batching)
    return provider, batching._batch_processor._queue  # noqa: SLF001


def emit_event(
    logger: Any, name: str, timestamp: int, context: Context, attributes: Mapping[str, Any]
) -> None:
    """Emit an event of severity INFO in the span of ``context``.

    Before SDK 1.35 log records have no event name. Then it is the attribute ``event.name``, as in the
    convention of that time.
    """
    severity = SeverityNumber.INFO
    if "event_name" in _EMIT or not isinstance(logger, _logs.Logger) or _RECORD is None:
        logger.emit(
            timestamp=timestamp,
            observed_timestamp=timestamp,
            context=context,
            severity_number=severity,
            attributes=attributes,
            event_name=name,
        )
        return
    span: SpanContext = get_current_span(context).get_span_context()
    fields: dict[str, Any] = {
        "timestamp": timestamp,
        "observed_timestamp": timestamp,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "trace_flags": TraceFlags(span.trace_flags),
        "severity_number": severity,
        "resource": logger.resource,
        "attributes": dict(attributes),
    }
    if "event_name" in inspect.signature(_RECORD.__init__).parameters:
        fields["event_name"] = name
    else:
        fields["attributes"]["event.name"] = name
    logger.emit(_RECORD(**fields))
