"""A span as an OTLP message: its plain values read off it, and what leaves written back into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.model import EventView, Mapped, SpanView
from mlflow_otel.mapping.values import dumps
from mlflow_otel.otlp import wire

ATTRIBUTES: Final = b"\x4a"
"""Tag of a span's attributes."""
EVENT_ATTRIBUTES: Final = b"\x1a"
"""Tag of an event's attributes."""


def made_by_mlflow(span: Span, scope: InstrumentationScope) -> bool:
    """Tell whether MLflow made a span.

    MLflow's tracers have scopes that begin with ``mlflow``. Its clients send spans to ``/v1/traces``
    without any scope; then MLflow's trace ID is among the attributes.
    """
    if scope.name:
        return scope.name == "mlflow" or scope.name.startswith("mlflow.")
    return any(pair.key == keys.TRACE_REQUEST_ID for pair in span.attributes)


def plain(value: AnyValue) -> Any:
    """Return what an OTLP value says."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind)


def plain_attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return what OTLP attributes say, by key."""
    return {pair.key: plain(pair.value) for pair in pairs}


def written(value: Any) -> Any:
    """Return a value as MLflow writes it on its own spans: JSON text, but for numbers.

    The Python client decodes its attributes before it sends them. The mapping reads MLflow's JSON,
    so that the text ``"20"`` stays a text and the number 20 a number.
    """
    return value if isinstance(value, (int, float, bytes)) else dumps(value)


def view(span: Span, *, decoded: bool, by_mlflow: bool, is_entry: bool) -> SpanView:
    """Return a span's plain values.

    Args:
        span: The message.
        decoded: Whether the client decoded the attributes' JSON, as MLflow's Python client does.
        by_mlflow: Whether MLflow made the span.
        is_entry: Whether trace-level attributes belong on it.
    """
    attributes = plain_attributes(span.attributes)
    if decoded:
        attributes = {key: written(value) for key, value in attributes.items()}
    return SpanView(
        name=span.name,
        attributes=attributes,
        events=[
            EventView(
                event.name,
                event.time_unix_nano,
                plain_attributes(event.attributes),
                event.dropped_attributes_count,
            )
            for event in span.events
        ],
        start_time=span.start_time_unix_nano,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        made_by_mlflow=by_mlflow,
        is_entry=is_entry,
        dropped_events=span.dropped_events_count,
    )


def write(span: Span, mapped: Mapped, *, by_mlflow: bool) -> None:
    """Write what leaves in place of a span into its message. IDs, times and status stay.

    Args:
        span: The message; it is changed.
        mapped: What leaves.
        by_mlflow: Whether MLflow made it: its client leaves the kind out, which is then INTERNAL.
    """
    span.name = mapped.name
    if mapped.kind is not None:
        span.kind = Span.SpanKind.Value(f"SPAN_KIND_{mapped.kind}")
    elif by_mlflow and span.kind == Span.SPAN_KIND_UNSPECIFIED:
        span.kind = Span.SPAN_KIND_INTERNAL
    span.ClearField("attributes")
    span.ClearField("events")
    # Protobuf appends repeated fields when it merges: the same bytes as the exporter writes.
    if mapped.shared is not None:
        span.MergeFromString(mapped.shared.encoded(_encoded))
    span.MergeFromString(_encoded(mapped.own))
    for event in mapped.events:
        left = span.events.add(
            name=event.name,
            time_unix_nano=event.timestamp,
            dropped_attributes_count=event.dropped_attributes,
        )
        left.MergeFromString(wire.attributes(EVENT_ATTRIBUTES, event.attributes))


def _encoded(attributes: Mapping[str, Any]) -> bytes:
    return wire.attributes(ATTRIBUTES, attributes)
