"""A trace's assessments, read from its evaluation spans and merged in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast, get_args

from mlflow_otel.backends.model import BackendSpan
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assessment import AssessmentView, Kind, Operation
from mlflow_otel.mapping.values import as_text, decode

MILLISECOND: Final = 1_000_000
END_OF_TIME: Final = 253_402_300_800_000
"""Milliseconds: the year 10000, which MLflow's timestamps do not reach."""
OPERATIONS: Final[tuple[Operation, ...]] = ("create", "update", "delete")
LABELS: Final = {"true": True, "false": False}


def assessments_of(spans: Iterable[BackendSpan]) -> list[AssessmentView]:
    """Return the assessments that hold now, in the order they were made.

    An update replaces what it updates, a deletion removes it and makes valid again what it had
    overridden. A span that names no ID is an assessment of its own.
    """
    held: dict[str, AssessmentView] = {}
    judging = [span for span in spans if genai.EVALUATION_NAME in span.attributes]
    judging.sort(key=lambda span: span.span_id)
    for view in sorted(map(view_of, judging), key=_order):
        identity = view.assessment_id or ""
        if view.operation == "delete":
            gone = held.pop(identity, None)
            _set_valid(held, view.overrides or (gone and gone.overrides), valid=True)
            continue
        held[identity] = view
        if view.operation == "create":
            _set_valid(held, view.overrides, valid=False)
    return sorted(held.values(), key=lambda view: view.create_time_ms or 0)


def _order(view: AssessmentView) -> tuple[int, int, bool]:
    """Return what views are sorted by: time, and within one moment what must have been first."""
    return view.time, OPERATIONS.index(view.operation), view.overrides is not None


def _set_valid(held: dict[str, AssessmentView], identity: str | None, *, valid: bool) -> None:
    if identity in held:
        held[identity] = held[identity]._replace(valid=valid)


def view_of(span: BackendSpan) -> AssessmentView:
    """Return the assessment that an evaluation span carries."""
    said = span.attributes
    kind = said.get(keys.ASSESSMENT_TYPE)
    operation = said.get(keys.ASSESSMENT_OPERATION)
    created = said.get(keys.ASSESSMENT_CREATE_TIME)
    valid = said.get(keys.ASSESSMENT_VALID)
    return AssessmentView(
        name=as_text(said[genai.EVALUATION_NAME]),
        kind=cast("Kind", kind) if kind in get_args(Kind) else "feedback",
        value=_value(said),
        time=span.start,
        rationale=_text(said, genai.EVALUATION_EXPLANATION),
        error_code=_text(said, genai.ERROR_TYPE),
        error_message=_text(said, keys.ASSESSMENT_ERROR_MESSAGE),
        error_stack_trace=_text(said, keys.ASSESSMENT_ERROR_STACK_TRACE),
        source_type=_text(said, keys.ASSESSMENT_SOURCE_TYPE),
        source_id=_text(said, keys.ASSESSMENT_SOURCE_ID),
        assessment_id=_text(said, keys.ASSESSMENT_ID) or f"a-{span.span_id:016x}",
        run_id=_text(said, keys.RUN_ID),
        overrides=_text(said, keys.ASSESSMENT_OVERRIDES),
        valid=valid if isinstance(valid, bool) else None,
        metadata={
            key.removeprefix(keys.ASSESSMENT_METADATA_PREFIX): as_text(value)
            for key, value in said.items()
            if key.startswith(keys.ASSESSMENT_METADATA_PREFIX)
        },
        span_id=_text(said, keys.ASSESSMENT_SPAN_ID),
        create_time_ms=created if _is_time(created) else span.start // MILLISECOND,
        operation=cast("Operation", operation) if operation in get_args(Operation) else "create",
    )


def _is_time(millis: object) -> bool:
    return type(millis) is int and 0 <= millis < END_OF_TIME


def _text(said: Mapping[str, Any], key: str) -> str | None:
    value = said.get(key)
    return None if value is None else as_text(value)


def _value(said: Mapping[str, Any]) -> Any:
    """Return the value; of an exporter that does not write it, what label and score say."""
    if keys.ASSESSMENT_VALUE in said:
        return decode(said[keys.ASSESSMENT_VALUE])
    label, score = said.get(genai.EVALUATION_SCORE_LABEL), said.get(genai.EVALUATION_SCORE_VALUE)
    if label is None:
        return score
    return LABELS.get(label, label) if score is not None else label
