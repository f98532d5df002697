"""A field that is of another shape than any library writes it: it leaves, and so does all beside it."""

from __future__ import annotations

import pytest

from tests.mapping.test_nothing_lost import ALL, SIDES, check
from tests.mapping.test_nulls import places

SHAPES = (
    7_654_321,
    {"zq": "unheard-of words"},
    "unheard-of words",
    ["unheard-of words", None, 7_654_321],
    [{"zq": "unheard-of words"}, {}],
    [],
)


MODELS = {"model", "modelId"}


def once():
    """Yield the place of each field of each format, once; the fields of a tool's parameters are nobody's."""
    known = set()
    for name, (attributes, _) in ALL.items():
        for side in SIDES:
            for path in places(attributes.get(side)):
                kind = (attributes.get("mlflow.message.format"), side, path[-1])
                if kind not in known and "properties" not in path:
                    known.add(kind)
                    yield name, side, path


PLACES = list(once())


def put(value, path, new):
    """Return a structure with another value in one place."""
    first, *more = path
    kept = dict(value) if isinstance(value, dict) else list(value)
    kept[first] = put(value[first], more, new) if more else new
    return kept


@pytest.mark.parametrize("turn", range(len(SHAPES)))
def test_a_field_of_any_shape_leaves_and_all_beside_it(turn):
    """Each field is of one of the shapes, in turn."""
    for name, side, path in PLACES[turn :: len(SHAPES)]:
        attributes, ours = ALL[name]
        without = {"mlflow.chat.tools", *(("mlflow.llm.model",) if path[-1] in MODELS else ())}
        given = {key: value for key, value in attributes.items() if key not in without}
        given[side] = put(given[side], path, SHAPES[turn])
        try:
            check(given, ours)
        except AssertionError as error:
            raise AssertionError(f"{name}, {side}: {path}") from error
