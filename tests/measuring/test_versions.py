"""The two versions of the GenAI conventions: what they name otherwise, and that each is whole."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.conventions.versions import LATEST, RELEASED
from mlflow_otel.export.mapped import scope_of
from mlflow_otel.mapping import measures
from mlflow_otel.mapping.measures import MeasuredSpan
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.measuring import instruments
from mlflow_otel.settings import Settings

CHAT = {
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.spanInputs": json.dumps(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "reasoning": {"effort": "low"},
            "previous_response_id": "r-0",
        }
    ),
    "mlflow.spanOutputs": json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": "ho"}, "finish_reason": "stop"}]}
    ),
    "mlflow.chat.tokenUsage": '{"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 2}',
}


def typed(span_type, **attributes):
    return {"mlflow.spanType": json.dumps(span_type), **attributes}


class Meter:
    """Notes what is made."""

    def __init__(self):
        self.made = []

    def create_histogram(self, name, *_, **__):
        self.made.append(name)
        return self

    create_counter = create_histogram
    record = add = None


def measured(spans, version):
    timed = [
        MeasuredSpan(SpanView("s", attributes=attributes, failed=failed), number, parent, 1.0)
        for number, parent, attributes, failed in spans
    ]
    return [measure for _, measure in measures.measures_of_spans(timed, version)]


TRACE = [
    (3, 2, CHAT, False),
    (4, 2, typed("TOOL"), False),
    (5, 1, CHAT, True),
    (2, 1, typed("CHAIN"), False),
    (6, 1, typed("EMBEDDING", **{"mlflow.spanOutputs": '{"usage": {"prompt_tokens": 5}}'}), False),
    (1, None, typed("AGENT"), False),
]


@pytest.mark.parametrize("version", [RELEASED, LATEST])
def test_each_measure_has_an_instrument(version):
    meter = Meter()
    instruments.create(meter, version)
    found = {measure.name for measure in measured(TRACE, version)}
    assert found <= set(meter.made)
    assert len(meter.made) == len(set(meter.made))


def test_the_newest_conventions_metrics():
    found = [
        (m.name, m.value, m.attributes.get("gen_ai.token.modality"))
        for m in measured(TRACE, LATEST)
    ]
    prefix = "gen_ai.client.inference"
    assert found.count((f"{prefix}.duration", 1.0, None)) == 2
    assert found.count((f"{prefix}.usage.input_tokens", 7, "unknown")) == 2
    assert found.count((f"{prefix}.usage.cache_read.input_tokens", 2, "unknown")) == 2
    # Failed calls spent tokens, but say nothing of how tokens are distributed.
    assert found.count((f"{prefix}.operation.output_tokens", 3, None)) == 1
    assert ("gen_ai.client.embeddings.duration", 1.0, None) in found
    assert ("gen_ai.client.embeddings.operation.input_tokens", 5, None) in found
    assert ("gen_ai.invoke_agent.inference_calls", 2, None) in found
    assert ("gen_ai.invoke_agent.tool_calls", 1, None) in found
    names = {name for name, _, _ in found}
    assert not names & {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"}


def test_released_dashboards_find_what_they_read_by_default():
    names = {measure.name for measure in measured(TRACE, RELEASED)}
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"} <= names
    assert not {name for name in names if "inference" in name or "embeddings" in name}


def test_a_call_without_usage_counts_as_no_tokens():
    bare = {k: v for k, v in CHAT.items() if k != "mlflow.chat.tokenUsage"}
    found = {m.name: m.value for m in measured([(1, None, bare, True)], LATEST)}
    assert found["gen_ai.client.inference.usage.input_tokens"] == 0
    assert "gen_ai.client.inference.operation.input_tokens" not in found


@pytest.mark.parametrize("version", [RELEASED, LATEST])
def test_the_newest_attributes_and_the_schema_of_each(version):
    options = MappingOptions(version=version)
    sent = map_span(SpanView("s", attributes=CHAT), TraceContext(), options).attributes
    newest = version is LATEST
    assert sent.get("gen_ai.request.reasoning.level") == ("low" if newest else None)
    assert sent.get("gen_ai.request.previous_response.id") == ("r-0" if newest else None)
    said = json.loads(sent["gen_ai.output.messages"])[0]
    assert ("finish_reason" in said) is not newest
    assert sent["gen_ai.response.finish_reasons"] == ["stop"]
    everything = json.dumps(sent)
    assert "low" in everything and "r-0" in everything  # noqa: PT018
    assert scope_of(version).schema_url == version.schema_url
    asked = typed("RETRIEVER", **{"mlflow.spanInputs": '{"query": "q", "k": 4}'})
    found = map_span(SpanView("s", attributes=asked), TraceContext(), options).attributes
    assert found.get("gen_ai.retrieval.top_k") == (4 if newest else None)


@pytest.mark.parametrize(
    ("value", "latest"),
    [
        ("gen_ai_latest_experimental", True),
        ("http, gen_ai_latest_experimental", True),
        ("http", False),
        ("", False),
    ],
)
def test_the_newest_are_asked_for_as_opentelemetry_says(monkeypatch, value, latest):
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", value)
    assert Settings.from_environment().latest_conventions is latest
