"""What a person would look for in the messages of each library."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.mapping.tools import definitions
from tests import payloads

SUNNY = "It is sunny in Paris, 21 degrees."
TOOL_SCENARIOS = {
    "openai-2": "chat_tools",
    "openai-responses": "tools",
    "anthropic": "tools",
    "google-genai": "tools",
    "boto3": "tools",
    "langchain": "langgraph_agent",
    "mistralai": "tools",
    "groq": "tools",
    "litellm": "tools",
    "pydantic-ai": "agent",
    "autogen": "agent",
}


def out(library, scenario, **kwargs):
    attributes = payloads.mapped(payloads.one(library, scenario, **kwargs)).attributes
    return {
        k: json.loads(v)
        if k.startswith("gen_ai.") and k.endswith(("messages", "instructions", "definitions"))
        else v
        for k, v in attributes.items()
    }


@pytest.mark.parametrize(
    ("library", "scenario"),
    [
        ("openai-2", "chat"),
        ("openai-responses", "text"),
        ("anthropic", "text"),
        ("google-genai", "text"),
        ("boto3", "text"),
        ("langchain", "chain"),
        ("llama-index", "chat"),
        ("mistralai", "chat"),
        ("groq", "chat"),
        ("litellm", "chat"),
    ],
)
def test_system_question_and_answer(library, scenario):
    found = out(library, scenario)
    assert [p["content"] for p in found["gen_ai.system_instructions"]] == ["You are terse."]
    assert [(m["role"], m["parts"][0]["content"]) for m in found["gen_ai.input.messages"]] == [
        ("user", "What is the weather in Paris?")
    ]
    (answer,) = found["gen_ai.output.messages"]
    assert answer["role"] == "assistant"
    assert {"type": "text", "content": SUNNY}.items() <= answer["parts"][-1].items()


@pytest.mark.parametrize("library", TOOL_SCENARIOS)
def test_a_tool_call_has_its_arguments_as_an_object(library):
    found = out(library, TOOL_SCENARIOS[library])
    calls = [
        p for m in found["gen_ai.output.messages"] for p in m["parts"] if p["type"] == "tool_call"
    ]
    assert [(c["name"], c["arguments"]) for c in calls] == [("get_weather", {"city": "Paris"})]


@pytest.mark.parametrize(
    ("library", "scenario"),
    [
        ("openai-2", "chat_tool_result"),
        ("openai-responses", "tool_result"),
        ("anthropic", "tool_result"),
        ("google-genai", "tool_result"),
        ("boto3", "tool_result"),
        ("mistralai", "tool_result"),
    ],
)
def test_a_tool_result_is_the_tools_message(library, scenario):
    last = out(library, scenario)["gen_ai.input.messages"][-1]
    assert last["role"] == "tool"
    assert last["parts"][0]["type"] == "tool_call_response"
    assert "21" in json.dumps(last["parts"][0]["response"])


@pytest.mark.parametrize(
    ("library", "scenario"),
    [
        ("anthropic", "thinking"),
        ("google-genai", "thinking"),
        ("openai-responses", "reasoning"),
        ("boto3", "reasoning"),
    ],
)
def test_reasoning_is_kept_apart_from_the_answer(library, scenario):
    (answer,) = out(library, scenario)["gen_ai.output.messages"]
    kinds = [p["type"] for p in answer["parts"] if not p["type"].startswith("redacted")]
    assert kinds[0] == "reasoning"
    assert kinds[-1] == "text"


@pytest.mark.parametrize(
    ("library", "scenario"),
    [
        ("openai-2", "chat_image"),
        ("anthropic", "image"),
        ("google-genai", "image"),
        ("boto3", "image"),
        ("langchain", "image"),
        ("openai-responses", "image"),
    ],
)
def test_images_are_image_parts(library, scenario):
    parts = out(library, scenario)["gen_ai.input.messages"][0]["parts"]
    images = [p for p in parts if p.get("modality") == "image"]
    assert images
    assert all(p["type"] in {"uri", "blob"} for p in images)


def test_request_parameters_and_response_fields_have_the_conventions_names():
    found = out("openai-2", "chat")
    assert found["gen_ai.request.temperature"] == 0.2
    assert found["gen_ai.request.max_tokens"] == 50
    assert found["gen_ai.request.seed"] == 7
    assert found["gen_ai.request.choice.count"] == 1
    assert found["gen_ai.request.stop_sequences"] == ["END"]
    assert found["gen_ai.response.id"] == "chatcmpl-1"
    assert found["gen_ai.response.model"] == "gpt-4o-mini-2024-07-18"
    assert found["gen_ai.response.finish_reasons"] == ["stop"]
    assert found["gen_ai.usage.input_tokens"] == 82
    assert found["gen_ai.usage.cache_read.input_tokens"] == 64


def test_a_stream_tells_when_its_first_chunk_came_and_its_chunk_events_stay_behind():
    span = payloads.one("openai-2", "chat_stream")
    found = payloads.mapped(span)
    assert found.attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    assert found.attributes["gen_ai.request.stream"] is True
    assert found.events == ()
    assert payloads.mapped(span, keep_chunk_events=True).events


@pytest.mark.parametrize(
    "library", ["openai-2", "anthropic", "google-genai", "boto3", "langchain", "groq", "mistralai"]
)
def test_an_error_names_its_exception(library):
    scenario = "chat_error" if library == "openai-2" else "error"
    kind = out(library, scenario)["error.type"]
    assert kind.endswith("Error")


def test_bedrock_is_the_provider_that_was_called_not_the_models_maker():
    assert out("boto3", "text")["gen_ai.provider.name"] == "aws.bedrock"


@pytest.mark.parametrize(
    ("library", "scenario"),
    [("anthropic", "stream"), ("openai-agents", "stream"), ("llama-index", "agent")],
)
def test_a_stream_that_was_not_read_is_no_answer(library, scenario):
    spans = [
        span
        for identity, span in payloads.recorded()
        if identity.startswith(library) and identity.split("/")[1] == scenario
        if span["attributes"].get("mlflow.spanOutputs", "").startswith('"<')
    ]
    assert spans
    for span in spans:
        found = payloads.mapped(span).attributes
        assert "gen_ai.output.messages" not in found
        assert found["mlflow.spanOutputs"].startswith("<")


def test_a_tools_schema_that_is_no_object_is_kept_beside():
    (made,) = definitions([{"type": "function", "name": "add", "parameters": ["a", "b"]}])
    assert made == {"type": "function", "name": "add", "parameters_": ["a", "b"]}
