"""What ``redact`` is shown, and what leaves of what it returns."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.mapping.values import Json, as_json, to_otlp

KEYS = st.text("ab.", min_size=1, max_size=3)
HELD = st.text(max_size=3) | st.booleans() | st.integers() | st.lists(st.integers(), max_size=2)
VALUES = st.dictionaries(KEYS, HELD | st.dictionaries(KEYS, HELD, max_size=2).map(as_json))


def shown(value):
    return str(value) if isinstance(value, Json) else value


@given(VALUES)
def test_each_value_is_shown_as_it_leaves_with_its_name_and_its_key(values):
    seen = []

    def redact(*about):
        seen.append(about)
        return about[-1]

    left = redacted("call", values, redact)
    assert seen == [("call", key, shown(value)) for key, value in values.items()]
    assert all(left[key] is value for key, value in values.items())
    assert left.keys() == values.keys()


@given(VALUES, HELD | st.none() | st.dictionaries(KEYS, HELD))
def test_what_it_returns_leaves_instead_and_nothing_where_it_returns_none(values, instead):
    left = redacted("call", values, lambda name, key, value: instead)
    if instead is None:
        assert left == {}
    else:
        assert left.keys() == values.keys()
        for value in left.values():
            assert shown(value) == shown(to_otlp(instead))


def test_an_object_that_it_returns_leaves_as_json():
    left = redacted("call", {"a": "x"}, lambda *_: {"b": [1, "é"]})
    assert json.loads(str(left["a"])) == {"b": [1, "é"]}
