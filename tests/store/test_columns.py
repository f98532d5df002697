"""Charts count columns: the same as counting trace by trace, span by span."""

from __future__ import annotations

import statistics
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.store import metrics
from mlflow_otel.store.columns import TOKENS, Table
from mlflow_otel.store.facts import COSTS, NO_SPANS, AssessmentFacts, TraceFacts
from mlflow_otel.store.metrics import METRICS, Aggregation, Question

MILLISECOND = 1_000_000
TIMES = st.sampled_from([0, 1, 5, 999, 1000, 1500, 2000])
TEXTS = st.sampled_from(["a", "b"])
NUMBERS = st.none() | st.integers(0, 5)
SPANS = st.tuples(
    TIMES.map(lambda at: at * MILLISECOND + 7),
    TIMES.map(lambda at: (at + 20) * MILLISECOND),
    TEXTS,
    TEXTS,
    st.sampled_from(["OK", "ERROR"]),
    st.none() | TEXTS,
    st.none() | TEXTS,
    *[st.none() | st.sampled_from([0.5, 2.0])] * len(COSTS),
)
ASSESSMENTS = st.builds(
    AssessmentFacts, st.sampled_from(["feedback", "expectation"]), TEXTS, TEXTS, NUMBERS
)


@st.composite
def traces(draw, number):
    spans = draw(st.lists(SPANS, max_size=3))
    return TraceFacts(
        f"tr-{number}",
        number,
        "1",
        draw(TIMES),
        draw(TIMES),
        draw(st.sampled_from(["OK", "ERROR"])),
        draw(st.fixed_dictionaries({}, optional={keys.TAG_TRACE_NAME: TEXTS, "team": TEXTS})),
        draw(st.fixed_dictionaries({}, optional={keys.METADATA_SESSION: TEXTS})),
        draw(st.dictionaries(st.sampled_from(TOKENS), st.integers(0, 5))),
        tuple(zip(*spans, strict=True)) or NO_SPANS,
        tuple(draw(st.lists(ASSESSMENTS, max_size=2))),
    )


@st.composite
def questions(draw):
    view = draw(st.sampled_from(sorted(METRICS)))
    name = draw(st.sampled_from(sorted(METRICS[view])))
    metric = METRICS[view][name]
    kinds = draw(st.lists(st.sampled_from(sorted(metric.aggregations)), min_size=1, max_size=3))
    filters = draw(st.lists(st.sampled_from(FILTERS["TRACES"] + FILTERS[view]), max_size=2))
    dimensions = st.just([])
    if metric.dimensions:
        dimensions = st.lists(st.sampled_from(sorted(metric.dimensions)), max_size=2, unique=True)
    start, end = draw(st.none() | TIMES), draw(st.none() | TIMES)
    interval = draw(st.none() | st.just(1)) if None not in (start, end) else None
    labels = [Aggregation(kind, f"{kind}{n}", 25.0 * n) for n, kind in enumerate(kinds)]
    return Question(view, name, labels, draw(dimensions), filters, interval, start, end, 1000)


FILTERS = {
    "TRACES": ["trace.status = 'OK'", "trace.tag.team = 'a'"],
    "SPANS": ["span.name = 'a'", "span.type = 'b'", "span.status = 'OK'"],
    "ASSESSMENTS": ["assessment.name = 'a'", "assessment.type = 'feedback'"],
}


def rows(question, trace):
    """Yield what is counted of a trace: its times, its value, and what it says under each name."""
    about = {"trace.status": trace.state, "trace.tag.team": trace.tags.get("team")}
    if question.view == "TRACES":
        says = {"trace_name": trace.tags.get(keys.TAG_TRACE_NAME), "trace_status": trace.state}
        values = {
            "trace_count": 1,
            "session_count": trace.metadata.get(keys.METADATA_SESSION),
            "latency": trace.duration_ms,
            **trace.tokens,
        }
        yield trace.started_ms, trace.started_ms, values.get(question.metric), {**about, **says}
    elif question.view == "SPANS":
        for start, end, name, kind, status, model, provider, *costs in zip(
            *trace.spans, strict=True
        ):
            at = start // MILLISECOND
            says = {
                "span_name": name,
                "span_type": kind,
                "span_status": status,
                "span_model_name": model,
                "span_model_provider": provider,
                "span.name": name,
                "span.type": kind,
                "span.status": status,
            }
            latency = (end - start) // MILLISECOND
            values = {"span_count": 1, "latency": latency, **dict(zip(COSTS, costs, strict=True))}
            counted = at if question.metric in COSTS else trace.started_ms
            yield counted, at, values[question.metric], {**about, **says}
    else:
        for one in trace.assessments:
            says = {
                "assessment_name": one.name,
                "assessment_value": one.value,
                "assessment.name": one.name,
                "assessment.type": one.kind,
            }
            values = {"assessment_count": 1, "assessment_value": one.number}
            yield (
                trace.started_ms,
                trace.started_ms,
                values[question.metric],
                {**about, **says},
            )


def percentile(values, one):
    place = one.percentile / 100 * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    ordered = sorted(values)
    return ordered[low] * (1 - (place - low)) + ordered[high] * (place - low)


AGGREGATED = {
    "COUNT": lambda values, _: len(values),
    "SUM": lambda values, _: sum(values),
    "AVG": lambda values, _: statistics.fmean(values),
    "MIN": lambda values, _: min(values),
    "MAX": lambda values, _: max(values),
    "PERCENTILE": percentile,
}


def counted(question, facts):
    """Return the answer, counted row by row."""
    groups = defaultdict(list)
    wanted = [text.replace("'", "").split(" = ") for text in question.filters]
    for trace in facts:
        for at, shown, value, says in rows(question, trace):
            group = tuple(says[name] for name in question.dimensions)
            if (
                (question.start is None or question.start <= at)
                and (question.end is None or at <= question.end)
                and value is not None
                and None not in group
                and all(says[name] == text for name, text in wanted)
            ):
                bucket = (shown // 1000 * 1000,) if question.interval_seconds else ()
                groups[bucket + group].append(value)
    if not groups and not question.dimensions and not question.interval_seconds:
        groups[()] = []
    answer = []
    for group in sorted(groups):
        values = groups[group]
        if question.metric == "session_count":
            values = sorted(set(values))
        said = {
            one.label: AGGREGATED[one.kind](values, one)
            for one in question.aggregations
            if values or one.kind == "COUNT"
        }
        if said:
            answer.append((list(group[1 if question.interval_seconds else 0 :]), said))
    return answer


@settings(max_examples=60, deadline=None)
@given(
    facts=st.integers(0, 6).flatmap(lambda n: st.tuples(*map(traces, range(n)))),
    asked=st.lists(questions(), min_size=1, max_size=3),
)
def test_columns_are_counted_as_the_traces_one_by_one(facts, asked):
    table = Table(facts)  # what one question left in it serves the next
    for question in asked:
        found = [
            ([point.dimensions[name] for name in question.dimensions], point.values)
            for point in metrics.answer(question, table)
        ]
        expected = counted(question, facts)
        assert [group for group, _ in found] == [group for group, _ in expected]
        for (_, values), (_, right) in zip(found, expected, strict=True):
            assert values == pytest.approx(right)
