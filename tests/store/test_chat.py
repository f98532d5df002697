"""Messages in a chat completion's form: read again they are the same, and nothing of them is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlflow_otel.mapping import messages
from mlflow_otel.store import chat
from tests import payloads

WORDS = st.text("abc „21°“\n", min_size=1, max_size=12).filter(lambda text: text.strip())
VALUES = st.dictionaries(WORDS, st.integers() | st.booleans() | WORDS, max_size=3)
IDS = st.from_regex(r"call_[a-z]{1,5}", fullmatch=True)
TEXT = st.builds(lambda said: {"type": "text", "content": said}, WORDS)
IMAGE = st.sampled_from(
    [
        {"type": "uri", "modality": "image", "uri": "https://example.com/cat.png"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBORw0KGgo="},
        {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "UklGRg=="},
    ]
)
REASONING = st.builds(lambda said: {"type": "reasoning", "content": said}, WORDS)
CALL = st.builds(
    lambda name, key, given: {"type": "tool_call", "name": name, "id": key, "arguments": given},
    WORDS,
    IDS,
    VALUES,
)
RESPONSE = st.builds(
    lambda said, key: {"type": "tool_call_response", "response": said, "id": key},
    VALUES.filter(bool) | WORDS,
    IDS,
)
ASKED = st.builds(
    lambda parts: {"role": "user", "parts": parts}, st.lists(TEXT | IMAGE, min_size=1, max_size=3)
)
ANSWERED = st.builds(
    lambda thought, said, calls: {"role": "assistant", "parts": [*thought, *said, *calls]},
    st.lists(REASONING, max_size=1),
    st.lists(TEXT, min_size=1, max_size=2),
    st.lists(CALL, max_size=2, unique_by=lambda part: part["id"]),
)
TOLD = st.builds(lambda part: {"role": "tool", "parts": [part]}, RESPONSE)
TALKS = st.lists(ASKED | ANSWERED | TOLD, min_size=1, max_size=4)

KINDS = st.sampled_from(
    [
        *("text", "reasoning", "refusal", "blob", "uri", "file", "tool_call", "tool_call_response"),
        *("server_tool_call", "server_tool_call_response", "compaction", "own", "", 7),
    ]
)
NAMES = st.sampled_from(
    [
        *("content", "name", "id", "arguments", "response", "modality", "uri", "mime_type", "text"),
        *("role", "tool_calls", "tool_call_id", "finish_reason", "reasoning", "own"),
        *("item_content", "batch"),
    ]
)
ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
PARTS = st.builds(
    lambda kind, fields: {"type": kind, **fields}, KINDS, st.dictionaries(NAMES, ANYTHING)
)
MESSAGES = st.builds(
    lambda role, parts, more: {"role": role, "parts": parts, **more},
    st.sampled_from(["user", "assistant", "tool", "own", 7]),
    st.lists(PARTS | ANYTHING, max_size=3),
    st.dictionaries(NAMES.filter(lambda name: name != "role"), ANYTHING, max_size=2),
)


@given(TALKS)
def test_a_talk_that_is_read_again_is_the_same(talk):
    again = messages.convert(None, {"messages": chat.as_chat(talk)}, None)
    assert again.inputs == talk


@given(TALKS)
def test_every_message_is_one_that_mlflows_pages_show(talk):
    for message in chat.as_chat(talk):
        assert message["role"] in {"user", "assistant", "system", "tool"}
        assert "parts" not in message
        content = message["content"]
        for item in content if isinstance(content, list) else ():
            assert item["type"] in {"text", "image_url", "input_audio"}
        for call in message.get("tool_calls", ()):
            assert isinstance(call["id"], str)
            assert isinstance(call["function"]["arguments"], str)


def leaves(value):
    """Return the texts and numbers of a structure, those in texts of JSON too."""
    if isinstance(value, dict):
        return {leaf for one in value.values() for leaf in leaves(one)}
    if isinstance(value, list):
        return {leaf for one in value for leaf in leaves(one)}
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return {value}
        return leaves(inner) | {value} if isinstance(inner, (dict, list)) else {value, str(inner)}
    return set() if value is None else {str(value)}


OWN_WORDS = {"reasoning", "refusal", "blob", "uri", "image", "audio", "audio/wav", "audio/mp3"} | {
    "tool_call",
    "tool_call_response",
    "server_tool_call",
    "server_tool_call_response",
    "audio/mpeg",
}
"""What the form itself says in other words."""


@given(st.lists(MESSAGES | ANYTHING, max_size=3))
@example([{"role": "user", "parts": [{"type": "text", "content": "a", "text": "b"}]}])
@example([{"role": "assistant", "parts": [], "content": "a", "finish_reason": "stop"}])
@example([{"role": "tool", "parts": [{"type": "tool_call_response", "response": 1, "role": "a"}]}])
def test_nothing_is_lost_of_whatever_stands_there(given_messages):
    written = json.dumps(chat.as_chat(given_messages), ensure_ascii=False)
    lost = leaves(given_messages) - leaves(json.loads(written)) - OWN_WORDS
    # Inline data and its type stand within one text: `data:image/png;base64,…`.
    assert not {leaf for leaf in lost if json.dumps(leaf, ensure_ascii=False)[1:-1] not in written}


KEPT = {"file", "cachePoint", "mcp_approval_response", "item_reference", "blob", "uri"}
"""Parts of recorded messages that have no form in a chat completion; video and documents among the blobs."""


@pytest.mark.parametrize("file", sorted(payloads.FIXTURES.glob("*.json")), ids=lambda f: f.stem)
def test_messages_of_every_recorded_library_are_shown_as_a_chat(file):
    for name, span in payloads.recorded():
        if not name.startswith(f"{file.stem}/"):
            continue
        said = payloads.mapped(span).attributes
        for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
            for message in chat.as_chat(json.loads(said.get(key, "[]"))):
                assert KEPT & {part["type"] for part in message.get("parts", ())} or {
                    "role",
                    "content",
                } <= set(message), (name, message)
