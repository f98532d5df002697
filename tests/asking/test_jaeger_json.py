"""Jaeger's answers are read in two ways, a quick one and one that takes any shape: both read the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.backends import jaeger_json, jaeger_typed
from mlflow_otel.backends.jaeger_json import OF_JAEGER
from mlflow_otel.backends.model import BackendSpan

pytest.importorskip("msgspec")

TEXTS = st.text(max_size=8)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
)
KEYS = st.sampled_from(
    [*sorted(OF_JAEGER), "a", "", "event", "@jaeger@warnings", "mlflow.spanType"]
)
TAGS = st.lists(
    st.fixed_dictionaries({"key": KEYS, "value": VALUES}, optional={"type": TEXTS}), max_size=4
)
IDS = st.sampled_from(["00000000000000aa", "00000000000000bb", "0" * 16, "", "no hex"])
TRACE_IDS = st.sampled_from(["aa", "00000000000000bb", "1" * 32, ""])
NUMBERS = st.integers(-5, 2**60)
REFERENCES = st.fixed_dictionaries(
    {"refType": st.sampled_from(["CHILD_OF", "FOLLOWS_FROM"]), "traceID": TRACE_IDS, "spanID": IDS}
)
SPANS = st.fixed_dictionaries(
    {
        "traceID": TRACE_IDS,
        "spanID": IDS,
        "startTime": NUMBERS,
        "duration": NUMBERS,
        "processID": st.sampled_from(["p1", "p2"]),
    },
    optional={
        "parentSpanID": IDS,
        "operationName": TEXTS,
        "references": st.none() | st.lists(REFERENCES, max_size=2),
        "tags": st.none() | TAGS,
        "logs": st.none()
        | st.lists(st.fixed_dictionaries({"timestamp": NUMBERS, "fields": TAGS}), max_size=2),
        "warnings": st.none() | st.lists(TEXTS, max_size=1),
    },
)
PROCESSES = st.dictionaries(
    st.sampled_from(["p1", "p2"]),
    st.fixed_dictionaries({"serviceName": TEXTS}, optional={"tags": TAGS}),
)
ANSWERS = st.fixed_dictionaries(
    {
        "data": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {"traceID": TRACE_IDS},
                optional={
                    "spans": st.none() | st.lists(SPANS, max_size=3),
                    "processes": st.none() | PROCESSES,
                },
            ),
            max_size=3,
        ),
        "errors": st.none(),
        "total": NUMBERS,
    }
)


def plain(told):
    """Return traces in plain values. ``repr`` tells 1 and True apart, which are equal."""
    return repr([(one.trace_id, one.start, list(one.spans())) for one in told])


@settings(max_examples=50, deadline=None)
@given(answer=ANSWERS)
def test_an_answer_as_jaeger_gives_it_is_read_the_same_in_both_ways(answer):
    quickly = jaeger_typed.read(json.dumps(answer).encode())
    assert quickly is not None
    assert plain(quickly) == plain(jaeger_json.read(answer))


def outline(span):
    """Return what an outline has of a span."""
    service = {k: v for k, v in span.resource.items() if k == "service.name"}
    said = {key: value for key, value in span.attributes.items() if key not in OF_JAEGER}
    return BackendSpan(
        span.span_id,
        span.parent_id,
        span.name,
        span.start,
        span.end,
        said,
        status=span.status,
        resource=service,
    )


@settings(max_examples=50, deadline=None)
@given(answer=ANSWERS)
def test_an_outline_is_what_charts_count_of_the_whole(answer):
    body = json.dumps(answer).encode()
    outlines = jaeger_typed.read(body, outline=True)
    assert [(t.trace_id, t.start) for t in outlines] == [
        (t.trace_id, t.start) for t in jaeger_typed.read(body)
    ]
    assert repr([list(map(outline, trace.spans())) for trace in outlines]) == repr(
        [list(map(outline, trace.spans())) for trace in jaeger_json.read(answer)]
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"data": {}}',
        b'{"data": [1]}',
        b'{"data": [{"spans": [{"startTime": "5"}]}]}',
        b'{"data": [{"spans": [{"tags": [{"value": 1}]}]}]}',
        b'{"data": [{"spans": [{"tags": [{"key": "a", "value": NaN}]}]}]}',
    ],
)
def test_an_answer_of_another_shape_is_left_to_the_other_way(body):
    assert jaeger_typed.read(body) is None
