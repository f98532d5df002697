"""Encoded spans cut into requests by bytes, and single spans made to fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from mlflow_otel.delivery import encode, wire
from mlflow_otel.delivery.encode import Group
from mlflow_otel.delivery.request import Request

TRUNCATED: Final = "mlflow_otel.truncated"
LENGTH_BYTES: Final = 6  # a tag and a length below 4 GiB, at most
KEPT_AT_LEAST: Final = 256
ELLIPSIS: Final = "…"


def cut(
    groups: Iterable[Group],
    limit: int,
    count: Callable[[str], None] = lambda _: None,
    *,
    recovered: bool = False,
) -> Iterator[Request]:
    """Yield requests of at most ``limit`` encoded bytes that carry the groups' spans.

    A span that alone is too large has its largest values truncated, with ``mlflow_otel.truncated``
    naming them and their sizes; ``count`` is called with ``truncated``.
    """
    part: list[Group] = []
    spans = size = 0
    for group in groups:
        frame = len(group.resource) + len(group.scope) + 2 * LENGTH_BYTES
        target = None
        for span in group.spans:
            body = span
            if len(body) + frame > limit:
                body = _fitted(body, limit - frame)
                if body is not span:
                    count("truncated")
            needed = len(body) + (frame if target is None else 0)
            if spans and size + needed > limit:
                yield Request(encode.request(part), spans, recovered=recovered)
                part, spans, size, target = [], 0, 0, None
                needed = len(body) + frame
            if target is None:
                target = Group(group.resource, group.scope)
                part.append(target)
            target.spans.append(body)
            spans += 1
            size += needed
    if spans:
        yield Request(encode.request(part), spans, recovered=recovered)


def parse(body: bytes) -> list[Group]:
    """Return a request's spans as they were before they were put together."""
    groups = []
    for holder in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = ResourceSpans(resource=holder.resource, schema_url=holder.schema_url)
        for found in holder.scope_spans:
            scope = ScopeSpans(scope=found.scope, schema_url=found.schema_url)
            spans = [wire.field(SPAN, span.SerializeToString()) for span in found.spans]
            groups.append(Group(resource.SerializeToString(), scope.SerializeToString(), spans))
    return groups


SPAN: Final = b"\x12"


def _fitted(span: bytes, limit: int) -> bytes:
    (message,) = ScopeSpans.FromString(span).spans
    if not truncate(message, limit - LENGTH_BYTES):
        return span
    return wire.field(SPAN, message.SerializeToString())


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
