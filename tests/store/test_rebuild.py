"""Traces that no exporter of ours sent, and halves of traces, rebuilt as far as they can be."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlflow_otel.backends.model import BackendSpan, trace_of
from mlflow_otel.store import mlflow_adapter
from mlflow_otel.store.rebuild import stored_trace

SECOND = 10**9


def span(identity, parent=None, attributes=None, start=SECOND, **fields):
    return BackendSpan(
        identity, parent, f"s{identity}", start, start + SECOND, attributes or {}, **fields
    )


def back(*spans):
    return mlflow_adapter.trace(stored_trace(trace_of(7, spans)))


def test_spans_of_another_library_are_a_trace_by_mlflows_own_rules():
    root = span(
        1,
        attributes={
            "openinference.span.kind": "LLM",
            "input.value": '{"q": 1}',
            "output.value": "yes",
            "llm.model_name": "m",
        },
        resource={"service.name": "shop"},
    )
    trace = back(root)
    assert trace.info.trace_id == f"tr-{7:032x}"
    assert trace.info.state == "OK"
    assert trace.info.execution_duration == 1000
    assert trace.info.tags["mlflow.traceName"] == "s1"
    (found,) = trace.data.spans
    assert found.span_type == "LLM"
    assert found.inputs == {"q": 1}
    assert found.get_attribute("mlflow.llm.cost") is None


def test_a_failed_root_makes_a_failed_trace_and_a_missing_root_none():
    assert back(span(1, status="ERROR")).info.state == "ERROR"
    assert back(span(2, parent=1)).info.state == "OK"
    assert back().data.spans == []


def test_of_two_roots_the_first_speaks_and_the_other_fills_gaps():
    first = span(1, attributes={"mlflow.trace.state": "OK", "mlflow.traceTag.a": "1"})
    second = span(
        2,
        start=2 * SECOND,
        attributes={
            "mlflow.trace.state": "ERROR",
            "mlflow.traceTag.a": "2",
            "mlflow.traceTag.b": "3",
        },
    )
    info = back(second, first).info
    assert info.state == "OK"
    assert (info.tags["a"], info.tags["b"]) == ("1", "3")


def test_an_evaluation_of_another_exporter_has_the_value_that_label_and_score_say():
    def value(**said):
        attributes = {
            "gen_ai.evaluation.name": "n",
            **{f"gen_ai.evaluation.score.{k}": v for k, v in said.items()},
        }
        (found,) = back(span(1), span(2, 1, attributes)).info.assessments
        assert found.assessment_id == f"a-{2:016x}"
        return found.feedback.value

    assert value(value=0.5) == 0.5
    assert value(value=1.0, label="true") is True
    assert value(value=0.5, label="fair") == "fair"
    assert value(label="true") == "true"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "mlflow.spanType",
        "mlflow.trace.state",
        "mlflow.trace.id",
        "mlflow.trace.sessions",
        "mlflow.trace.update",
        "mlflow.trace.removed_tags",
        "mlflow.traceTag.a",
        "mlflow.trace.token_usage.input_tokens",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.retrieval.documents",
        "gen_ai.evaluation.name",
        "mlflow.assessment.value",
        "mlflow.assessment.type",
        "mlflow.assessment.operation",
        "mlflow.assessment.create_time_ms",
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(KEYS, JSON, max_size=6), max_size=3))
@example([{"mlflow.trace.id": [None]}])
def test_whatever_stands_in_the_attributes_a_trace_comes_back(several):
    spans = [span(number + 1, number or None, said) for number, said in enumerate(several)]
    later = sum(
        "gen_ai.evaluation.name" in said or "mlflow.trace.update" in said for said in several
    )
    trace = back(*spans)
    assert len(trace.data.spans) == len(spans) - later
    trace.info.to_dict()
