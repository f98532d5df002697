"""A field that is null says as little as one that is not there: some libraries write out all that they know."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from tests.mapping.test_nothing_lost import ALL, SIDES, written

NAMES = (
    *(
        "type",
        "role",
        "kind",
        "format",
        "content",
        "text",
        "data",
        "name",
        "id",
        "call_id",
        "status",
    ),
    *(
        "index",
        "meta",
        "metadata",
        "source",
        "url",
        "model",
        "messages",
        "prompt",
        "query",
        "input",
    ),
    *(
        "output",
        "choices",
        "tool_calls",
        "arguments",
        "finish_reason",
        "usage",
        "document",
        "score",
    ),
)
WHOLE = ("input.value", "output.value")  # as the library wrote them
OPTIONS = MappingOptions(frozenset({"genai", "openinference"}))


def with_nulls(value, names=NAMES):
    """Return a structure of which each object has further fields that are null."""
    if isinstance(value, dict):
        return dict.fromkeys(names) | {key: with_nulls(item, names) for key, item in value.items()}
    return [with_nulls(item, names) for item in value] if isinstance(value, list) else value


def without_nulls(value):
    """Return a structure without what says nothing; JSON in a text is a structure."""
    if isinstance(value, dict):
        left = {key: without_nulls(item) for key, item in value.items()}
        return {key: item for key, item in left.items() if item not in (None, [], {})}
    if isinstance(value, (list, tuple)):
        return [without_nulls(item) for item in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return without_nulls(json.loads(value))
        except ValueError:
            return value
    return value


def left(attributes, ours):
    found = map_span(
        SpanView("call", written(attributes, ours), made_by_mlflow=ours), TraceContext(), OPTIONS
    )
    assert found.failures == ()
    said = {key: value for key, value in found.attributes.items() if key not in WHOLE}
    return without_nulls({"name": found.name, **{k: str(v) for k, v in said.items()}})


@pytest.mark.parametrize("payload", ALL)
def test_null_fields_in_every_object_change_nothing(payload):
    attributes, ours = ALL[payload]
    sides = {side: with_nulls(attributes[side]) for side in SIDES if side in attributes}
    assert left(attributes | sides, ours) == left(attributes, ours)


def places(value, path=()):
    """Yield where the fields of all objects are."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                yield (*path, key)
            yield from places(item, (*path, key))


def changed(value, path, *, gone):
    """Return a structure in which one field is null, or not there."""
    first, *more = path
    kept = dict(value) if isinstance(value, dict) else list(value)
    if more:
        kept[first] = changed(value[first], more, gone=gone)
    elif gone:
        del kept[first]
    else:
        kept[first] = None
    return kept


@pytest.mark.parametrize("payload", ALL)
def test_a_field_that_becomes_null_leaves_what_one_leaves_that_goes(payload):
    attributes, ours = ALL[payload]
    for side in SIDES:
        for path in places(attributes.get(side)):
            null, none = (
                left({**attributes, side: changed(attributes[side], path, gone=gone)}, ours)
                for gone in (False, True)
            )
            assert null == none, path
