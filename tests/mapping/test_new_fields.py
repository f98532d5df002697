"""What a library's next version adds to any of its objects leaves: a field in every object at once."""

from __future__ import annotations

import itertools

import pytest

from mlflow_otel.mapping.messages import convert
from tests.mapping.test_nothing_lost import ALL, SIDES, check


def with_fields(value, name, numbers):
    """Return a structure of which each object has one field more, with a value of its own."""
    if isinstance(value, dict):
        inner = {key: with_fields(item, name, numbers) for key, item in value.items()}
        return inner if name in inner else {**inner, name: f"unheard-of-{next(numbers)}"}
    return [with_fields(v, name, numbers) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["zq", "note", "index", "meta"])
def test_a_further_field_of_every_object_leaves(name, side):
    for attributes, ours in ALL.values():
        if side not in attributes:
            continue
        without = {k: v for k, v in attributes.items() if k != "mlflow.chat.tools"}
        given = {**without, side: with_fields(attributes[side], name, itertools.count(1))}
        check(given, ours)


BESIDE = {
    "gemini": {"functionCall": {"name": "f", "args": {"a": 1}}},
    "gemini ": {"functionResponse": {"name": "f", "response": {"a": 1}}},
    "bedrock": {"toolUse": {"name": "f", "input": {"a": 1}}},
    "bedrock ": {"toolResult": {"content": [{"text": "at nine"}]}},
}


@pytest.mark.parametrize("kind", BESIDE)
def test_an_id_beside_a_call_is_not_taken_for_the_calls_own(kind):
    """The convention's ``id`` of a part joins a call and its answer."""
    block, maker = {**BESIDE[kind], "id": "item-7", "zq": "further"}, kind.strip()
    asked = (
        {"contents": [{"role": "user", "parts": [block]}]}
        if maker == "gemini"
        else {"messages": [{"role": "user", "content": [block]}]}
    )
    ((part,),) = (message["parts"] for message in convert(maker, asked, None).inputs)
    assert part["type"] in {"tool_call", "tool_call_response"}
    assert part.get("id") != "item-7"
    assert (part["item_id"], part["zq"]) == ("item-7", "further")


def test_a_further_field_of_a_message_is_not_taken_for_the_conventions_own():
    """A ``name`` is a text, and an input has no ``finish_reason``."""
    said = {"role": "user", "content": "Cross?", "name": {"first": "Ann"}, "finish_reason": 7}
    (message,) = convert("openai", {"messages": [said]}, None).inputs
    assert not {"name", "finish_reason"} & message.keys()
    assert (message["item_name"], message["item_finish_reason"]) == ({"first": "Ann"}, 7)


@pytest.mark.parametrize(
    ("mime", "modality"),
    [
        ("application/pdf", "document"),
        ("image/png", "image"),
        ("audio/wav", "audio"),
        (None, "document"),
    ],
)
def test_a_file_is_of_the_kind_that_its_media_type_says(mime, modality):
    block = {"file": {"base64_data": "cGxhbg==", **({"mime_type": mime} if mime else {})}}
    (message,) = convert(None, {"messages": [{"role": "user", "content": [block]}]}, None).inputs
    assert [part["modality"] for part in message["parts"]] == [modality]


def test_a_further_field_of_a_pydantic_ai_call_is_kept():
    part = {
        "part_kind": "tool-call",
        "tool_name": "f",
        "args": {"a": 1},
        "tool_call_id": "c-1",
        "zq": 7,
    }
    asked = [{"kind": "response", "parts": [part]}]
    (message,) = convert("pydantic_ai", {"messages": asked}, None).inputs
    assert message["parts"] == [
        {"type": "tool_call", "name": "f", "arguments": {"a": 1}, "id": "c-1", "zq": 7}
    ]
