"""Inputs and outputs that nobody reads leave as they would if somebody had."""

from __future__ import annotations

import json
from collections import OrderedDict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping.values import Json, as_json, decode, to_otlp
from mlflow_otel.mapping.written import Written

SAID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
AS_MLFLOW = SAID.map(lambda value: json.dumps(value, ensure_ascii=False))
ESCAPED = SAID.map(lambda value: json.dumps(value, indent=1))
TORN = st.tuples(AS_MLFLOW, st.integers(0, 20)).map(lambda pair: pair[0][: -pair[1] or None])


def plain(value):
    return json.loads(str(value)) if isinstance(value, Json) else value


@settings(max_examples=400, deadline=None)
@given(AS_MLFLOW | ESCAPED | TORN | SAID)
@example('{"a": NaN}')
@example('[{"a": "\\ud800"}]')
@example('{"a": "' + chr(0xD800) + '"}')
@example('[{"x": ' * 2000)
def test_unread_values_leave_as_read_ones(text):
    unread, read = Written(text).attribute(), to_otlp(decode(text))
    assert type(unread) is type(read)
    assert repr(plain(unread)) == repr(plain(read))  # NaN is not itself


@pytest.mark.parametrize("text", ['{"a": [1, "é b", {"c": 1e-05}]}', '[{"a": ""}, {"a": " "}]'])
def test_blanks_between_go_and_those_in_text_stay(text):
    assert str(Written(text).attribute()) == json.dumps(
        json.loads(text), ensure_ascii=False, separators=(",", ":")
    )


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('"21 °C"', "21 °C"),
        ('{"a": 1}', '{"a":1}'),
        ("[1, 2]", "[1,2]"),
        ("7", "7"),
        ("half {", "half {"),
    ],
)
def test_as_text_everything_that_is_no_text_is_json(text, sent):
    assert str(Written(text).as_text()) == sent


@given(st.dictionaries(st.text(), SAID), st.booleans())
def test_a_key_that_may_not_be_there_is_not(said, escaped):
    written = Written(json.dumps(said, ensure_ascii=escaped))
    for key in ("model", "tool_name"):
        assert written.may_have(key) or key not in written.value
    assert all(written.may_have(key) for key in said if key.isascii() and key.isalnum())


def test_json_is_utf8_whatever_it_holds():
    for value in ({"a": "\ud800"}, {1: "é"}, {"a": {1, 2}}, {"x": float("nan")}, [{"d": b"x"}]):
        as_json(value).utf8.decode()


class Float(float):
    pass


class Int(int):
    pass


class Texts(list):
    pass


@given(SAID)
def test_subclasses_of_jsons_types_are_written_as_these(value):
    for kind, base in ((Float, 0.5), (Int, 7), (OrderedDict, {"a": value}), (Texts, [value])):
        assert str(as_json([kind(base)])) == str(as_json([base]))
