"""Bytes that are written without messages in between, beside those of the messages themselves."""

from __future__ import annotations

import itertools
import json
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.mapping.values import Json, as_json
from mlflow_otel.otlp import wire

SPAN_ATTRIBUTES = b"\x4a"
LENGTHS = [0, 1, 2, 125, 126, 127, 128, 129, 255, 256, 4092, 4095, 4096, 4097]
LENGTHS += [16_379, 16_383, 16_384, 16_385, 2**16, 2**21, 2**21 + 1]
"""Where one more byte of length is needed, or a table ends, and beside it."""
INTS = [0, 1, 127, 128, 16_383, 16_384, 16_385, 2**31, 2**63 - 1, 2**63, 2**64, 10**30]
EDGES = [*INTS, *(-number for number in INTS), -(2**63), -(2**63) - 1]

scalars = (
    st.text(st.characters())  # lone surrogates too
    | st.booleans()
    | st.integers()
    | st.sampled_from(EDGES)
    | st.floats()
    | st.binary(max_size=200)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner | st.none(), max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner | st.none(), max_size=4)
    ),
    max_leaves=12,
)
properties = settings(max_examples=150, deadline=None)


def readable(text):
    return text.encode("utf-8", "replace").decode()


def message_of(value):
    """Return the message for a value, by protobuf's own classes."""
    made = AnyValue()
    if value is None:
        return made
    if isinstance(value, str):
        made.string_value = readable(value)
    elif isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int):
        if -(2**63) <= value < 2**63:
            made.int_value = value
        else:
            made.string_value = str(value)
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, bytes):
        made.bytes_value = value
    elif isinstance(value, (list, tuple)):
        made.array_value.SetInParent()
        made.array_value.values.extend(message_of(item) for item in value)
    else:
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(pairs(value))
    return made


def pairs(attributes):
    return [
        KeyValue(key=readable(str(key)), value=message_of(value))
        for key, value in attributes.items()
    ]


def same(found, expected):
    """Compare as bytes, since NaN is not itself."""
    assert found.SerializeToString() == expected.SerializeToString()


@properties
@given(values)
def test_a_value_is_what_protobufs_own_message_has(value):
    same(AnyValue.FromString(wire.any_value(value)), message_of(value))


@properties
@given(st.dictionaries(st.text(st.characters(), max_size=300), values | st.none(), max_size=5))
def test_attributes_are_those_of_protobufs_own_messages_and_none_stays_out(attributes):
    there = {key: value for key, value in attributes.items() if value is not None}
    for _ in range(2):  # heads that are made, then those that are kept
        written = wire.attributes(SPAN_ATTRIBUTES, attributes)
        same(Span.FromString(written), Span(attributes=pairs(there)))


@pytest.mark.parametrize("key", ["k", "é" * 70, "long" * 5000])
def test_attributes_of_every_length_and_number_are_right_the_first_time_and_from_then_on(key):
    said = [
        *("x" * length for length in LENGTHS),
        *EDGES,
        "é" * 64,
        b"x" * 300,
        [],
        {},
        True,
        False,
    ]
    for value in [*said, *reversed(said)]:
        span = Span.FromString(wire.attributes(SPAN_ATTRIBUTES, {"a": 1, key: value, "z": ""}))
        same(span, Span(attributes=pairs({"a": 1, key: value, "z": ""})))


def test_one_key_in_two_messages_has_each_ones_tag():
    for tag in (SPAN_ATTRIBUTES, b"\x32", b"\x0a"):
        assert wire.attributes(tag, {"k": "v"}).startswith(tag)


def test_no_attributes_are_no_bytes():
    assert wire.attributes(SPAN_ATTRIBUTES, None) == wire.attributes(SPAN_ATTRIBUTES, {}) == b""
    assert wire.attributes(SPAN_ATTRIBUTES, {"k": None}) == b""


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Odd:
    def __repr__(self):
        return "Odd"


JSONS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(), max_size=4)


@properties
@given(JSONS)
def test_json_and_what_no_message_has_leave_as_text(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    made = as_json(value)
    assert type(made) is Json
    for written in ({"k": made}, {"k": [made]}):
        (found,) = Span.FromString(wire.attributes(SPAN_ATTRIBUTES, written)).attributes
        inner = found.value.array_value.values[0] if type(written["k"]) is list else found.value
        assert json.loads(inner.string_value) == json.loads(readable(text))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("é"), "é"),
        (Number(7), 7),
        (MappingProxyType({"a": None}), {"a": None}),
        (range(3), [0, 1, 2]),
        (Odd(), '"Odd"'),
    ],
)
def test_values_of_other_types_are_as_the_nearest(value, plain):
    written = wire.attributes(SPAN_ATTRIBUTES, {"k": value})
    same(Span.FromString(written), Span(attributes=pairs({"k": plain})))


@pytest.mark.parametrize("length", LENGTHS)
def test_fields_of_every_length_are_read_back(length):
    assert AnyValue.FromString(wire.field(b"\x3a", b"x" * length)).bytes_value == b"x" * length
    if length:
        assert wire.string(b"\x0a", "x" * length) == wire.field(b"\x0a", b"x" * length)
    assert AnyValue.FromString(b"\x18" + wire.varint(length)).int_value == length


def test_an_empty_text_stays_out_and_one_without_utf8_is_readable():
    assert wire.string(b"\x0a", "") == wire.string(b"\x0a", None) == b""
    assert wire.string(b"\x0a", "a\ud800é") == wire.field(b"\x0a", "a?é".encode())


@pytest.fixture
def small(monkeypatch):
    """Let the tables have room for little."""
    for name, value in (("_keys", {}), ("_heads", {}), ("_kept", itertools.count())):
        monkeypatch.setattr(wire, name, value)
    for name, bound in (("KEYS_KEPT", 3), ("HEADS_KEPT", 5), ("SIZES_KEPT", 100)):
        monkeypatch.setattr(wire, name, bound)


def heads():
    return {
        (tag, key, place)
        for tag, keys in wire._heads.items()
        for key, places in keys.items()
        for place in places
    }


def test_what_is_kept_for_the_next_time_is_bounded_and_full_tables_change_nothing(small):
    for round_ in range(3):
        for number in range(20):
            said = {f"k{number}": "x", "long": "x" * 100, f"n{number}": number}
            span = Span.FromString(wire.attributes(SPAN_ATTRIBUTES, said))
            same(span, Span(attributes=pairs(said)))
        assert list(wire._keys) == ["k0", "long", "n0"], round_
        assert heads() == {
            (SPAN_ATTRIBUTES, *kept)
            for kept in (("k0", 1), ("n0", -2), ("k1", 1), ("n1", -2), ("k2", 1))
        }


def test_what_is_kept_is_used(small):
    wire.attributes(SPAN_ATTRIBUTES, {"k": "x" * 99})
    (places,) = wire._heads[SPAN_ATTRIBUTES].values()
    places[99] = b"kept"
    assert wire.attributes(SPAN_ATTRIBUTES, {"k": "x" * 99}) == b"kept" + b"x" * 99
