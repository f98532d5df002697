"""What providers and frameworks say in further shapes is of its kind: parts, calls, tokens, documents."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.mapping import retrieval, tokens, tools
from mlflow_otel.mapping.messages import blocks, chat, convert, items, parts
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from tests.mapping.leaves import lost

ASKED = {"model": "m-1", "messages": [{"role": "user", "content": "Cross?"}]}


def mapped(message_format, type_, inputs, outputs):
    raw = {"mlflow.spanType": type_, "mlflow.spanInputs": inputs, "mlflow.spanOutputs": outputs}
    if message_format:
        raw["mlflow.message.format"] = message_format
    found = map_span(
        SpanView("call", {k: json.dumps(v) for k, v in raw.items() if v is not None}),
        TraceContext(),
        MappingOptions(),
    )
    assert found.failures == ()
    assert lost({"i": inputs, "o": outputs}, found.attributes) == []
    return {
        k: json.loads(v) if k.endswith(("messages", "instructions", "documents")) else v
        for k, v in found.attributes.items()
    }


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"type": "invalid_tool_call", "name": "f", "args": "{no", "id": "c-1", "error": "cut"},
            {"type": "tool_call", "name": "f", "id": "c-1", "arguments": "{no", "error": "cut"},
        ),
        (
            {"type": "image", "image": "iVBORw0K"},
            {"type": "blob", "modality": "image", "content": "iVBORw0K"},
        ),
        (
            {"type": "video", "video": "https://v.test/a.mp4", "fps": 2},
            {"type": "uri", "modality": "video", "uri": "https://v.test/a.mp4", "fps": 2},
        ),
        (
            {
                "type": "thinking",
                "thinking": [
                    {"type": "text", "text": "Hm."},
                    {"type": "reference", "reference_ids": [4]},
                ],
            },
            {
                "type": "reasoning",
                "content": "Hm.",
                "thinking": [{"type": "reference", "reference_ids": [4]}],
            },
        ),
    ],
)
def test_an_item_is_a_part_of_its_kind(item, part):
    assert items.part(item) == part


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {
                "citationsContent": {
                    "content": [{"text": "By "}, {"text": "ferry."}],
                    "citations": [{"title": "Quay"}],
                }
            },
            {"type": "text", "content": "By ferry.", "citations": [{"title": "Quay"}]},
        ),
        (
            {"guardContent": {"text": {"text": "Cross?", "qualifiers": ["query"]}}},
            {"type": "text", "content": "Cross?", "guardContent": {"qualifiers": ["query"]}},
        ),
        (
            {"guardContent": {"image": {"format": "png", "source": {"bytes": "b'PNG'"}}}},
            {
                "type": "blob",
                "modality": "image",
                "content": "UE5H",
                "mime_type": "image/png",
                "guardContent": True,
            },
        ),
        (
            {"cachePoint": {"type": "default"}},
            {"type": "cachePoint", "cachePoint": {"type": "default"}},
        ),
        ({"blob": {"x": 1}}, {"type": "unknown", "blob": {"x": 1}, "item_type": "blob"}),
    ],
)
def test_a_block_is_what_its_key_says(block, part):
    assert blocks.block(block) == part


def test_thoughts_and_images_beside_the_content_are_parts():
    said = {
        "role": "user",
        "content": "What is it?",
        "thinking": "Hm.",
        "images": [
            "iVBORw0K",
            "./quay.png",
            {"type": "image_url", "image_url": {"url": "https://i.test/1.png"}},
        ],
    }
    found = chat.message(said)
    assert [p["type"] for p in found["parts"]] == ["reasoning", "text", "blob", "uri"]
    assert found["images"] == ["./quay.png"]


def test_an_answer_of_dspys_with_calls_is_a_message():
    call = {"id": "c-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = [{"text": "By ferry.", "reasoning_content": "Hm.", "tool_calls": [call]}]
    found = mapped("dspy", "CHAT_MODEL", ASKED, answer)
    (reply,) = found["gen_ai.output.messages"]
    assert [p["type"] for p in reply["parts"]] == ["reasoning", "text", "tool_call"]


@pytest.mark.parametrize(
    ("message_format", "inputs", "outputs"),
    [
        (None, {"model": "m", "prompt": "Cross?"}, "By ferry."),
        (None, {"model": "m", "prompt": "Cross?"}, None),
        ("dspy", {"prompt": "Cross?", "messages": None}, ["By ferry."]),
        ("langchain", ["Cross?"], {"generations": [[{"text": "By ferry.", "type": "Generation"}]]}),
        (None, {"prompt": "Cross?"}, {"results": [{"generated_text": "By ferry."}]}),
    ],
)
def test_a_prompt_is_a_message_whatever_answers_it(message_format, inputs, outputs):
    found = mapped(message_format, "LLM", inputs, outputs)
    text = [{"type": "text", "content": "Cross?"}]
    assert found["gen_ai.input.messages"] == [{"role": "user", "parts": text}]
    if outputs is not None:
        (reply,) = found["gen_ai.output.messages"]
        assert reply["parts"][0]["content"] == "By ferry."


def test_coheres_calls_stand_in_its_answer():
    called = {"text": "I look.", "tool_calls": [{"name": "f", "parameters": {"day": 3}}]}
    found = convert(None, {"message": "Cross?"}, called)
    assert found.outputs[0]["parts"][1] == {
        "type": "tool_call",
        "name": "f",
        "arguments": {"day": 3},
    }


USED = {"completion_tokens_details": {"reasoning_tokens": 9}, "prompt_tokens": 13}


@pytest.mark.parametrize(
    "outputs",
    [
        {"replies": [{"role": "assistant", "content": "x", "meta": {"usage": USED}}]},
        {
            "generations": [
                [{"message": {"type": "ai", "response_metadata": {"token_usage": USED}}}]
            ]
        },
        {
            "generations": [
                [
                    {
                        "message": {
                            "type": "ai",
                            "usage_metadata": {
                                "input_tokens": 13,
                                "output_token_details": {"reasoning": 9},
                            },
                        }
                    }
                ]
            ]
        },
        {
            "generations": [
                [
                    {
                        "message": {
                            "kwargs": {
                                "usage_metadata": {
                                    "input_tokens": 13,
                                    "output_token_details": {"reasoning": 9},
                                }
                            }
                        }
                    }
                ]
            ]
        },
    ],
)
def test_an_only_answer_says_what_the_call_used(outputs):
    found = tokens.of_response(outputs, {})
    assert found.attributes["gen_ai.usage.reasoning.output_tokens"] == 9
    assert found.attributes["gen_ai.usage.input_tokens"] == 13
    ((name, answers),) = outputs.items()
    several = {name: [*answers, *answers]}
    assert tokens.of_response(several, {}) is None


def test_coheres_and_titans_tokens_are_counted():
    cohere = tokens.of_response(
        {
            "usage": {
                "tokens": {"input_tokens": 5, "output_tokens": 6},
                "billed_units": {"input_tokens": 1},
            }
        },
        {},
    )
    assert cohere.attributes == {
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 6,
    }
    assert cohere.left == {"billed_units": {"input_tokens": 1}}
    titan = tokens.of_response(
        {"inputTextTokenCount": 3, "results": [{"tokenCount": 2}, {"tokenCount": 4}]}, {}
    )
    assert titan.attributes["gen_ai.usage.output_tokens"] == 6


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("model_length", "length"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("ERROR_TOXIC", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("a_new_one", "a_new_one"),
    ],
)
def test_a_finish_reason_is_the_conventions_word(reason, word):
    assert parts.finish_reason(reason) == word


def test_bedrocks_own_tools_have_their_type_and_its_cache_points_are_no_tools():
    assert tools.definition({"systemTool": {"name": "nova_grounding"}}) == {
        "type": "systemTool",
        "name": "nova_grounding",
    }
    assert tools.definition({"cachePoint": {"type": "default"}}) is None


def test_an_embedding_in_base64_is_an_embedding():
    answer = {"data": [{"object": "embedding", "embedding": "AAAAPg=="}], "model": "e-1"}
    found = mapped("openai", "CHAT_MODEL", {"model": "e", "input": "Cross"}, answer)
    assert found["gen_ai.operation.name"] == "embeddings"
    assert "gen_ai.input.messages" not in found


STORES = {
    "elasticsearch": (
        {
            "took": 5,
            "hits": {
                "total": 2,
                "hits": [{"_id": "e-1", "_score": 1.5, "_source": {"text": "noon", "pier": "p-4"}}],
            },
        },
        {"id": "e-1", "score": 1.5, "content": "noon", "pier": "p-4"},
        {"took": 5, "hits": {"total": 2}},
    ),
    "milvus": (
        [[{"id": 4, "distance": 0.5, "entity": {"text": "noon"}}]],
        {"id": "4", "distance": 0.5, "content": "noon"},
        None,
    ),
    "weaviate": (
        {"objects": [{"uuid": "w-1", "properties": {"text": "noon"}}]},
        {"id": "w-1", "content": "noon"},
        None,
    ),
    "vertex": (
        {"contexts": {"contexts": [{"text": "noon", "score": 0.5}]}},
        {"content": "noon", "score": 0.5},
        None,
    ),
    "bedrock": (
        {
            "retrievalResults": [{"content": {"text": "noon", "type": "TEXT"}, "score": 0.5}],
            "nextToken": "t-1",
        },
        {"content": "noon", "content_": {"type": "TEXT"}, "score": 0.5},
        {"nextToken": "t-1"},
    ),
    "llamaindex": (
        [
            {
                "node": {"id_": "n-1", "text": "noon", "class_name": "TextNode"},
                "score": 0.5,
                "class_name": "NodeWithScore",
            }
        ],
        {
            "id": "n-1",
            "content": "noon",
            "score": 0.5,
            "class_name": "TextNode",
            "class_name_": "NodeWithScore",
        },
        None,
    ),
}


@pytest.mark.parametrize("store", STORES)
def test_each_stores_answer_is_documents(store):
    outputs, document, rest = STORES[store]
    found = retrieval.documents(outputs)
    assert found.documents == [document]
    assert found.rest == rest


@pytest.mark.parametrize(
    "inputs",
    [
        {"query_texts": ["Cross?"], "n_results": 2},
        {"retrievalQuery": {"text": "Cross?"}, "knowledgeBaseId": "k-1"},
        {"str_or_query_bundle": {"query_str": "Cross?", "embedding": [0.5]}},
    ],
)
def test_a_query_is_found_whatever_it_is_called(inputs):
    assert retrieval.query(inputs) == "Cross?"
