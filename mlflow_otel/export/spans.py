"""Spans to OTLP bytes: each span once, straight to the wire format, ready to be cut by size.

Follows ``opentelemetry/proto/trace/v1/trace.proto``. The stock encoder builds each nested message
apart, copies it into its parent and hashes the resource (a ``json.dumps``) once a span; here
resource and scope are written once a group, and what all spans of a trace carry once a trace.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.export.mapped import NOTHING_DROPPED, MappedSpan, dropped_of
from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, Group

# Flags of a span: bit 8 says that bit 9, the parent's being remote, is known.
HAS_IS_REMOTE: Final = 0x100
IS_REMOTE: Final = 0x200
KINDS: Final = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
ATTRIBUTES: Final = b"\x4a"
# trace_id, span_id; parent_span_id; kind, start and end; flags: tags and fixed lengths in place.
IDS: Final = struct.Struct(">2sQQ2sQ").pack
PARENT: Final = struct.Struct(">2sQ").pack
TIMES: Final = struct.Struct("<BBBQBQ").pack
FLAGS: Final = struct.Struct("<HI").pack
MASK64: Final = (1 << 64) - 1


def encode_spans(spans: Iterable[ReadableSpan], accounting: Accounting = ACCOUNTING) -> list[Group]:
    """Return ``spans`` encoded, by resource and scope.

    A span that cannot be encoded is left out and counted as ``dropped`` and ``dropped.unencodable``.
    The others leave.
    """
    groups: dict[tuple[int, Any], Group] = {}
    known: dict[tuple[int, int, int], Group] = {}  # by what tells them, which is quicker to read
    for span in spans:
        recorded, options = span, 0
        if isinstance(span, MappedSpan):
            recorded, options = span.recorded, id(span.batch.options)
        place = (id(recorded.resource), id(recorded.instrumentation_scope), options)
        try:
            group = known.get(place)
            if group is None:
                resource, scope = span.resource, span.instrumentation_scope
                group = groups.get((id(resource), scope))
                if group is None:
                    group = Group(envelope.resource(resource), envelope.scope(scope))
                    groups[id(resource), scope] = group
                known[place] = group
            group.items.append(wire.field(ITEM, encode_span(span)))
        except Exception as error:
            accounting.count("dropped")
            accounting.warn(
                "dropped.unencodable",
                "A span could not be encoded and was dropped (%s: %s). Please report it to mlflow-otel.",
                type(error).__name__,
                error,
            )
    return [group for group in groups.values() if group.items]


def _count(tag: bytes, number: int) -> bytes:
    return tag + wire.varint(number) if number else b""


def encode_span(span: ReadableSpan) -> bytes:
    """Return one ``Span``."""
    # What the mapping does not change is read from the recorded span, since properties cost time.
    if isinstance(span, MappedSpan):
        recorded = span.recorded
        dropped = dropped_of(recorded)
    else:
        recorded = span
        dropped = span.dropped_attributes, span.dropped_events, span.dropped_links
    parent = recorded.parent
    trace_id, span_id, _, trace_flags, trace_state, _ = recorded.context  # a tuple, read at once
    pieces = [IDS(b"\x0a\x10", trace_id >> 64, trace_id & MASK64, b"\x12\x08", span_id)]
    flags = trace_flags | HAS_IS_REMOTE
    if trace_state:
        pieces.append(wire.string(b"\x1a", trace_state.to_header()))
    if parent is not None:
        pieces.append(PARENT(b"\x22\x08", parent.span_id))
        if parent.is_remote:
            flags |= IS_REMOTE
    name, kind, own, events, shared = _content(span)
    times = TIMES(0x30, KINDS[kind], 0x39, recorded.start_time or 0, 0x41, recorded.end_time or 0)
    pieces += (wire.string(b"\x2a", name), times, shared, wire.attributes(ATTRIBUTES, own))
    if events:
        pieces += [wire.field(b"\x5a", _event(event)) for event in events]
    links = span.links
    if links:
        pieces += [wire.field(b"\x6a", _link(link)) for link in links]
    if dropped != NOTHING_DROPPED:
        pieces += map(_count, (b"\x50", b"\x60", b"\x70"), dropped)
    pieces += (_status(span.status), FLAGS(0x0185, flags))
    return b"".join(pieces)


def _content(span: ReadableSpan) -> tuple[str, str, Any, Any, bytes]:
    """Return name, kind, attributes, events, and the encoded attributes all of the trace share."""
    if not isinstance(span, MappedSpan):
        return span.name, span.kind.name, span.attributes, span.events, b""
    name, kind, own, events, shared, *_ = span.map_once()
    encoded = b"" if shared is None else shared.encoded(_attributes)
    return name, kind or span.recorded.kind.name, own, events, encoded


def _attributes(values: dict[str, Any]) -> bytes:
    return wire.attributes(ATTRIBUTES, values)


def _event(event: Any) -> bytes:
    body = b"\x09" + struct.pack("<Q", event.timestamp) + wire.string(b"\x12", event.name)
    return (
        body
        + wire.attributes(b"\x1a", event.attributes)
        + _count(b"\x20", event.dropped_attributes)
    )


def _link(link: Any) -> bytes:
    context = link.context
    flags = int(context.trace_flags) | HAS_IS_REMOTE | (IS_REMOTE if context.is_remote else 0)
    trace_id = context.trace_id
    return b"".join(
        (
            IDS(b"\x0a\x10", trace_id >> 64, trace_id & MASK64, b"\x12\x08", context.span_id),
            wire.string(b"\x1a", context.trace_state.to_header()) if context.trace_state else b"",
            wire.attributes(b"\x22", link.attributes),
            _count(b"\x28", link.dropped_attributes),
            b"\x35" + struct.pack("<I", flags),
        )
    )


def _status(status: Any) -> bytes:
    if not status.description:
        return STATUSES[status.status_code]
    code = STATUSES[status.status_code][2:]
    return wire.field(b"\x7a", wire.string(b"\x12", status.description) + code)


STATUSES: Final = {code: wire.field(b"\x7a", _count(b"\x18", code.value)) for code in StatusCode}
"""Each status that says no more than its code, encoded."""
