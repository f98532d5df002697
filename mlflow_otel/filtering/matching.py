"""Tells whether one trace, given as plain values, meets the clauses of a filter string.

As MLflow's server: a value that is not there meets no clause but IS NULL, all clauses about spans
must be met by one and the same span, LIKE tells capitals from small letters and ILIKE does not. A
clause about feedback or an expectation is met by any valid one of that name; its value is compared as
JSON, so ``'true'`` is the boolean and the text.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from mlflow_otel.filtering.grammar import CONTENT, LINKED_PROMPTS, SPAN_ATTRIBUTES, Clause

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class SpanValues(NamedTuple):
    """The plain values of one span.

    Args:
        name: Its name.
        type: MLflow's span type.
        status: ``OK``, ``ERROR`` or ``UNSET``.
        attributes: Decoded.
        content: Returns all that is known of it as text; None where nobody asks for it.
    """

    name: str
    type: str | None = None
    status: str | None = None
    attributes: Mapping[str, Any] = _NONE
    content: Callable[[], str] | None = None


class AssessmentValues(NamedTuple):
    """The plain values of one assessment.

    Args:
        kind: ``feedback``, ``expectation`` or ``issue``.
        name: Its name; of an issue its ID.
        value: As it was logged.
        valid: False once another overrides it.
    """

    kind: str
    name: str
    value: Any = None
    valid: bool = True


class TraceValues(NamedTuple):
    """The plain values of one trace.

    Args:
        attributes: By MLflow's keys: ``request_id`` (the trace's ID), ``client_request_id``,
            ``status``, ``timestamp_ms``, ``execution_time_ms``, ``end_time_ms``.
        tags: MLflow's tags, ``mlflow.traceName`` among them.
        metadata: MLflow's trace metadata: session and user among it.
        spans: The spans.
        assessments: Those of the trace, and of its session.
    """

    attributes: Mapping[str, Any] = _NONE
    tags: Mapping[str, Any] = _NONE
    metadata: Mapping[str, Any] = _NONE
    spans: Sequence[SpanValues] = ()
    assessments: Sequence[AssessmentValues] = ()


def cannot_be_matched(clauses: Sequence[Clause]) -> Clause | None:
    """Return the first clause that needs more than one trace's spans tell, or None.

    Assessments come later than the spans, and the whole content of a span is nothing to compare while
    an app runs: whoever has a trace alone cannot answer such a clause.
    """
    return next((clause for clause in clauses if not _can_be(clause)), None)


def _can_be(clause: Clause) -> bool:
    if clause.entity == "span":
        return clause.key != CONTENT
    return clause.entity in {"attribute", "tag", "metadata"}


def matches(clauses: Sequence[Clause], trace: TraceValues) -> bool:
    """Tell whether a trace meets all clauses; see ``cannot_be_matched``."""
    about_spans = [clause for clause in clauses if clause.entity == "span"]
    about_trace = (clause for clause in clauses if clause.entity != "span")
    if not all(_met_by_trace(clause, trace) for clause in about_trace):
        return False
    return not about_spans or any(
        all(_met(clause, _of_span(clause.key, span)) for clause in about_spans)
        for span in trace.spans
    )


def _met_by_trace(clause: Clause, trace: TraceValues) -> bool:
    if clause.entity == "issue":
        return any(a.kind == "issue" and a.name == clause.value for a in trace.assessments)
    if clause.entity in {"feedback", "expectation"}:
        return _met_by_assessment(clause, trace.assessments)
    values = {"attribute": trace.attributes, "tag": trace.tags, "metadata": trace.metadata}
    value = values[clause.entity].get(clause.key)
    if clause.entity == "tag" and clause.key == LINKED_PROMPTS:
        return clause.value in prompts_of(value)
    return _met(clause, value)


def prompts_of(linked: object) -> list[str]:
    """Return the prompts of the tag that lists them, each as ``name/version``."""
    try:
        listed = json.loads(linked) if isinstance(linked, str) else linked
    except (ValueError, RecursionError):
        return []
    return [
        f"{one.get('name')}/{one.get('version')}"
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping)
    ]


def _met_by_assessment(clause: Clause, assessments: Sequence[AssessmentValues]) -> bool:
    named = [
        assessment
        for assessment in assessments
        if assessment.valid and assessment.kind == clause.entity and assessment.name == clause.key
    ]
    if clause.comparator in {"IS NULL", "IS NOT NULL"}:
        return bool(named) == (clause.comparator == "IS NOT NULL")
    return any(_value_met(clause, assessment.value) for assessment in named)


def _value_met(clause: Clause, value: Any) -> bool:
    wanted = clause.value
    if isinstance(wanted, int | float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and COMPARED[clause.comparator](value, wanted)
    text = json.dumps(value)
    if clause.comparator in {"=", "!="}:
        return (text in {wanted, json.dumps(wanted)}) == (clause.comparator == "=")
    return COMPARED[clause.comparator](text, wanted)


def _of_span(key: str, span: SpanValues) -> Any:
    if key.startswith(SPAN_ATTRIBUTES):
        return span.attributes.get(key.removeprefix(SPAN_ATTRIBUTES))
    if key == CONTENT:
        return None if span.content is None else span.content()
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
    text = value if isinstance(value, str) else _as_text(value)
    return COMPARED[clause.comparator](text, wanted)


def _as_text(value: Any) -> str:
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


@functools.lru_cache(maxsize=256)
def _like(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return what is searched for. A ``%`` at an end is left out: there it would be tried at each letter."""
    wild = {"%": ".*", "_": "."}
    inner = pattern.strip("%")
    regex = "".join(wild.get(character, re.escape(character)) for character in inner)
    start = "" if pattern.startswith("%") else r"\A"
    end = "" if pattern.endswith("%") else r"\Z"
    return re.compile(f"{start}{regex}{end}", flags | re.DOTALL)


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
    "LIKE": lambda value, wanted: _like(wanted).search(value) is not None,
    "ILIKE": lambda value, wanted: _like(wanted, re.IGNORECASE).search(value) is not None,
    "RLIKE": lambda value, wanted: _regular(wanted).search(value) is not None,
}
