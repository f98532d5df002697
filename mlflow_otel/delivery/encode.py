"""Spans to an OTLP request, filled in place: messages are never built twice or copied.

Follows ``opentelemetry/proto/trace/v1/trace.proto``. The stock encoder builds each nested message
apart, copies it into its parent and hashes the resource (a ``json.dumps``) once a span; here
resource and scope are written once a group and spans into the request itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.mapping.values import INT64_MAX, INT64_MIN, dumps

KINDS: Final = {
    SpanKind.INTERNAL: Span.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: Span.SPAN_KIND_SERVER,
    SpanKind.CLIENT: Span.SPAN_KIND_CLIENT,
    SpanKind.PRODUCER: Span.SPAN_KIND_PRODUCER,
    SpanKind.CONSUMER: Span.SPAN_KIND_CONSUMER,
}
# Flags of a span: bit 8 says that bit 9, the parent's being remote, is known.
HAS_IS_REMOTE: Final = 0x100
IS_REMOTE: Final = 0x200


def encode_spans(
    spans: Iterable[ReadableSpan], accounting: Accounting = ACCOUNTING
) -> ExportTraceServiceRequest:
    """Return the request that carries ``spans``.

    A span that cannot be encoded is left out and counted as ``dropped.unencodable``; the others
    are untouched by it.
    """
    request = ExportTraceServiceRequest()
    resources: dict[int, ResourceSpans] = {}
    scopes: dict[tuple[int, int], ScopeSpans] = {}
    for span in spans:
        resource, scope = span.resource, span.instrumentation_scope
        place = (id(resource), id(scope))
        group = scopes.get(place)
        if group is None:
            holder = resources.get(place[0])
            if holder is None:
                holder = resources[place[0]] = request.resource_spans.add()
                fill_attributes(holder.resource.attributes, resource.attributes)
                holder.schema_url = resource.schema_url or ""
            group = scopes[place] = holder.scope_spans.add()
            if scope is not None:
                group.scope.name = clean(scope.name)
                group.scope.version = clean(scope.version or "")
                group.schema_url = clean(scope.schema_url or "")
                if scope.attributes:
                    fill_attributes(group.scope.attributes, scope.attributes)
        message = group.spans.add()
        try:
            _fill_span(message, span)
        except Exception as error:
            del group.spans[-1]
            accounting.warn(
                "dropped.unencodable",
                "A span could not be encoded and was dropped (%s: %s). Please report it to mlflow-otel.",
                type(error).__name__, error,
            )  # fmt: skip
    return request


def _fill_span(message: Span, span: ReadableSpan) -> None:
    context, parent = span.context, span.parent
    message.trace_id = context.trace_id.to_bytes(16, "big")
    message.span_id = context.span_id.to_bytes(8, "big")
    message.flags = int(context.trace_flags) | HAS_IS_REMOTE
    if parent is not None:
        message.parent_span_id = parent.span_id.to_bytes(8, "big")
        if parent.is_remote:
            message.flags |= IS_REMOTE
    if context.trace_state:
        message.trace_state = context.trace_state.to_header()
    set_string(message, "name", span.name)
    message.kind = KINDS[span.kind]
    message.start_time_unix_nano = span.start_time or 0
    message.end_time_unix_nano = span.end_time or 0
    fill_attributes(message.attributes, span.attributes)
    message.dropped_attributes_count = span.dropped_attributes
    for event in span.events:
        target = message.events.add()
        set_string(target, "name", event.name)
        target.time_unix_nano = event.timestamp
        fill_attributes(target.attributes, event.attributes)
    message.dropped_events_count = span.dropped_events
    for link in span.links:
        linked = message.links.add()
        linked.trace_id = link.context.trace_id.to_bytes(16, "big")
        linked.span_id = link.context.span_id.to_bytes(8, "big")
        linked.flags = int(link.context.trace_flags) | HAS_IS_REMOTE
        if link.context.is_remote:
            linked.flags |= IS_REMOTE
        fill_attributes(linked.attributes, link.attributes)
    message.dropped_links_count = span.dropped_links
    status = span.status
    message.status.code = status.status_code.value  # type: ignore[assignment]
    if status.description:
        set_string(message.status, "message", status.description)


def fill_attributes(target: Any, attributes: Mapping[str, Any] | None) -> None:
    """Add ``attributes`` to a repeated ``KeyValue`` field; None values say nothing and stay out."""
    for key, value in (attributes or {}).items():
        if value is None:
            continue
        pair = target.add()
        try:
            pair.key = key
        except (UnicodeEncodeError, ValueError):
            pair.key = clean(key)
        fill_value(pair.value, value)


def fill_value(target: AnyValue, value: Any) -> None:
    """Set an ``AnyValue``: scalars, bytes and sequences as they are, anything else as JSON text."""
    if isinstance(value, str):
        set_string(target, "string_value", value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        if INT64_MIN <= value <= INT64_MAX:
            target.int_value = value
        else:
            target.string_value = str(value)
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, Sequence):
        target.array_value.SetInParent()
        for item in value:
            element = target.array_value.values.add()
            if item is not None:
                fill_value(element, item)
    else:
        target.string_value = clean(dumps(value))


def set_string(message: Any, field: str, value: str) -> None:
    """Set a string field; what UTF-8 has no bytes for (lone surrogates) leaves as ``?``."""
    try:
        setattr(message, field, value)
    except (UnicodeEncodeError, ValueError):
        setattr(message, field, clean(value))


def clean(text: str) -> str:
    """Return ``text`` with lone surrogates replaced, which protobuf would refuse."""
    return text.encode("utf-8", "replace").decode("utf-8")
