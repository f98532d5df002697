"""MLflow's filter strings: what is read, what is refused, which traces meet them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.search_utils import SearchTraceUtils

from mlflow_otel.filtering.grammar import FilterError, parse
from mlflow_otel.filtering.matching import (
    AssessmentValues,
    SpanValues,
    TraceValues,
    cannot_be_matched,
    matches,
)
from mlflow_otel.filtering.ordering import parse_order, sorting_key

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
    ("filter_string", "value"),
    [
        ("trace.text ILIKE '%it''s%'", "%it's%"),
        ("tags.a = ''''", "'"),
        ('tags.a = "say ""no"""', 'say "no"'),
        ("tags.a = ''", ""),
        ("tags.a = 'it\"s'", 'it"s'),
        ("status IN ('O''K', 'OK')", ("O'K", "OK")),
    ],
)
def test_a_quote_in_a_text_is_written_twice_as_mlflows_pages_do(filter_string, value):
    clause, other = parse(f"{filter_string} AND tags.b = 'x'")
    assert (clause.value, other.value) == (value, "x")


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


JUDGED = TRACE._replace(
    tags={"mlflow.linkedPrompts": '[{"name": "greet", "version": "3"}]'},
    spans=(SpanValues("answer", content=lambda: '{"inputs": "Where is Paris?"}'),),
    assessments=(
        AssessmentValues("feedback", "tone", "good"),
        AssessmentValues("feedback", "ok", True),
        AssessmentValues("feedback", "score", 0.5),
        AssessmentValues("feedback", "score", 0.9, valid=False),
        AssessmentValues("feedback", "fields", {"a": 1}),
        AssessmentValues("expectation", "answer", "Paris"),
        AssessmentValues("issue", "iss-1"),
    ),
)


@pytest.mark.parametrize(
    ("filter_string", "met"),
    [
        ("feedback.tone = 'good'", True),
        ("feedback.tone != 'good'", False),
        ("feedback.tone != 'bad'", True),
        ("feedback.tone LIKE '%oo%'", True),
        ("feedback.tone RLIKE 'go+d'", True),
        ("feedback.other != 'x'", False),
        ("feedback.other IS NULL", True),
        ("feedback.tone IS NOT NULL", True),
        ("expectation.tone IS NULL", True),
        ("feedback.ok = 'true'", True),
        ("feedback.ok > 0.5", False),
        ("feedback.score > 0.4", True),
        ("feedback.score > 0.8", False),
        ("feedback.score = '0.5'", True),
        ("feedback.tone < 5", False),
        ("feedback.fields LIKE '%\"a\"%'", True),
        ("expectation.answer = 'Paris'", True),
        ("issue.id = 'iss-1'", True),
        ("issue.id = 'iss-2'", False),
        ("prompt = 'greet/3'", True),
        ("prompt = 'greet/4'", False),
        ("text LIKE '%Paris%'", True),
        ("span.content ILIKE '%paris%'", True),
        ("text LIKE '%paris%'", False),
        ("text LIKE '%Paris%' AND span.name = 'other'", False),
    ],
)
def test_assessments_prompts_and_text_are_compared_as_mlflows_server_does(filter_string, met):
    assert matches(parse(filter_string), JUDGED) is met


NUMBERS = [
    "trace.timestamp_ms",
    "trace.timestamp",
    "execution_time_ms",
    "execution_time",
    "end_time",
]
TEXTS = ["status", "request_id", "client_request_id", "name", "run_id"]
KEYS = st.sampled_from(["tone", "a_b", "`odd key`", '"q"', "`x-y`", "mlflow.trace.session"])
WORDS = st.sampled_from(["'v'", '"v w"', "'%a_b%'", "'12'", "''"])
FIGURES = st.sampled_from(["0", "17", "0.5", "1700000000000"])
COMPARATORS = ["=", "!=", "LIKE", "ILIKE", "RLIKE"]


def clauses(names, comparators, values):
    return st.builds("{} {} {}".format, names, st.sampled_from(comparators), values)


