"""Cuts encoded items into requests by bytes, and makes single large items fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, Group
from mlflow_otel.settings import Signal

TRUNCATED: Final = "mlflow_otel.truncated"
LENGTH_BYTES: Final = 6  # a tag and a length below 4 GiB, at most
KEPT_AT_LEAST: Final = 256
ELLIPSIS: Final = "…"


class Piece(NamedTuple):
    """One request's worth of items.

    Args:
        body: The encoded request.
        number: How many items are in it.
    """

    body: bytes
    number: int


def cut(
    groups: Iterable[Group],
    limit: int,
    signal: Signal = "traces",
    count: Callable[[str], None] = lambda _: None,
) -> Iterator[Piece]:
    """Yield requests of at most ``limit`` encoded bytes that carry the groups' items.

    If a single span or log record is too large, its largest values are truncated.
    ``mlflow_otel.truncated`` names them and their sizes, and ``count`` is called with ``truncated``.
    """
    part: list[Group] = []
    number = size = 0
    for group in groups:
        frame = len(group.resource) + len(group.scope) + 2 * LENGTH_BYTES
        target = None
        for item in group.items:
            body = item
            if len(body) + frame > limit:
                body = _fitted(body, limit - frame, signal)
                if body is not item:
                    count("truncated")
            needed = len(body) + (frame if target is None else 0)
            if number and size + needed > limit:
                yield Piece(envelope.request(part), number)
                part, number, size, target = [], 0, 0, None
                needed = len(body) + frame
            if target is None:
                target = Group(group.resource, group.scope)
                part.append(target)
            target.items.append(body)
            number += 1
            size += needed
    if number:
        yield Piece(envelope.request(part), number)


def _fitted(encoded: bytes, limit: int, signal: Signal) -> bytes:
    if signal == "metrics":
        return encoded  # numbers, and labels that are bounded: there is nothing to cut
    message = envelope.item(encoded, signal)
    if not truncate(message, limit - LENGTH_BYTES):
        return encoded
    return wire.field(ITEM, message.SerializeToString())


def truncate(item: Any, limit: int) -> bool:
    """Truncate a span's or log record's largest string and bytes values until it has at most ``limit`` bytes.

    Events' values are looked at too. Each truncated key is named in ``mlflow_otel.truncated`` as
    ``key=original bytes``. When that is not enough, events and then attributes are dropped, largest
    first, and counted in its ``dropped_*_count``.

    Returns:
        Whether anything was changed.
    """
    cut_values: list[str] = []
    while item.ByteSize() > limit:
        pair = max(_pairs(item), key=lambda p: p.ByteSize(), default=None)
        if pair is None or pair.ByteSize() <= KEPT_AT_LEAST:
            break
        excess = item.ByteSize() - limit + 64 + len(pair.key)
        cut_values.append(f"{pair.key}={_shorten(pair, excess)}")
        _mark(item, cut_values)
    while item.ByteSize() > limit and _events(item):
        del item.events[-1]
        item.dropped_events_count += 1
    while item.ByteSize() > limit and len(item.attributes) > 1:
        index = max(range(len(item.attributes)), key=lambda i: item.attributes[i].ByteSize())
        del item.attributes[index]
        item.dropped_attributes_count += 1
    return bool(cut_values)


def _events(item: Any) -> Any:
    return getattr(item, "events", ())  # a log record has none


def _pairs(item: Any) -> Iterator[KeyValue]:
    yield from (pair for pair in item.attributes if pair.key != TRUNCATED)
    for event in _events(item):
        yield from event.attributes


def _shorten(pair: KeyValue, excess: int) -> int:
    """Remove ``excess`` bytes from a value, or all that it has. Return how many bytes it had."""
    value = pair.value
    if value.WhichOneof("value") == "string_value":
        encoded = _utf8(value)
        kept = max(len(encoded) - excess - len(ELLIPSIS.encode()), KEPT_AT_LEAST // 2)
        value.string_value = encoded[:kept].decode("utf-8", "ignore") + ELLIPSIS
        return len(encoded)
    size = value.ByteSize()
    if value.WhichOneof("value") == "bytes_value":
        value.bytes_value = value.bytes_value[: max(size - excess, 0)]
    else:
        value.string_value = ELLIPSIS  # a list or map this large says nothing when cut
    return size


def _utf8(value: AnyValue) -> bytes:
    """Return a text's bytes as the message has them: megabytes are not decoded to be encoded again."""
    body = value.SerializeToString()
    start = 1  # the tag; then the length, whose last byte alone has no eighth bit
    while body[start] & 0x80:
        start += 1
    return body[start + 1 :]


def _mark(item: Any, cut_values: list[str]) -> None:
    pair = next((p for p in item.attributes if p.key == TRUNCATED), None) or item.attributes.add()
    pair.key = TRUNCATED
    del pair.value.array_value.values[:]
    for text in cut_values:
        pair.value.array_value.values.add().string_value = text
