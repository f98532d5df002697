"""Protobuf's wire format, as far as OTLP needs it: values to bytes, without messages in between.

Follows https://protobuf.dev/programming-guides/encoding/ and ``common.proto``'s ``AnyValue`` and
``KeyValue``. Lengths and keys recur, so both are looked up rather than worked out.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
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

_keys: dict[str, bytes] = {}  # keys of attributes as KeyValue's first field; few and ever the same


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
    pieces: list[bytes] = []
    for key, value in values.items():
        name = _keys.get(key) or _key(key)
        if type(value) is str:  # nearly all of them, with JSON text
            try:
                data = value.encode()
            except UnicodeEncodeError:
                data = text(value)
        elif type(value) is Json:
            data = value.utf8
        elif value is None:
            continue
        else:
            data = any_value(value)
            holder = varint(len(data))
            whole = len(name) + 1 + len(holder) + len(data)
            pieces += (tag, varint(whole), name, b"\x12", holder, data)
            continue
        size = len(data)
        length = VARINTS[size] if size < TABLE else _varint(size)
        inner = 1 + len(length) + size
        holder = VARINTS[inner] if inner < TABLE else _varint(inner)
        whole = len(name) + 1 + len(holder) + inner
        pieces += (
            tag,
            VARINTS[whole] if whole < TABLE else _varint(whole),
            name,
            b"\x12",
            holder,
            b"\x0a",
            length,
            data,
        )
    return b"".join(pieces)