def under(*entities):
    return st.builds("{}.{}".format, st.sampled_from(entities), KEYS)


# Later than MLflow 3.13.
NUMBERS_OF_FEEDBACK = getattr(SearchTraceUtils, "NUMERIC_ASSESSMENT_COMPARATORS", ())
CLAUSE = st.one_of(
    clauses(st.sampled_from(NUMBERS), ["=", "!=", ">", ">=", "<", "<="], FIGURES),
    clauses(
        st.builds(
            "{}{}".format, st.sampled_from(["", "trace.", "attributes."]), st.sampled_from(TEXTS)
        ),
        COMPARATORS,
        WORDS,
    ),
    # MLflow reads lists for name and run_id, too, and refuses them when it searches.
    clauses(st.sampled_from(TEXTS[:3]), ["IN", "NOT IN"], st.just("('a', \"b\")")),
    clauses(under("tag", "tags", "metadata", "request_metadata"), COMPARATORS, WORDS),
    clauses(under("tag", "metadata", "feedback"), ["IS NULL", "IS NOT NULL"], st.just("")),
    clauses(under("feedback", "expectation"), COMPARATORS, WORDS),
    *(
        clauses(under("feedback", "expectation"), [comparator], FIGURES)
        for comparator in sorted(NUMBERS_OF_FEEDBACK)
    ),
    clauses(
        st.sampled_from(["span.name", "span.type", "span.status", "span.attributes.a.b"]),
        COMPARATORS,
        WORDS,
    ),
    clauses(st.sampled_from(["span.content", "trace.text"]), ["LIKE", "ILIKE"], WORDS),
    clauses(st.just("issue.id"), ["="], WORDS),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CLAUSE, min_size=1, max_size=3))
def test_what_mlflow_reads_is_read_as_mlflow_reads_it(several):
    text = " AND ".join(several)
    theirs = SearchTraceUtils.parse_search_filter_for_search_traces(text)
    ours = parse(text)
    assert [
        ("metadata" if c["type"] == "request_metadata" else c["type"], c["key"], c["comparator"])
        for c in theirs
    ] == [(c.entity, c.key, c.comparator) for c in ours]
    assert [c["value"] for c in theirs] == [c.value for c in ours]


@pytest.mark.parametrize(
    "text",
    [
        "timestamp_ms DESC",
        "attributes.timestamp asc",
        "name",
        "tag.`a b` DESC",
        "metadata.mlflow.trace.session",
        "execution_time",
        "end_time DESC",
        "run_id",
        "trace.status ASC",
        "experiment_id",
        "span.name",
        "feedback.x",
        "color",
        "tag.x DESC ASC",
        "tag.x SIDEWAYS",
        "",
    ],
)
def test_an_order_is_read_as_mlflow_reads_it(text):
    try:
        kind, key, ascending = SearchTraceUtils.parse_order_by_for_search_traces(text)
    except Exception:
        kind = "refused"
    if kind in {"refused", "span", "feedback"}:  # MLflow reads the last two, and then fails
        with pytest.raises(FilterError):
            parse_order([text])
        return
    kind = "metadata" if kind == "request_metadata" else kind
    assert parse_order([text])[0] == (kind, key, ascending)


def test_traces_stand_in_order_and_what_has_no_value_comes_last():
    def trace(identity, time, **tags):
        return TraceValues({"request_id": identity, "timestamp_ms": time}, tags)

    traces = [trace("b", 1), trace("a", 1), trace("c", 2, x="1"), trace("d", 3, x="2")]

    def ordered(*order_by):
        key = sorting_key(parse_order(order_by))
        return "".join(t.attributes["request_id"] for t in sorted(traces, key=key))

    assert ordered() == "dcab"
    assert ordered("timestamp ASC") == "abcd"
    assert ordered("tag.x") == "cdab"
    assert ordered("tag.x DESC") == "dcab"
    assert ordered("timestamp ASC", "request_id DESC") == "bacd"
    with pytest.raises(FilterError):
        parse_order(["tag.x", "tag.x DESC"])
