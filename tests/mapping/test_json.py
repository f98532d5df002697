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
