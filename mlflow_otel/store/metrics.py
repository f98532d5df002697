"""``query_trace_metrics``: what MLflow's charts ask for, counted over every trace of the time asked for.

The metrics, their aggregations and dimensions are those of MLflow's SQL store; a percentile is
interpolated between the two nearest values, as there.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import FilterError, bare
from mlflow_otel.store.facts import COSTS, TraceFacts

MILLISECOND: Final = 1_000_000
BUCKET: Final = "time_bucket"
TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_COUNT: Final = frozenset({"COUNT"})
_SPREAD: Final = frozenset({"AVG", "MIN", "MAX", "PERCENTILE"})
_SUMS: Final = _SPREAD | {"SUM"}
_NAME: Final = frozenset({"trace_name"})
_MODEL: Final = frozenset({"span_model_name", "span_model_provider"})


class Metric(NamedTuple):
    """A metric: how it may be aggregated, and by what it may be grouped."""

    aggregations: frozenset[str]
    dimensions: frozenset[str]


METRICS: Final[Mapping[str, Mapping[str, Metric]]] = {
    "TRACES": {
        "trace_count": Metric(_COUNT, _NAME | {"trace_status"}),
        "session_count": Metric(_COUNT, frozenset()),
        "latency": Metric(_SPREAD, _NAME),
        **dict.fromkeys(TOKENS, Metric(_SUMS, _NAME)),
    },
    "SPANS": {
        "span_count": Metric(_COUNT, _MODEL | {"span_name", "span_type", "span_status"}),
        "latency": Metric(_SPREAD, frozenset({"span_name", "span_status"})),
        **dict.fromkeys(COSTS, Metric(_SUMS, _MODEL)),
    },
    "ASSESSMENTS": {
        "assessment_count": Metric(_COUNT, frozenset({"assessment_name", "assessment_value"})),
        "assessment_value": Metric(_SPREAD, frozenset({"assessment_name"})),
    },
}


class Aggregation(NamedTuple):
    """How values become one number: its kind, what it is called, and of a percentile which."""

    kind: str
    label: str
    percentile: float = 0.0


class Question(NamedTuple):
    """What a chart asks for; times are milliseconds since the epoch, both ends included."""

    view: str
    metric: str
    aggregations: Sequence[Aggregation]
    dimensions: Sequence[str]
    filters: Sequence[str]
    interval_seconds: int | None
    start: int | None
    end: int | None
    limit: int


class Point(NamedTuple):
    """One row of the answer."""

    dimensions: dict[str, str]
    values: dict[str, float]


class _Condition(NamedTuple):
    view: str
    entity: str
    key: str
    value: str


def check(question: Question) -> tuple[_Condition, ...]:
    """Return the conditions of a question.

    Raises:
        FilterError: It cannot be answered; the message says what is wrong with it.
    """
    metrics = METRICS.get(question.view)
    if metrics is None:
        raise FilterError(f"view_type must be one of {', '.join(METRICS)}, got {question.view}")
    metric = metrics.get(question.metric)
    if metric is None:
        raise FilterError(f"metric_name must be one of {', '.join(metrics)}, got {question.metric}")
    for kind in (one.kind for one in question.aggregations):
        if kind not in metric.aggregations:
            known = ", ".join(sorted(metric.aggregations))
            raise FilterError(f"{question.metric} is aggregated by {known}, not by {kind}")
    for dimension in question.dimensions:
        if dimension not in metric.dimensions:
            known = ", ".join(sorted(metric.dimensions)) or "nothing"
            raise FilterError(f"{question.metric} is grouped by {known}, not by {dimension}")
    if question.interval_seconds and (question.start is None or question.end is None):
        raise FilterError("start_time_ms and end_time_ms are needed where a time interval is set")
    return tuple(_condition(text, question.view) for text in question.filters)


_FILTER: Final = re.compile(
    r"""\s*(?P<view>trace|span|assessment)\.(?P<entity>\w+)
    (?:\.(?P<key>`[^`]+`|"[^"]+"|'[^']+'|[\w.\-/]+))?
    \s*=\s*(?P<value>'[^']*'|"[^"]*")\s*""",
    re.VERBOSE,
)
ENTITIES: Final[Mapping[str, Mapping[str, bool]]] = {
    "trace": {"status": False, "tag": True, "metadata": True},
    "span": {"name": False, "status": False, "type": False},
    "assessment": {"name": False, "type": False},
}
"""What a filter may be about, and whether it names a key."""
VIEWS: Final = {"span": "SPANS", "assessment": "ASSESSMENTS"}


def _condition(text: str, view: str) -> _Condition:
    match = _FILTER.fullmatch(text)
    entities = {} if match is None else ENTITIES[match["view"]]
    if match is None or entities.get(match["entity"]) is not (match["key"] is not None):
        raise FilterError(
            f"{text!r} is no filter of charts: write trace.status, trace.tag.<key>, "
            "trace.metadata.<key>, span.name, span.status, span.type, assessment.name or "
            "assessment.type, = and a quoted text"
        )
    if VIEWS.get(match["view"], view) != view:
        raise FilterError(f"{text!r} does not go with the view {view}")
    return _Condition(
        match["view"], match["entity"], bare(match["key"] or ""), match["value"][1:-1]
    )


def answer(question: Question, traces: Iterable[TraceFacts]) -> list[Point]:
    """Return the rows of the answer, in order of time and dimensions.

    Args:
        question: What is asked.
        traces: Every trace that began in the time asked for.

    Raises:
        FilterError: It cannot be answered.
    """
    conditions = check(question)
    about_traces = [c for c in conditions if c.view == "trace"]
    about_rows = [c for c in conditions if c.view != "trace"]
    if about_traces:
        traces = [t for t in traces if all(_trace_met(c, t) for c in about_traces)]
    groups = _grouped(question, about_rows, traces)
    if not groups and not question.dimensions and not question.interval_seconds:
        groups[()] = []
    points = []
    for group in sorted(groups):
        values = _aggregated(question, groups[group])
        if values:
            points.append(Point(_named(question, group), values))
    return points[: question.limit]


def _grouped(
    question: Question, conditions: Sequence[_Condition], traces: Iterable[TraceFacts]
) -> dict[tuple[Any, ...], list[Any]]:
    """Return the values of each group: a page of charts asks for them of every span, some ten times."""
    view = COUNTED[question.view]
    value_of = view.values[question.metric]
    dimensions = [view.dimensions[name] for name in question.dimensions]
    met = [(view.entities[c.entity], c.value) for c in conditions]
    first = -math.inf if question.start is None else question.start
    last = math.inf if question.end is None else question.end
    length = (question.interval_seconds or 0) * 1000
    groups: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for counted, shown, thing in view.rows(question.metric, traces):
        if not first <= counted <= last:
            continue
        value = value_of(thing)
        if value is None or (met and any(said(thing) != wanted for said, wanted in met)):
            continue
        group: tuple[Any, ...] = tuple([said(thing) for said in dimensions])
        if None in group:
            continue
        if length:
            group = (shown // length * length, *group)
        groups[group].append(value)
    return groups


def _named(question: Question, group: Sequence[Any]) -> dict[str, str]:
    if not question.interval_seconds:
        return dict(zip(question.dimensions, group, strict=True))
    at = dt.datetime.fromtimestamp(group[0] / 1000, tz=dt.timezone.utc)
    return {BUCKET: at.isoformat(), **dict(zip(question.dimensions, group[1:], strict=True))}


def _aggregated(question: Question, values: list[Any]) -> dict[str, float]:
    if question.metric == "session_count":
        values = list(set(values))
    found = {one.label: AGGREGATED[one.kind](values, one) for one in question.aggregations}
    return {label: value for label, value in found.items() if value is not None}


def _percentile(values: list[float], one: Aggregation) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    place = one.percentile / 100 * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


AGGREGATED: Final[Mapping[str, Callable[[list[Any], Aggregation], float | None]]] = {
    "COUNT": lambda values, _: len(values),
    "SUM": lambda values, _: sum(values) if values else None,
    "AVG": lambda values, _: sum(values) / len(values) if values else None,
    "MIN": lambda values, _: min(values, default=None),
    "MAX": lambda values, _: max(values, default=None),
    "PERCENTILE": _percentile,
}


def _trace_met(condition: _Condition, trace: TraceFacts) -> bool:
    if condition.entity == "status":
        return trace.state == condition.value
    held = trace.tags if condition.entity == "tag" else trace.metadata
    return held.get(condition.key) == condition.value


Row = tuple[int, int, Any]
"""One thing that is counted: by which millisecond it is in the time asked for, by which in an interval."""
Says = Callable[[Any], Any]


def _traces(_: str, traces: Iterable[TraceFacts]) -> Iterator[Row]:
    return ((trace.started_ms, trace.started_ms, trace) for trace in traces)


def _spans(metric: str, traces: Iterable[TraceFacts]) -> Iterator[Row]:
    if metric in COSTS:  # counted by its own time, as MLflow's server does
        return (
            (span.start // MILLISECOND, span.start // MILLISECOND, span)
            for trace in traces
            for span in trace.spans
        )
    return (
        (trace.started_ms, span.start // MILLISECOND, span)
        for trace in traces
        for span in trace.spans
    )


def _assessments(_: str, traces: Iterable[TraceFacts]) -> Iterator[Row]:
    return (
        (trace.started_ms, trace.started_ms, one) for trace in traces for one in trace.assessments
    )


class Counted(NamedTuple):
    """What a view counts.

    Args:
        rows: Yields what is counted of traces, for a metric.
        values: What a metric takes of it; None where it has none.
        dimensions: By what it is grouped.
        entities: What a filter is held against.
    """

    rows: Callable[[str, Iterable[TraceFacts]], Iterator[Row]]
    values: Mapping[str, Says]
    dimensions: Mapping[str, Says]
    entities: Mapping[str, Says]


def _one_of(field: str, key: str) -> Says:
    """Return what takes a value out of a mapping."""
    take = operator.attrgetter(field)
    return lambda thing: take(thing).get(key)


_say = operator.attrgetter
COUNTED: Final[Mapping[str, Counted]] = {
    "TRACES": Counted(
        _traces,
        {
            "trace_count": _say("trace_id"),
            "session_count": _one_of("metadata", keys.METADATA_SESSION),
            "latency": _say("duration_ms"),
            **{name: _one_of("tokens", name) for name in TOKENS},
        },
        {"trace_name": _one_of("tags", keys.TAG_TRACE_NAME), "trace_status": _say("state")},
        {},
    ),
    "SPANS": Counted(
        _spans,
        {
            "span_count": lambda _: 1,
            "latency": lambda span: (span.end - span.start) // MILLISECOND,
            **{name: _one_of("costs", name) for name in COSTS},
        },
        {
            "span_name": _say("name"),
            "span_type": _say("type"),
            "span_status": _say("status"),
            "span_model_name": _say("model"),
            "span_model_provider": _say("provider"),
        },
        {"name": _say("name"), "status": _say("status"), "type": _say("type")},
    ),
    "ASSESSMENTS": Counted(
        _assessments,
        {"assessment_count": lambda _: 1, "assessment_value": _say("number")},
        {"assessment_name": _say("name"), "assessment_value": _say("value")},
        {"name": _say("name"), "type": _say("kind")},
    ),
}
"""What each view counts."""
