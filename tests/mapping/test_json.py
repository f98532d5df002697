"""JSON is read and written the same with msgspec and without it."""

import importlib.util
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping import values

pytest.importorskip("msgspec")


def without_msgspec():
    """Return the module as it is where msgspec is not installed."""
    held = {name: sys.modules.get(name) for name in ("msgspec", "msgspec.json")}
    sys.modules.update(dict.fromkeys(held))  # None: an import fails
    try:
        spec = importlib.util.spec_from_file_location("slow_values", values.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name, module_before in held.items():
            sys.modules.pop(name)
            if module_before is not None:
                sys.modules[name] = module_before
    return module


SLOW = without_msgspec()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=40, deadline=None)
def test_a_value_written_by_one_is_read_by_the_other(value):
    written = str(values.as_json(value))
    assert SLOW.decode(written) == values.decode(written)
    again = str(SLOW.as_json(value))
    assert values.decode(again) == SLOW.decode(again) == SLOW.decode(written)


@given(JSON)
@settings(max_examples=40, deadline=None)
def test_text_less_its_blanks_says_the_same(value):
    written = str(SLOW.as_json({"value": value}))
    spaced = written.replace('{"value":', '{ "value" : ')
    assert SLOW.decode(str(SLOW.compact(spaced))) == values.decode(str(values.compact(spaced)))


class Unprintable:
    def __str__(self):
        raise RuntimeError


LEAVES = {
    "bytes that are no UTF-8": (b"\xff\xfe", None),
    "a lone surrogate": ("\ud800", '"?"'),
    "a key that is a number": ({1: "x"}, '{"1":"x"}'),
    "not a number": ({"x": [float("nan"), float("-inf")]}, None),
    "an object": ({"x": Ellipsis}, '{"x":"Ellipsis"}'),
    "one that has no text": (Unprintable(), "<unserializable>"),
    "one inside": ({"x": Unprintable()}, None),
}


@pytest.mark.parametrize("name", LEAVES)
def test_whatever_json_has_no_word_for_leaves_as_text(name):
    value, text = LEAVES[name]
    for module in (values, SLOW):
        try:
            said = str(module.as_json(value))
        except UnicodeDecodeError:
            pytest.fail("no UTF-8")
        if text is not None:
            assert said == text
        assert said == module.dumps(value)


def test_json_that_nests_too_deeply_leaves_as_text():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for module in (values, SLOW):
        assert str(module.as_json({"x": deep}))


class Whole(int):
    pass


@pytest.mark.parametrize("kind", [int, Whole])
def test_whole_numbers_of_64_bits_are_numbers_and_others_text(kind):
    for number in (-(2**63), -1, 0, 2**63 - 1):
        assert values.to_otlp(kind(number)) == number
        assert values.to_otlp([number, 1]) == [number, 1]
    for number in (-(2**63) - 1, 2**63):
        assert values.to_otlp(kind(number)) == str(number)
        assert values.to_otlp([number, 1]) == [str(number), "1"]


@pytest.mark.parametrize("text", sorted(values.NOT_FINITE))
def test_what_no_json_can_say_is_text_that_is_read_as_the_number(text):
    number = float(text)
    assert values.to_otlp(number) == text
    assert values.to_otlp([number, 0.5]) == [text, "0.5"]
    assert repr(values.decode(values.to_otlp(number))) == repr(number)
