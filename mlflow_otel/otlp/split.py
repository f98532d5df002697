"""Cuts encoded items into requests by bytes, and makes single large items fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, Group
from mlflow_otel.settings import Signal

TRUNCATED: Final = "mlflow_otel.truncated"
LENGTH_BYTES: Final = 6  # a tag and a length below 4 GiB, at most
KEPT_AT_LEAST: Final = 256
MARK_BYTES: Final = 64  # of what is written of a truncated value, its key aside, at most
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
    """Truncate a span's or log record's largest values until it has at most ``limit`` bytes.

    Values are those of its attributes, events and links, a span's name and status message, and a log
    record's body. ``mlflow_otel.truncated`` names each as ``key=original bytes``, also when the item is
    truncated again for a smaller limit. When that is not enough, events and then attributes are dropped,
    largest attributes first, and counted in ``dropped_*_count``.

    Returns:
        Whether anything was changed.
    """
    excess = item.ByteSize() - limit
    changed = False
    before = _marks(item)
    named = {mark.rpartition("=")[0] for mark in before}
    marks = []
    for value in sorted(_values(item), key=lambda value: value.size, reverse=True):
        if excess <= 0 or value.size <= KEPT_AT_LEAST:
            break
        needed = 0 if value.key in named else MARK_BYTES + len(value.key.encode())
        had, kept = value.shorten(excess + needed)
        excess += needed + kept - had
        changed = True
        if needed:
            marks.append(f"{value.key}={had}")
    if marks:
        _mark(item, [*before, *marks])
    dropped = sum(_drop(item, holder, limit) for holder in ("events", "attributes"))
    return changed or dropped > 0


class _Value(NamedTuple):
    """A value that can be shortened.

    Args:
        key: What it is named by.
        size: Its bytes.
        shorten: Removes so many of its bytes, as far as it may; returns how many it had and has.
    """

    key: str
    size: int
    shorten: Callable[[int], tuple[int, int]]


def _values(item: Any) -> Iterator[_Value]:
    holders = (item, *_of(item, "events"), *_of(item, "links"))
    for pair in (pair for holder in holders for pair in holder.attributes):
        if pair.key != TRUNCATED:
            yield _Value(pair.key, pair.value.ByteSize(), partial(_shorten, pair.value))
    for key, holder, field in _texts(item):
        size = len(getattr(holder, field).encode())
        yield _Value(key, size, partial(_shorten_text, holder, field))
    if isinstance(item, LogRecord):
        yield _Value("body", item.body.ByteSize(), partial(_shorten, item.body))


def _texts(item: Any) -> Iterator[tuple[str, Any, str]]:
    if isinstance(item, Span):
        yield "name", item, "name"
        yield "status.message", item.status, "message"


def _of(item: Any, field: str) -> Any:
    return getattr(item, field, ())  # a log record has neither events nor links


def _shorten(value: AnyValue, excess: int) -> tuple[int, int]:
    if value.WhichOneof("value") == "string_value":
        encoded = _utf8(value)
        value.string_value, kept = _shorter(encoded, excess)
        return len(encoded), kept
    size = value.ByteSize()
    if value.WhichOneof("value") == "bytes_value":
        value.bytes_value = value.bytes_value[: max(size - excess, 0)]
    else:
        value.string_value = ELLIPSIS  # a list or map this large says nothing when cut
    return size, value.ByteSize()


def _shorten_text(holder: Any, field: str, excess: int) -> tuple[int, int]:
    encoded = getattr(holder, field).encode()
    text, kept = _shorter(encoded, excess)
    setattr(holder, field, text)
    return len(encoded), kept


def _shorter(encoded: bytes, excess: int) -> tuple[str, int]:
    """Return a text without so many of its bytes, as far as it may be shortened, and how many it has, at most."""
    end = len(ELLIPSIS.encode())
    kept = max(len(encoded) - excess - end, KEPT_AT_LEAST // 2)
    return encoded[:kept].decode(errors="ignore") + ELLIPSIS, kept + end


def _utf8(value: AnyValue) -> bytes:
    """Return a text's bytes as the message has them: megabytes are not decoded to be encoded again."""
    body = value.SerializeToString()
    start = 1  # the tag; then the length, whose last byte alone has no eighth bit
    while body[start] & 0x80:
        start += 1
    return body[start + 1 :]


def _marks(item: Any) -> list[str]:
    """Return what the item says was truncated before."""
    marks = (pair.value.array_value.values for pair in item.attributes if pair.key == TRUNCATED)
    return [mark.string_value for found in marks for mark in found]


def _mark(item: Any, marks: list[str]) -> None:
    pair = next((p for p in item.attributes if p.key == TRUNCATED), None) or item.attributes.add()
    pair.key = TRUNCATED
    del pair.value.array_value.values[:]
    for text in marks:
        pair.value.array_value.values.add().string_value = text


def _drop(item: Any, holder: str, limit: int) -> int:
    """Drop the last events, or the largest attributes, until the item fits. Return how many."""
    excess = item.ByteSize() - limit
    if excess <= 0:
        return 0
    excess += LENGTH_BYTES  # of the count
    values, gone = _of(item, holder), []
    order = reversed(range(len(values))) if holder == "events" else _largest_first(values)
    for index in order:
        if excess > 0:
            excess -= values[index].ByteSize() + 2
            gone.append(index)
    for index in sorted(gone, reverse=True):
        del values[index]
    if gone:
        counter = f"dropped_{holder}_count"
        setattr(item, counter, getattr(item, counter) + len(gone))
    return len(gone)


def _largest_first(attributes: Any) -> list[int]:
    """Return the attributes' places; what says what was truncated goes last."""
    sizes = [(pair.key != TRUNCATED, pair.ByteSize()) for pair in attributes]
    return sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True)
