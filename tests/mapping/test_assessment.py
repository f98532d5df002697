"""What an assessment becomes (docs/mapping.md, "Assessments")."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.mapping import assessment
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import MappingOptions

OPTIONS = MappingOptions()
EVERYTHING = AssessmentView(
    name="faithfulness",
    kind="feedback",
    value=0.5,
    time=1,
    rationale="it is",
    error_code="TIMEOUT",
    error_message="too slow",
    error_stack_trace="at line 1",
    source_type="LLM_JUDGE",
    source_id="gpt-4",
    assessment_id="a-1",
    run_id="run-1",
    overrides="a-0",
    valid=True,
    metadata={"model": "m", "n": 3},
    operation="update",
    span_id="00000000000000ab",
    create_time_ms=5,
)


def event(value=True, options=OPTIONS, **fields):
    view = AssessmentView(
        name="n", kind=fields.pop("kind", "feedback"), value=value, time=1, **fields
    )
    return assessment.event_attributes(view, {}, options)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, {"gen_ai.evaluation.score.value": 0.5}),
        (3, {"gen_ai.evaluation.score.value": 3.0}),
        (True, {"gen_ai.evaluation.score.value": 1.0, "gen_ai.evaluation.score.label": "true"}),
        (False, {"gen_ai.evaluation.score.value": 0.0, "gen_ai.evaluation.score.label": "false"}),
        ("good", {"gen_ai.evaluation.score.label": "good"}),
        ("42", {"gen_ai.evaluation.score.label": "42"}),
        ([1, "a"], {}),
        ({"a": 0.5}, {}),
        (float("nan"), {}),
        (None, {}),
    ],
)
def test_a_feedback_value_is_json_and_a_score_or_a_label_where_it_is_one(value, expected):
    rest = {"gen_ai.evaluation.name": "n", "mlflow.assessment.type": "feedback"}
    found = event(value)
    if value != value:  # NaN: whatever it is, it is no score
        assert "gen_ai.evaluation.score.value" not in found
    else:
        assert found.pop("mlflow.assessment.value", None) == (
            None if value is None else json.dumps(value, separators=(",", ":"))
        )
        assert found == {**rest, **expected}
    assert type(found.get("gen_ai.evaluation.score.value", 0.0)) is float


@pytest.mark.parametrize("value", [1, True, "Paris", {"a": 1}, [1]])
def test_an_expectation_has_a_value_and_no_score(value):
    found = event(value, kind="expectation")
    assert set(found) == {
        "gen_ai.evaluation.name",
        "mlflow.assessment.type",
        "mlflow.assessment.value",
    }


def test_every_field_has_its_attribute():
    assert assessment.event_attributes(EVERYTHING, {"session.id": "s"}, OPTIONS) == {
        "session.id": "s",
        "gen_ai.evaluation.name": "faithfulness",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.explanation": "it is",
        "error.type": "TIMEOUT",
        "mlflow.assessment.type": "feedback",
        "mlflow.assessment.id": "a-1",
        "mlflow.assessment.source.type": "LLM_JUDGE",
        "mlflow.assessment.source.id": "gpt-4",
        "mlflow.assessment.value": "0.5",
        "mlflow.assessment.error.message": "too slow",
        "mlflow.assessment.error.stack_trace": "at line 1",
        "mlflow.assessment.span_id": "00000000000000ab",
        "mlflow.assessment.create_time_ms": 5,
        "mlflow.assessment.overrides": "a-0",
        "mlflow.assessment.valid": True,
        "mlflow.assessment.operation": "update",
        "mlflow.run.id": "run-1",
        "mlflow.assessment.metadata.model": "m",
        "mlflow.assessment.metadata.n": "3",
    }


def test_without_content_capture_what_was_said_stays_here_and_the_score_leaves():
    silent = MappingOptions(capture_content=False)
    found = assessment.event_attributes(EVERYTHING, {}, silent)
    assert found["gen_ai.evaluation.score.value"] == 0.5
    for key in (
        "gen_ai.evaluation.explanation",
        "mlflow.assessment.error.message",
        "mlflow.assessment.error.stack_trace",
        "mlflow.assessment.value",
    ):
        assert key not in found
    assert "mlflow.assessment.value" not in event({"said": "x"}, silent, kind="expectation")


def test_in_openinference_an_evaluation_span_is_an_evaluator_that_carries_it():
    options = MappingOptions(conventions=frozenset({"genai", "openinference"}))
    attributes = assessment.event_attributes(EVERYTHING, {}, options)
    found = assessment.span_attributes(attributes, options)
    assert {k: v for k, v in found.items() if k.startswith(("openinference", "evaluations"))} == {
        "openinference.span.kind": "EVALUATOR",
        "evaluations.0.evaluation.name": "faithfulness",
        "evaluations.0.evaluation.score": 0.5,
        "evaluations.0.evaluation.explanation": "it is",
        "evaluations.0.evaluation.annotator_kind": "LLM",
        "evaluations.0.evaluation.identifier": "a-1",
    }


def test_metrics_have_few_labels_and_none_of_a_trace_session_or_user():
    assert assessment.metric_attributes(EVERYTHING, OPTIONS, sampled=False) == {
        "gen_ai.evaluation.name": "faithfulness",
        "error.type": "TIMEOUT",
        "mlflow.assessment.type": "feedback",
        "mlflow.assessment.source.type": "LLM_JUDGE",
        "mlflow.trace.sampled": False,
    }
    comment = AssessmentView(name="n", kind="feedback", value="so good " * 20, time=1)
    found = assessment.metric_attributes(comment, OPTIONS, sampled=True)
    assert found["gen_ai.evaluation.score.label"] == "_OTHER"
