"""What an app writes on a span of MLflow's leaves as it was written, less what says that nothing was given."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.mapping.values import Json, to_otlp

OMITTED = "<openai.Omit object at 0x7f3d58703710>"
HANDLE = "<shop.Cart object at 0x7f3d58703710>"
TEXTS = st.sampled_from(["", "x", "two words", "<b>", "Omit", HANDLE, '{"a": 1}', "[", "NaN"])
LEAVES = TEXTS | st.none() | st.booleans() | st.integers(-9, 9) | st.floats(0, 1)
SAID = st.recursive(
    LEAVES | st.just(OMITTED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def mapped(**written):
    view = SpanView("call", {key: json.dumps(value) for key, value in written.items()})
    found = map_span(view, TraceContext(), MappingOptions())
    assert found.failures == ()
    return found.attributes


def without_omitted(value):
    """Return a structure without the fields of its objects that say that nothing was given."""
    if isinstance(value, dict):
        return {key: without_omitted(item) for key, item in value.items() if item != OMITTED}
    return value


@settings(max_examples=200, deadline=None)
@given(SAID)
def test_an_attribute_of_the_apps_leaves_as_it_was_written(said):
    left = mapped(**{"shop.cart": said})
    if said is None or said == OMITTED:
        assert "shop.cart" not in left
    else:
        sent = to_otlp(without_omitted(said))
        assert left["shop.cart"] == (str(sent) if isinstance(sent, Json) else sent)


@pytest.mark.parametrize("said", ["half {", "", "plain", "{'a': 1}", "\ud800"])
def test_an_attribute_that_is_no_json_leaves_as_it_is(said):
    view = SpanView("call", {"shop.cart": said})
    assert map_span(view, TraceContext(), MappingOptions()).attributes["shop.cart"] == said


@pytest.mark.parametrize("known", [None, "a" * 32])
def test_a_span_says_which_trace_it_is_of_where_the_trace_is_not_known(known):
    view = SpanView("call", {"mlflow.traceRequestId": json.dumps("tr-1")})
    found = map_span(view, TraceContext(trace_id=known), MappingOptions())
    assert found.attributes.get("mlflow.trace.id") == (known or "tr-1")
