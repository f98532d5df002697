"""Protobuf's wire format, as far as OTLP needs it: values to bytes, without messages in between.

Follows https://protobuf.dev/programming-guides/encoding/ and ``common.proto``'s ``AnyValue`` and
``KeyValue``. Keys and lengths recur, so what stands before a value is looked up rather than worked out.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mlflow_otel.mapping.values import INT64_MAX, INT64_MIN, Json, as_json

TABLE: Final = 1 << 14  # lengths of two bytes and less


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


VARINTS: Final = tuple(map(_varint, range(TABLE)))
DOUBLE: Final = struct.Struct("<d").pack
TRUE, FALSE = b"\x10\x01", b"\x10\x00"
UINT64: Final = 1 << 64
KEYS_KEPT: Final = 4096
HEADS_KEPT: Final = 1 << 14
SIZES_KEPT: Final = 1 << 12
NO_HEADS: Final[Mapping[int, bytes]] = {}

_keys: dict[str, bytes] = {}  # keys of attributes as KeyValue's first field; few and ever the same
_heads: dict[bytes, dict[str, dict[int, bytes]]] = {}  # what stands before a value, see `_head`
_kept: Iterator[int] = itertools.count()


def varint(number: int) -> bytes:
    """Return a length or an unsigned number."""
    return VARINTS[number] if number < TABLE else _varint(number)


def field(tag: bytes, body: bytes) -> bytes:
    """Return a length-delimited field."""
    return b"".join((tag, varint(len(body)), body))


def string(tag: bytes, value: str | None) -> bytes:
    """Return a string field; an empty one stays out, as proto3 has it."""
    return field(tag, text(value)) if value else b""


def text(value: str) -> bytes:
    """Return UTF-8; what it has no bytes for (lone surrogates) leaves as ``?``."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


def _key(key: str) -> bytes:
    encoded = field(b"\x0a", text(key))
    if len(_keys) < KEYS_KEPT:
        _keys[key] = encoded
    return encoded


def any_value(value: Any) -> bytes:
    """Return an ``AnyValue``: scalars, bytes, sequences and maps as they are, anything else as JSON text.

    Integers that 64 bits cannot hold are text. None within a sequence or a map is an empty value.
    """
    if isinstance(value, str):
        return field(b"\x0a", text(value))
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int):
        if INT64_MIN <= value <= INT64_MAX:
            return b"\x18" + varint(value if value >= 0 else value + UINT64)
        return field(b"\x0a", str(value).encode())
    if isinstance(value, float):
        return b"\x21" + DOUBLE(value)
    if isinstance(value, bytes):
        return field(b"\x3a", value)
    if isinstance(value, Sequence):
        return field(b"\x2a", b"".join([field(b"\x0a", _nested(item)) for item in value]))
    if isinstance(value, Mapping):
        pairs = [_key(str(k)) + field(b"\x12", _nested(item)) for k, item in value.items()]
        return field(b"\x32", b"".join([field(b"\x0a", pair) for pair in pairs]))
    return field(b"\x0a", (value if isinstance(value, Json) else as_json(value)).utf8)


def _nested(value: Any) -> bytes:
    return b"" if value is None else any_value(value)


def attributes(tag: bytes, values: Mapping[str, Any] | None) -> bytes:
    """Return a repeated ``KeyValue`` field; None values say nothing and stay out.

    Args:
        tag: The field's, with wire type 2.
        values: By key.
    """
    if not values:
        return b""
    heads = _heads.get(tag)
    if heads is None:
        heads = _heads[tag] = {}
    pieces: list[bytes] = []
    for key, value in values.items():
        kind = type(value)
        if kind is str:  # nearly all of them, with JSON text
            try:
                data = value.encode()
            except UnicodeEncodeError:
                data = text(value)
            place = len(data)
        elif kind is Json:
            data = value.utf8
            place = len(data)
        elif kind is int and 0 <= value < TABLE:
            data = b"\x18" + VARINTS[value]
            place = -len(data)
        elif value is None:
            continue
        else:
            data = any_value(value)
            place = -len(data)
        head = heads.get(key, NO_HEADS).get(place)
        pieces += (_head(tag, key, place) if head is None else head), data
    return b"".join(pieces)


def _head(tag: bytes, key: str, place: int) -> bytes:
    """Return what stands before a value: tags, lengths and the key.

    Args:
        tag: The field's.
        key: The attribute's.
        place: The bytes of a text, or of any other encoded value with a minus before them.
    """
    size = abs(place)
    string = b"\x0a" + varint(size) if place >= 0 else b""
    value = b"".join((b"\x12", varint(len(string) + size), string))
    name = _keys.get(key) or _key(key)
    head = b"".join((tag, varint(len(name) + len(value) + size), name, value))
    if size < SIZES_KEPT and next(_kept) < HEADS_KEPT:
        _heads[tag].setdefault(key, {})[place] = head
    return head
