"""MLflow's filter strings: what is read, what is refused, which traces meet them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.filtering.grammar import FilterError, parse
from mlflow_otel.filtering.matching import SpanValues, TraceValues, cannot_be_matched, matches

TRACE = TraceValues(
    attributes={
        "request_id": "tr-1",
        "client_request_id": "req-1",
        "status": "OK",
        "timestamp_ms": 1000,
        "execution_time_ms": 250,
        "end_time_ms": 1250,
    },
    tags={"mlflow.traceName": "answer", "environment": "production", "odd key": "a%b"},
    metadata={"mlflow.trace.session": "s-1", "mlflow.trace.user": "ada"},
    spans=(
        SpanValues("answer", "AGENT", "OK", {"model": "gpt", "count": 3}),
        SpanValues("search", "TOOL", "ERROR"),
    ),
)


@pytest.mark.parametrize(
    ("filter_string", "met"),
    [
        ("", True),
        ("status = 'OK'", True),
        ("trace.status = 'ERROR'", False),
        ("attributes.status IN ('OK', 'ERROR')", True),
        ("status NOT IN ('OK')", False),
        ("name = 'answer'", True),
        ("name LIKE 'ans%'", True),
        ("name LIKE 'ANS%'", False),
        ("name ILIKE 'ANS%'", True),
        ("name like '_nswer'", True),
        ("name RLIKE '^a.*r$'", True),
        ("tags.environment = 'production'", True),
        ('tag."environment" != "staging"', True),
        ("tags.`odd key` = 'a%b'", True),
        ("tags.other != 'x'", False),
        ("tags.other IS NULL", True),
        ("tags.environment IS NOT NULL", True),
        ("metadata.`mlflow.trace.session` = 's-1'", True),
        ("metadata.mlflow.trace.user = 'ada'", True),
        ("request_metadata.`mlflow.trace.user` = 'bob'", False),
        ("client_request_id = 'req-1' AND request_id = 'tr-1'", True),
        ("execution_time_ms > 200 and execution_time <= 250", True),
        ("timestamp < 1000", False),
        ("end_time_ms = 1250", True),
        ("span.type = 'TOOL' AND span.status = 'ERROR'", True),
        ("span.type = 'AGENT' AND span.status = 'ERROR'", False),
        ("span.attributes.model = 'gpt'", True),
        ("span.attributes.count = '3'", True),
        ("span.name IN ('search')", True),
        ("tags.environment = 'AND'", False),
        ("run_id = 'r'", False),
    ],
)
def test_a_trace_meets_a_filter_or_not(filter_string, met):
    assert matches(parse(filter_string), TRACE) is met


@pytest.mark.parametrize(
    ("filter_string", "named"),
    [
        ("status", "status"),
        ("status = OK", "status = OK"),
        ("status = 'OK' OR name = 'x'", "OR"),
        ("status = 'OK' AND", "AND"),
        ("color = 'red'", "color"),
        ("params.x = '1'", "params"),
        ("status > 'OK'", "status > 'OK'"),
        ("execution_time_ms = '5'", "must be a number"),
        ("tags.x = 5", "must be a quoted text"),
        ("execution_time_ms LIKE '5'", "LIKE"),
        ("span.color = 'x'", "span.color"),
        ("name RLIKE '('", "regular expression"),
        ("status IN 'OK'", "IN"),
        ("status = ('OK')", "="),
        ("tags.x IS NULL 'y'", "IS NULL"),
        ("(status = 'OK')", "status"),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_clause_is_named(filter_string, named):
    with pytest.raises(FilterError) as caught:
        parse(filter_string)
    assert named in str(caught.value)


@pytest.mark.parametrize("text", ["feedback.tone = 'good'", "text LIKE '%x%'", "issue.id = 'i'"])
def test_what_needs_more_than_the_trace_is_known_beforehand(text):
    clause = cannot_be_matched(parse(f"status = 'OK' AND {text}"))
    assert clause is not None
    assert clause.text == text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        clauses = parse(text)
    except FilterError:
        return
    assert matches(clauses, TRACE) in {True, False} or cannot_be_matched(clauses)
