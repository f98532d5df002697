"""An assessment as it leaves: the attributes of its event, its span and its metrics (docs/mapping.md, "Assessments").

Follows the ``gen_ai.evaluation.result`` event of semantic-conventions-genai; what it has no word for
leaves under ``mlflow.assessment.*``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, get_args

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.conventions import openinference as oi
from mlflow_otel.mapping import content
from mlflow_otel.mapping.model import LATER_SPAN_NANOSECONDS, MappingOptions
from mlflow_otel.mapping.values import as_float, as_text, dumps

Kind = Literal["feedback", "expectation", "issue"]
Operation = Literal["create", "update", "delete"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

SPAN_TYPE: Final = "EVALUATOR"
ANNOTATOR_KINDS: Final = {"HUMAN": "HUMAN", "LLM_JUDGE": "LLM", "CODE": "CODE"}
"""MLflow's source types in OpenInference's words."""


class AssessmentView(NamedTuple):
    """The plain values of one assessment; the fields are MLflow's.

    Args:
        name: What is judged.
        kind: Feedback, expectation (ground truth), or reference to an issue.
        value: A number, bool, string, list or dict; for an issue its name.
        time: Nanoseconds since the epoch: when it was made, or last changed.
        rationale: Why.
        error_code: Of the error that kept the judge from judging.
        error_message: Its message.
        error_stack_trace: Where it came from.
        source_type: ``HUMAN``, ``LLM_JUDGE`` or ``CODE``.
        source_id: Who.
        assessment_id: Its ID.
        run_id: MLflow's run that made it.
        overrides: The ID of the assessment that it replaces.
        valid: False once another overrides it.
        metadata: Whatever else.
        span_id: The judged span, 16 hex digits; None when the whole trace is judged.
        create_time_ms: Milliseconds since the epoch: when it was made.
        operation: What happened to it.
    """

    name: str
    kind: Kind
    value: Any
    time: int
    rationale: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_stack_trace: str | None = None
    source_type: str | None = None
    source_id: str | None = None
    assessment_id: str | None = None
    run_id: str | None = None
    overrides: str | None = None
    valid: bool | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})
    span_id: str | None = None
    create_time_ms: int | None = None
    operation: Operation = "create"


def score_of(view: AssessmentView) -> float | None:
    """Return the score of a feedback: its number, or 1 and 0 for true and false."""
    if view.kind != "feedback":
        return None
    return float(view.value) if isinstance(view.value, bool) else as_float(view.value)


def label_of(view: AssessmentView) -> str | None:
    """Return the label of a feedback: its text, or ``true`` and ``false``."""
    if view.kind != "feedback":
        return None
    if isinstance(view.value, bool):
        return "true" if view.value else "false"
    return view.value if isinstance(view.value, str) else None


def event_attributes(
    view: AssessmentView, trace: Mapping[str, Any], options: MappingOptions
) -> dict[str, Any]:
    """Return the attributes of the ``gen_ai.evaluation.result`` event.

    Args:
        view: The assessment.
        trace: What every span of the judged trace carries (``trace.stamp``).
        options: How to map.
    """
    score, label = score_of(view), label_of(view)
    attributes: dict[str, Any] = {
        genai.EVALUATION_NAME: view.name,
        genai.EVALUATION_SCORE_VALUE: score,
        genai.EVALUATION_SCORE_LABEL: label,
        genai.EVALUATION_EXPLANATION: view.rationale or None,
        genai.ERROR_TYPE: view.error_code,
        keys.ASSESSMENT_TYPE: view.kind,
        keys.ASSESSMENT_ID: view.assessment_id,
        # Always, and as JSON: a label "42" is not the number 42.
        keys.ASSESSMENT_VALUE: None if view.value is None else dumps(view.value),
        keys.ASSESSMENT_SOURCE_TYPE: view.source_type,
        keys.ASSESSMENT_SOURCE_ID: view.source_id,
        keys.ASSESSMENT_ERROR_MESSAGE: view.error_message,
        keys.ASSESSMENT_ERROR_STACK_TRACE: view.error_stack_trace,
        keys.ASSESSMENT_SPAN_ID: view.span_id,
        keys.ASSESSMENT_CREATE_TIME: view.create_time_ms,
        keys.ASSESSMENT_OVERRIDES: view.overrides,
        keys.ASSESSMENT_VALID: view.valid,
        keys.ASSESSMENT_OPERATION: None if view.operation == "create" else view.operation,
        keys.RUN_ID: view.run_id,
    }
    for key, value in view.metadata.items():
        attributes[f"{keys.ASSESSMENT_METADATA_PREFIX}{key}"] = as_text(value)
    attributes = {key: value for key, value in attributes.items() if value is not None}
    if not options.capture_content:
        attributes = content.attributes(attributes, options)
    return {**trace, **attributes}


class EvaluationSpan(NamedTuple):
    """The span that an assessment leaves as, for backends that take no logs.

    It is of kind internal, a child of the judged span and linked to it; both if that span is known.

    Args:
        name: Its name.
        attributes: Before redaction.
        start: Nanoseconds since the epoch.
        end: The same.
        error: The text of its status, if the judge could not judge; None: the status is not set.
    """

    name: str
    attributes: dict[str, Any]
    start: int
    end: int
    error: str | None


def evaluation_span(
    view: AssessmentView, event: Mapping[str, Any], options: MappingOptions
) -> EvaluationSpan:
    """Return the span that an assessment leaves as.

    Args:
        view: The assessment.
        event: The attributes of its event: what must be held back is not in them any more.
        options: How to map.
    """
    said = str(event.get(keys.ASSESSMENT_ERROR_MESSAGE, ""))
    return EvaluationSpan(
        f"evaluation {view.name}",
        span_attributes(event, options),
        view.time,
        view.time + LATER_SPAN_NANOSECONDS,
        None if view.error_code is None else said,
    )


def span_attributes(event: Mapping[str, Any], options: MappingOptions) -> dict[str, Any]:
    """Return the attributes of the evaluation span.

    Args:
        event: Those of the event.
        options: How to map.
    """
    attributes = {**event, keys.SPAN_TYPE: SPAN_TYPE}
    if "openinference" in options.conventions:
        source = event.get(keys.ASSESSMENT_SOURCE_TYPE)
        carried = {
            "name": event.get(genai.EVALUATION_NAME),
            "score": event.get(genai.EVALUATION_SCORE_VALUE),
            "label": event.get(genai.EVALUATION_SCORE_LABEL),
            "explanation": event.get(genai.EVALUATION_EXPLANATION),
            "annotator_kind": ANNOTATOR_KINDS.get(str(source)),
            "identifier": event.get(keys.ASSESSMENT_ID),
        }
        attributes[oi.SPAN_KIND] = SPAN_TYPE
        attributes |= {oi.EVALUATION_PREFIX + k: v for k, v in carried.items() if v is not None}
    if "mlflow" in options.conventions:
        attributes[keys.SPAN_TYPE] = dumps(SPAN_TYPE)  # MLflow's server reads JSON
    return attributes


def metric_attributes(
    view: AssessmentView, options: MappingOptions, *, sampled: bool
) -> dict[str, Any]:
    """Return the attributes of the metrics: few values each, never a trace, a user or a session.

    A text longer than 64 characters is a comment rather than a label, and counts as ``_OTHER``.
    """
    label = label_of(view)
    attributes: dict[str, Any] = {
        genai.EVALUATION_NAME: view.name,
        genai.EVALUATION_SCORE_LABEL: genai.ERROR_TYPE_OTHER
        if label and len(label) > content.MAX_LABEL
        else label,
        genai.ERROR_TYPE: view.error_code,
        keys.ASSESSMENT_TYPE: view.kind,
        keys.ASSESSMENT_SOURCE_TYPE: view.source_type,
        keys.TRACE_SAMPLED: None if sampled else False,
    }
    attributes = {key: value for key, value in attributes.items() if value is not None}
    return attributes if options.capture_content else content.of_metric(attributes, options)
