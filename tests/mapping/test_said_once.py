"""What a part's type says already is not in it a second time, and no field of a known item stays outside its place."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.mapping.messages import chat, convert, items
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span

CALL = {"name": "f", "args": {"a": 1}, "id": "c-1"}
KNOWN = {
    "text": {"text": "a"},
    "input_text": {"text": "a"},
    "output_text": {"text": "a"},
    "summary_text": {"text": "a"},
    "thinking": {"thinking": "a"},
    "reasoning": {"summary": [{"type": "summary_text", "text": "a"}]},
    "image_url": {"image_url": {"url": "https://i.test/1.png"}},
    "audio_url": {"audio_url": "https://a.test/1.mp3"},
    "input_image": {"image_url": "https://i.test/1.png"},
    "input_audio": {"input_audio": {"data": "UklG", "format": "wav"}},
    "file": {"file": {"file_id": "f-1"}},
    "input_file": {"file_id": "f-1"},
    "image": {"source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
    "audio": {"base64": "UklG", "mime_type": "audio/wav"},
    "video": {"url": "https://v.test/1.mp4"},
    "media": {"data": "iVBO", "mime_type": "image/png"},
    "document": {"source": {"type": "url", "url": "https://d.test/1.pdf"}},
    "text-plain": {"text": "a"},
    "tool_use": {"name": "f", "input": {"a": 1}, "id": "c-1"},
    "tool_call": CALL,
    "tool-call": {"toolName": "f", "input": {"a": 1}, "toolCallId": "c-1"},
    "function": CALL,
    "invalid_tool_call": CALL,
    "tool_call_chunk": CALL,
    "tool_result": {"tool_use_id": "c-1", "content": "a"},
    "tool-result": {"toolCallId": "c-1", "output": "a"},
    "function_call": {"call_id": "c-1", "name": "f", "arguments": "{}"},
    "function_call_output": {"call_id": "c-1", "output": "a"},
}
CONTENT = {
    "blob": "content",
    "uri": "uri",
    "file": "file_id",
    "text": "content",
    "reasoning": "content",
    "tool_call": "name",
    "tool_call_response": "response",
}


@pytest.mark.parametrize("kind", KNOWN)
def test_a_known_item_is_a_part_of_the_convention_and_says_its_type_once(kind):
    given = {"type": kind, **KNOWN[kind]}
    part = chat.call(given) if kind == "function" else items.part(given)
    assert part[CONTENT[part["type"]]]
    assert not [key for key in part if key.startswith("item_")]
    if part["type"].startswith("tool_call"):
        assert part["id"] == "c-1"


def test_a_messages_own_reason_is_its_reason():
    said = {"role": "assistant", "content": "a", "finish_reason": "max_tokens", "note": 1}
    made = chat.message(said)
    assert (made["finish_reason"], made["note"]) == ("length", 1)


def test_each_block_of_llamaindex_is_a_part_of_its_kind():
    blocks = [
        {"block_type": "thinking", "content": "Hm.", "num_tokens": 4},
        {"block_type": "text", "text": "By ferry."},
        {
            "block_type": "tool_call",
            "tool_name": "f",
            "tool_kwargs": {"a": 1},
            "tool_call_id": "c-1",
        },
    ]
    found = convert("llamaindex", None, {"message": {"role": "assistant", "blocks": blocks}})
    assert found.outputs[0]["parts"] == [
        {"type": "reasoning", "content": "Hm.", "num_tokens": 4},
        {"type": "text", "content": "By ferry."},
        {"type": "tool_call", "name": "f", "id": "c-1", "arguments": {"a": 1}},
    ]


@pytest.mark.parametrize(
    ("span_type", "place"),
    [
        ("EMBEDDING", "embedding.invocation_parameters"),
        ("CHAT_MODEL", "llm.invocation_parameters"),
    ],
)
def test_openinference_has_a_place_for_each_calls_parameters(span_type, place):
    inputs = {"model": "m", "input": "Cross?", "n": 2}
    raw = {"mlflow.spanType": json.dumps(span_type), "mlflow.spanInputs": json.dumps(inputs)}
    options = MappingOptions(frozenset({"openinference"}))
    found = map_span(SpanView("call", raw), TraceContext(), options).attributes
    assert json.loads(found[place]) == {"n": 2}
    assert len([key for key in found if key.endswith("invocation_parameters")]) == 1
