"""Requests cut by their encoded bytes, and single spans made to fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRUNCATED: Final = "mlflow_otel.truncated"
SPAN_FRAME_BYTES: Final = 6  # a span's tag and length in its request, at most
GROUP_FRAME_BYTES: Final = 24  # the tags and lengths of its resource, scope and their holders
KEPT_AT_LEAST: Final = 256
ELLIPSIS: Final = "…"


def count_spans(request: ExportTraceServiceRequest) -> int:
    """Return how many spans a request carries."""
    return sum(
        len(group.spans) for holder in request.resource_spans for group in holder.scope_spans
    )


def cut(
    request: ExportTraceServiceRequest, limit: int, count: Callable[[str], None] = lambda _: None
) -> Iterator[ExportTraceServiceRequest]:
    """Yield requests of at most ``limit`` encoded bytes that carry ``request``'s spans.

    A request that fits is yielded as it is. A span that alone is too large has its largest values
    truncated in place, with ``mlflow_otel.truncated`` naming them and their sizes; ``count`` is
    called with ``truncated``.
    """
    if request.ByteSize() <= limit:
        yield request
        return
    part, size = ExportTraceServiceRequest(), 0
    for holder in request.resource_spans:
        for group in holder.scope_spans:
            frame = holder.resource.ByteSize() + group.scope.ByteSize() + GROUP_FRAME_BYTES
            frame += len(holder.schema_url) + len(group.schema_url)
            target = None
            for span in group.spans:
                needed = span.ByteSize() + SPAN_FRAME_BYTES
                if needed + frame > limit:
                    if truncate(span, limit - frame - SPAN_FRAME_BYTES):
                        count("truncated")
                    needed = span.ByteSize() + SPAN_FRAME_BYTES
                if size and size + needed + (frame if target is None else 0) > limit:
                    yield part
                    part, size, target = ExportTraceServiceRequest(), 0, None
                if target is None:
                    kept = part.resource_spans.add(schema_url=holder.schema_url)
                    kept.resource.CopyFrom(holder.resource)
                    target = kept.scope_spans.add(schema_url=group.schema_url)
                    target.scope.CopyFrom(group.scope)
                    size += frame
                target.spans.add().CopyFrom(span)
                size += needed
    if size:
        yield part


def truncate(span: Span, limit: int) -> bool:
    """Truncate a span's largest string and bytes values until it has at most ``limit`` bytes.

    Events' values are looked at too. Each truncated key is named in ``mlflow_otel.truncated`` as
    ``key=original bytes``. When that is not enough, events and then attributes are dropped, largest
    first, and counted in the span's ``dropped_*_count``.

    Returns:
        Whether anything was changed.
    """
    cut_values: list[str] = []
    while span.ByteSize() > limit:
        pair = max(_pairs(span), key=lambda p: p.ByteSize(), default=None)
        if pair is None or pair.ByteSize() <= KEPT_AT_LEAST:
            break
        excess = span.ByteSize() - limit + 64 + len(pair.key)
        cut_values.append(f"{pair.key}={_shorten(pair, excess)}")
        _mark(span, cut_values)
    while span.ByteSize() > limit and span.events:
        del span.events[-1]
        span.dropped_events_count += 1
    while span.ByteSize() > limit and len(span.attributes) > 1:
        index = max(range(len(span.attributes)), key=lambda i: span.attributes[i].ByteSize())
        del span.attributes[index]
        span.dropped_attributes_count += 1
    return bool(cut_values)


def _pairs(span: Span) -> Iterator[KeyValue]:
    yield from (pair for pair in span.attributes if pair.key != TRUNCATED)
    for event in span.events:
        yield from event.attributes


def _shorten(pair: KeyValue, excess: int) -> int:
    """Take ``excess`` bytes off a value, or what it has; return the bytes it had."""
    value = pair.value
    if value.WhichOneof("value") == "string_value":
        encoded = value.string_value.encode("utf-8")
        kept = max(len(encoded) - excess - len(ELLIPSIS.encode()), KEPT_AT_LEAST // 2)
        value.string_value = encoded[:kept].decode("utf-8", "ignore") + ELLIPSIS
        return len(encoded)
    size = value.ByteSize()
    if value.WhichOneof("value") == "bytes_value":
        value.bytes_value = value.bytes_value[: max(size - excess, 0)]
    else:
        value.string_value = ELLIPSIS  # a list or map this large says nothing when cut
    return size


def _mark(span: Span, cut_values: list[str]) -> None:
    pair = next((p for p in span.attributes if p.key == TRUNCATED), None) or span.attributes.add()
    pair.key = TRUNCATED
    del pair.value.array_value.values[:]
    for text in cut_values:
        pair.value.array_value.values.add().string_value = text
