"""Tells whether one trace, given as plain values, meets the clauses of a filter string.

As MLflow's server: a value that is not there meets no clause but IS NULL, all clauses about spans
must be met by one and the same span, LIKE tells capitals from small letters and ILIKE does not.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from mlflow_otel.filtering.grammar import CONTENT, SPAN_ATTRIBUTES, Clause

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class SpanValues(NamedTuple):
    """The plain values of one span.

    Args:
        name: Its name.
        type: MLflow's span type.
        status: ``OK``, ``ERROR`` or ``UNSET``.
        attributes: Decoded.
    """

    name: str
    type: str | None = None
    status: str | None = None
    attributes: Mapping[str, Any] = _NONE


class TraceValues(NamedTuple):
    """The plain values of one trace.

    Args:
        attributes: By MLflow's keys: ``request_id`` (the trace's ID), ``client_request_id``,
            ``status``, ``timestamp_ms``, ``execution_time_ms``, ``end_time_ms``.
        tags: MLflow's tags, ``mlflow.traceName`` among them.
        metadata: MLflow's trace metadata: session and user among it.
        spans: The spans.
    """

    attributes: Mapping[str, Any] = _NONE
    tags: Mapping[str, Any] = _NONE
    metadata: Mapping[str, Any] = _NONE
    spans: Sequence[SpanValues] = ()


def cannot_be_matched(clauses: Sequence[Clause]) -> Clause | None:
    """Return the first clause that needs more than ``TraceValues`` has, or None."""
    return next((clause for clause in clauses if not _can_be(clause)), None)


def _can_be(clause: Clause) -> bool:
    if clause.entity == "span":
        return clause.key != CONTENT
    return clause.entity in {"attribute", "tag", "metadata"}


def matches(clauses: Sequence[Clause], trace: TraceValues) -> bool:
    """Tell whether a trace meets all clauses; see ``cannot_be_matched``."""
    about_spans = [clause for clause in clauses if clause.entity == "span"]
    about_trace = (clause for clause in clauses if clause.entity != "span")
    if not all(_met(clause, _of_trace(clause, trace)) for clause in about_trace):
        return False
    return not about_spans or any(
        all(_met(clause, _of_span(clause.key, span)) for clause in about_spans)
        for span in trace.spans
    )


def _of_trace(clause: Clause, trace: TraceValues) -> Any:
    values = {"attribute": trace.attributes, "tag": trace.tags, "metadata": trace.metadata}
    return values[clause.entity].get(clause.key)


def _of_span(key: str, span: SpanValues) -> Any:
    if key.startswith(SPAN_ATTRIBUTES):
        return span.attributes.get(key.removeprefix(SPAN_ATTRIBUTES))
    return getattr(span, key)


def _met(clause: Clause, value: Any) -> bool:
    if clause.comparator == "IS NULL":
        return value is None
    if clause.comparator == "IS NOT NULL":
        return value is not None
    if value is None:
        return False
    wanted = clause.value
    if isinstance(wanted, int | float):
        return isinstance(value, int | float) and COMPARED[clause.comparator](value, wanted)
    text = value if isinstance(value, str) else str(value)
    return COMPARED[clause.comparator](text, wanted)


@functools.lru_cache(maxsize=256)
def _like(pattern: str, flags: int = 0) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(character, re.escape(character)) for character in pattern)
    return re.compile(regex, flags | re.DOTALL)


@functools.lru_cache(maxsize=256)
def _regular(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "IN": lambda value, wanted: value in wanted,
    "NOT IN": lambda value, wanted: value not in wanted,
    "LIKE": lambda value, wanted: _like(wanted).fullmatch(value) is not None,
    "ILIKE": lambda value, wanted: _like(wanted, re.IGNORECASE).fullmatch(value) is not None,
    "RLIKE": lambda value, wanted: _regular(wanted).search(value) is not None,
}
