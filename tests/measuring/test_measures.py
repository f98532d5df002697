"""What is measured of spans: the attributes that the mapping gives them, each call once."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.conventions.versions import LATEST
from mlflow_otel.mapping.measures import (
    ATTRIBUTES,
    TOKENS,
    MeasuredSpan,
    measures_of_spans,
    measures_of_trace,
)
from mlflow_otel.mapping.model import SpanView, TraceContext
from mlflow_otel.mapping.span import outline
from mlflow_otel.signals.attribute_limits import AttributeLimits
from tests import payloads

RECORDED = dict(payloads.recorded())
COMPARED = {
    *(name for names in ATTRIBUTES.values() for name in names),
    *TOKENS.values(),
    "error.type",
}


AGENTS = ("invoke_agent", "invoke_workflow")
MADE_BY_MLFLOW = [key for key, span in RECORDED.items() if payloads.view(span).made_by_mlflow]


@pytest.mark.parametrize("identity", MADE_BY_MLFLOW)  # the others' measures are their own
def test_a_metric_has_the_attributes_of_its_span(identity):
    span = RECORDED[identity]
    whole = payloads.mapped(span).attributes
    short = outline(payloads.view(span))
    operation = short.get("gen_ai.operation.name")
    # What an agent sums up of its calls is not measured.
    compared = {*ATTRIBUTES[operation], "error.type"} if operation in AGENTS else COMPARED
    assert {k: short.get(k) for k in compared} == {k: whole.get(k) for k in compared}


def call(number, parent=None, model="m", type_="CHAT_MODEL", **raw):
    """A timed span that took ``number`` seconds."""
    attributes = {"mlflow.spanType": type_, "mlflow.llm.model": model, **raw}
    view = SpanView("call", {k: json.dumps(v) for k, v in attributes.items()})
    return MeasuredSpan(view, number, parent, float(number))


def found(*spans):
    return [(m.name, m.value, m.attributes) for _, m in measures_of_spans(spans)]


USAGE = {"mlflow.chat.tokenUsage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}}


def test_a_call_that_two_libraries_trace_counts_once():
    inner = call(1, parent=2, **USAGE, **{"mlflow.llm.provider": "openai"})
    outer = call(2, parent=3)
    agent = call(3, type_="AGENT")
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
    }
    assert found(inner, outer, agent) == [
        ("gen_ai.client.operation.duration", 2, about),
        ("gen_ai.client.token.usage", 7, {**about, "gen_ai.token.type": "input"}),
        ("gen_ai.client.token.usage", 3, {**about, "gen_ai.token.type": "output"}),
        (
            "gen_ai.invoke_agent.duration",
            3,
            {"gen_ai.agent.name": "call", "gen_ai.request.model": "m"},
        ),
    ]


def test_what_an_agent_sums_up_is_not_counted_beside_its_calls():
    spans = [
        call(1, parent=3, **USAGE),
        call(2, parent=3, **USAGE),
        call(3, type_="AGENT", **USAGE),
    ]
    tokens = [value for name, value, _ in found(*spans) if name == "gen_ai.client.token.usage"]
    assert sorted(tokens) == [3, 3, 7, 7]


def test_spans_that_are_no_genai_operation_and_other_libraries_are_not_measured():
    other = call(1)
    other = other._replace(view=other.view._replace(made_by_mlflow=False))
    assert found(call(2, type_="PARSER"), call(3, type_="UNKNOWN"), other) == []


def test_values_past_a_bound_count_as_other_and_known_ones_as_before():
    bounded = AttributeLimits({"model": 2})
    seen = [bounded({"model": m, "free": m})["model"] for m in ("a", "b", "c", "a", "d")]
    assert seen == ["a", "b", "_OTHER", "a", "_OTHER"]


def scenario(library, name):
    spans = [
        span
        for key, span in RECORDED.items()
        if key.startswith(library) and key.split("/")[1] == name
    ]
    numbers = {span["span_id"]: number for number, span in enumerate(spans, 1)}
    return [
        MeasuredSpan(payloads.view(span), number, numbers.get(span["parent_id"]), 1.0)
        for number, span in enumerate(spans, 1)
    ]


@pytest.mark.parametrize(
    ("library", "name", "spans", "calls"),
    [
        ("google-genai", "text", 2, 1),  # generate_content over _generate_content
        ("openai-agents", "agent", 4, 2),  # the agents' Response over OpenAI's own
        ("dspy", "predict", 2, 1),  # tokens on the outer span, model and provider on the inner
        ("langchain-1.5.2/", "langgraph_agent", 2, 2),
    ],
)
def test_the_calls_of_real_libraries_count_once_each_with_their_tokens(library, name, spans, calls):
    timed = scenario(library, name)
    types = [json.loads(one.view.attributes.get("mlflow.spanType", "null")) for one in timed]
    assert sum(type_ in ("CHAT_MODEL", "LLM") for type_ in types) == spans
    measures = [measure for _, measure in measures_of_spans(timed)]
    durations = [m for m in measures if m.name == "gen_ai.client.operation.duration"]
    assert len(durations) == calls
    assert all("gen_ai.request.model" in m.attributes for m in durations)
    tokens = [m.value for m in measures if m.name == "gen_ai.client.token.usage"]
    assert sorted(tokens) == sorted([82, 17] * calls)


def test_spans_whose_parents_form_a_ring_are_measured_all_the_same():
    spans = [call(1, parent=2), call(2, parent=3, type_="TOOL"), call(3, parent=2, type_="TOOL")]
    metrics = set(LATEST.agent_calls.values())
    measured = measures_of_spans([*spans, call(4, type_="AGENT")], LATEST)
    # None of them is the agent's.
    assert [m.value for _, m in measured if m.name in metrics] == [0] * len(metrics)


@pytest.mark.parametrize("name", [None, "", "checkout"])
@pytest.mark.parametrize("state", [None, "OK"])
@pytest.mark.parametrize("cost", [{}, {"total_cost": 0.5}, {"total_cost": 0}])
def test_a_trace_is_counted_timed_and_priced_by_its_name_and_state(name, state, cost):
    tags = {} if name is None else {"mlflow.traceName": name}
    context = TraceContext(tags=tags, state=state, cost=cost)
    found = measures_of_trace(context, "root", 2.5)
    about = {
        "mlflow.trace.name": name or "root",
        **({"mlflow.trace.state": state} if state else {}),
    }
    assert [m.attributes for m in found] == [about] * len(found)
    assert [m.value for m in found] == [1, 2.5, *cost.values()]
    assert len({m.name for m in found}) == len(found)
