"""The facts of traces in columns, as charts count them: each is made when a chart first asks for it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final, NamedTuple, TypeVar

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.store.facts import COSTS, SPAN_COLUMNS, AssessmentFacts, TraceFacts

MILLISECOND: Final = 1_000_000
TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
MOST_KEPT: Final = 200
"""Columns and groups that are kept; charts of MLflow's pages ask for some thirty."""

_T = TypeVar("_T")

Column = Sequence[Any]
Makes = Callable[["Table"], Column]


class Table:
    """The facts of traces in columns, in order of time. Several threads may read it; it is not changed.

    Args:
        traces: The facts.
    """

    def __init__(self, traces: Iterable[TraceFacts]) -> None:
        self.traces = sorted(traces, key=operator.attrgetter("started_ms"))
        self._kept: dict[Any, Any] = {}  # one operation each: no lock

    def kept(self, key: Any, make: Callable[[Table], _T]) -> _T:
        """Return something that was worked out of the traces, made once.

        Args:
            key: Names it.
            make: Makes it.
        """
        found: _T | None = self._kept.get(key)
        if found is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            found = self._kept[key] = make(self)
        return found

    def span_column(self, name: str) -> Column:
        """Return a column of ``SPAN_COLUMNS``, of all traces."""
        place = SPAN_COLUMNS.index(name)
        return self.kept(
            ("span", name), lambda table: _chained(trace.spans[place] for trace in table.traces)
        )


def _chained(parts: Iterable[Iterable[Any]]) -> Column:
    return list(chain.from_iterable(parts))


class Counted(NamedTuple):
    """What a view counts.

    Args:
        counted: Milliseconds by which a row is in the time asked for, for a metric.
        shown: Milliseconds by which a row is in an interval.
        values: What a metric takes of it; None where it has none.
        dimensions: By what it is grouped; None where it has none.
        entities: What a filter is held against.
    """

    counted: Callable[[str], Makes]
    shown: Makes
    values: Mapping[str, Makes]
    dimensions: Mapping[str, Makes]
    entities: Mapping[str, Makes]


def _of_trace(take: Callable[[TraceFacts], Any]) -> Makes:
    return lambda table: [take(trace) for trace in table.traces]


def _one_of(field: str, key: str) -> Makes:
    """Return what takes a value out of a mapping of each trace."""
    take = operator.attrgetter(field)
    return lambda table: [take(trace).get(key) for trace in table.traces]


def _of_span(name: str) -> Makes:
    return lambda table: table.span_column(name)


def _of_assessment(take: Callable[[AssessmentFacts], Any]) -> Makes:
    return lambda table: [take(one) for trace in table.traces for one in trace.assessments]


_started: Final = _of_trace(operator.attrgetter("started_ms"))


def _spans_traces_started(table: Table) -> Column:
    return _chained(repeat(trace.started_ms, len(trace.spans[0])) for trace in table.traces)


def _spans_started(table: Table) -> Column:
    return [start // MILLISECOND for start in table.span_column("start")]


def _assessed_traces_started(table: Table) -> Column:
    return _chained(repeat(trace.started_ms, len(trace.assessments)) for trace in table.traces)


def _spans_latency(table: Table) -> Column:
    ends, starts = table.span_column("end"), table.span_column("start")
    return [(end - start) // MILLISECOND for end, start in zip(ends, starts, strict=True)]


_name, _type, _status = _of_span("name"), _of_span("type"), _of_span("status")
_say = operator.attrgetter
COUNTED: Final[Mapping[str, Counted]] = {
    "TRACES": Counted(
        lambda _: _started,
        _started,
        {
            "trace_count": _of_trace(_say("trace_id")),
            "session_count": _one_of("metadata", keys.METADATA_SESSION),
            "latency": _of_trace(_say("duration_ms")),
            **{name: _one_of("tokens", name) for name in TOKENS},
        },
        {
            "trace_name": _one_of("tags", keys.TAG_TRACE_NAME),
            "trace_status": _of_trace(_say("state")),
        },
        {},
    ),
    "SPANS": Counted(
        # A cost is counted by its span's own time, as MLflow's server does.
        lambda metric: _spans_started if metric in COSTS else _spans_traces_started,
        _spans_started,
        {
            "span_count": _name,
            "latency": _spans_latency,
            **{name: _of_span(name) for name in COSTS},
        },
        {
            "span_name": _name,
            "span_type": _type,
            "span_status": _status,
            "span_model_name": _of_span("model"),
            "span_model_provider": _of_span("provider"),
        },
        {"name": _name, "type": _type, "status": _status},
    ),
    "ASSESSMENTS": Counted(
        lambda _: _assessed_traces_started,
        _assessed_traces_started,
        {
            "assessment_count": _of_assessment(_say("name")),
            "assessment_value": _of_assessment(_say("number")),
        },
        {
            "assessment_name": _of_assessment(_say("name")),
            "assessment_value": _of_assessment(_say("value")),
        },
        {"name": _of_assessment(_say("name")), "type": _of_assessment(_say("kind"))},
    ),
}
"""What each view counts. Each function stands for one column: a table keeps a column by it."""
