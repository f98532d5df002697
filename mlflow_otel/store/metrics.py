"""``query_trace_metrics``: what MLflow's charts ask for, counted over every trace of the time asked for.

The metrics, their aggregations and dimensions are those of MLflow's SQL store; a percentile is
interpolated between the two nearest values, as there.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.filtering.grammar import FilterError, bare
from mlflow_otel.store.columns import COUNTED, TOKENS, Column, Counted, Table
from mlflow_otel.store.facts import COSTS, TraceFacts

BUCKET: Final = "time_bucket"
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


def answer(question: Question, table: Table) -> list[Point]:
    """Return the rows of the answer, in order of time and dimensions.

    Args:
        question: What is asked.
        table: Every trace that began in the time asked for; it may have others.

    Raises:
        FilterError: It cannot be answered.
    """
    conditions = check(question)
    about_traces = [c for c in conditions if c.view == "trace"]
    about_rows = [c for c in conditions if c.view != "trace"]
    if about_traces:
        table = Table(t for t in table.traces if all(_trace_met(c, t) for c in about_traces))
    groups = _grouped(question, about_rows, table)
    if not groups and not question.dimensions and not question.interval_seconds:
        groups[()] = []
    points = []
    for group in sorted(groups):
        values = _aggregated(question, groups[group])
        if values:
            points.append(Point(_named(question, group), values))
    return points[: question.limit]


def _grouped(
    question: Question, conditions: Sequence[_Condition], table: Table
) -> dict[tuple[Any, ...], Column]:
    """Return the values of each group; where they are only counted, something for each of them."""
    view = COUNTED[question.view]

    def column(make: Callable[[Table], Column]) -> Column:
        return table.kept(make, make)

    values = column(view.values[question.metric])
    start, end, kept = _in_time(question, column(view.counted(question.metric)))
    for condition in conditions:
        said = column(view.entities[condition.entity])
        kept = _both(kept, [one == condition.value for one in said])
    if None in values:
        kept = _both(kept, [value is not None for value in values])
    is_counted = question.metric != "session_count" and all(
        one.kind == "COUNT" for one in question.aggregations
    )
    dimensions, interval = tuple(question.dimensions), question.interval_seconds
    groups = table.kept(
        (question.view, dimensions, interval), lambda _: _groups(view, dimensions, interval, column)
    )
    found: dict[tuple[Any, ...], Column] = {}
    for group, rows in groups.items():
        within = rows[bisect_left(rows, start) : bisect_left(rows, end)]
        if kept is not None:
            within = [row for row in within if kept[row]]
        if not within:
            continue
        if is_counted or len(within) == len(values):
            found[group] = within if is_counted else values
        else:
            found[group] = [values[row] for row in within]
    return found


def _groups(
    view: Counted,
    dimensions: Sequence[str],
    interval: int | None,
    column: Callable[[Callable[[Table], Column]], Column],
) -> dict[tuple[Any, ...], Sequence[int]]:
    """Return the rows of each group, in order."""
    shown = column(view.shown)
    columns = [column(view.dimensions[name]) for name in dimensions]
    if interval:
        length = interval * 1000
        columns = [[at // length * length for at in shown], *columns]
    if not columns:
        return {(): range(len(shown))}
    found: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row, group in enumerate(zip(*columns, strict=True)):
        found[group].append(row)
    return {group: rows for group, rows in found.items() if None not in group}


def _in_time(question: Question, counted: Column) -> tuple[int, int, list[bool] | None]:
    """Return the first and the last row, not included, of the time, and which of them are in it; None for all."""
    first = -math.inf if question.start is None else question.start
    last = math.inf if question.end is None else question.end
    if question.view != "SPANS" or question.metric not in COSTS:  # in order of time
        return bisect_left(counted, first), bisect_right(counted, last), None
    return 0, len(counted), [first <= at <= last for at in counted]


def _both(one: list[bool] | None, other: list[bool]) -> list[bool]:
    return other if one is None else [a and b for a, b in zip(one, other, strict=True)]


def _named(question: Question, group: Sequence[Any]) -> dict[str, str]:
    if not question.interval_seconds:
        return dict(zip(question.dimensions, group, strict=True))
    at = dt.datetime.fromtimestamp(group[0] / 1000, tz=dt.timezone.utc)
    return {BUCKET: at.isoformat(), **dict(zip(question.dimensions, group[1:], strict=True))}


def _aggregated(question: Question, values: Column) -> dict[str, float]:
    if question.metric == "session_count":
        values = list(set(values))
    if sum(one.kind == "PERCENTILE" for one in question.aggregations) > 1:
        values = sorted(values)
    found = {one.label: AGGREGATED[one.kind](values, one) for one in question.aggregations}
    return {label: value for label, value in found.items() if value is not None}


def _percentile(values: Column, one: Aggregation) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    place = one.percentile / 100 * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    nearest: float = ordered[below] + (ordered[above] - ordered[below]) * (place - below)
    return nearest


AGGREGATED: Final[Mapping[str, Callable[[Column, Aggregation], float | None]]] = {
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
