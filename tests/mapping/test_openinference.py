"""OpenInference's attributes of a chat say what its messages say: read back, they are the same messages."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping import openinference
from mlflow_otel.mapping.model import Answered, Asked, Conversation

WORDS = st.text("abc ", min_size=1, max_size=6)
OTHER = st.sampled_from(
    [7, None, ["x"], {"y": 1}]
)  # where the vocabulary has a place for text alone
ROLES = st.sampled_from(["user", "assistant", "tool", "system", "harbourmaster"])
MODALITIES = st.sampled_from(["image", "audio", "video", "document"])


def part(kind, *, further=(), **fields):
    optional = dict.fromkeys(further, WORDS | OTHER)
    return st.fixed_dictionaries({"type": st.just(kind), **fields}, optional=optional)


BESIDE_TEXT = ("id", "signature", "encrypted_content", "data", "zq")
BESIDE_MEDIA = ("mime_type", "transcript", "filename", "zq")
SPOKEN = (
    part("text", content=WORDS)
    | part("text", content=WORDS, further=BESIDE_TEXT)
    | part("text", content=WORDS, modality=st.just("document"))
    | part("reasoning", content=WORDS, further=BESIDE_TEXT)
    | part("blob", content=WORDS, modality=MODALITIES)
    | part("blob", content=WORDS, modality=MODALITIES, mime_type=WORDS, further=("transcript",))
    | part("uri", uri=WORDS, modality=MODALITIES, further=BESIDE_MEDIA)
    | part("file", file_id=WORDS, modality=MODALITIES, further=BESIDE_MEDIA)
    | part("unheard-of", further=("zq", "id"))
    | part("server_tool_call", name=WORDS, server_tool_call=st.just({"a": 1}))
)
CALLS = st.fixed_dictionaries(
    {"type": st.just("tool_call"), "name": WORDS},
    optional={
        "id": WORDS,
        "arguments": WORDS | st.just({"a": [1]}),
        "signature": WORDS | OTHER,
        "thought_signature": WORDS | OTHER,
    },
)
RESPONSES = st.fixed_dictionaries(
    {"type": st.just("tool_call_response"), "response": WORDS | st.just({"a": 1}) | st.none()},
    optional={"id": WORDS, "name": WORDS | OTHER},
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": ROLES, "parts": st.lists(SPOKEN | CALLS | RESPONSES, max_size=4)},
        optional={"name": WORDS | OTHER},
    ),
    max_size=3,
)


def texts(held, *names):
    """Return those fields of an object that are text."""
    return {name: held[name] for name in names if isinstance(held.get(name), str)}


def written(value):
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def content(said):
    """Return a part in OpenInference's words."""
    if said["type"] in {"blob", "uri", "file"}:
        place = said["modality"]
        media = texts(said, "mime_type", "transcript")
        media |= {"name": said["filename"]} if isinstance(said.get("filename"), str) else {}
        if said["type"] == "file":
            media["id"] = said["file_id"]
        elif said["type"] == "uri":
            media["url"] = said["uri"]
        else:
            anything = "application/octet-stream" if place == "document" else f"{place}/*"
            kind = said.get("mime_type", anything)
            media["url"] = f"data:{kind};base64,{said['content']}"
        return {"type": place, place: {place: media}}
    kind = "reasoning" if said["type"] == "reasoning" else "text"
    text = said.get("content") or written(said)
    return {"type": kind, "text": text} | texts(
        said, "id", "signature", "encrypted_content", "data"
    )


def one_message(role, parts, name):
    """Return a message in OpenInference's words; it has at most one tool's answer."""
    found = {"role": role} | ({"name": name} if isinstance(name, str) else {})
    spoken = [p for p in parts if p["type"] not in {"tool_call", "tool_call_response"}]
    if len(spoken) == 1 and spoken[0]["type"] == "text":
        found["content"] = spoken[0]["content"]
    elif spoken:
        found["contents"] = [{"message_content": content(p)} for p in spoken]
    calls = []
    for call in (p for p in parts if p["type"] == "tool_call"):
        function = {"name": call["name"]}
        if "arguments" in call:
            function["arguments"] = written(call["arguments"])
        made = texts(call, "id") | {"function": function}
        signature = call.get("thought_signature", call.get("signature"))
        if isinstance(signature, str):
            made["reasoning_signature"] = signature
        calls.append({"tool_call": made})
    if calls:
        found["tool_calls"] = calls
    for answer in (p for p in parts if p["type"] == "tool_call_response"):
        found["content"] = written(answer["response"])
        found |= {"tool_call_id": answer["id"]} if "id" in answer else {}
        found = texts(answer, "name") | found
    return {"message": found}


def messages(said):
    """Return a message in OpenInference's words: each tool's answer is a message of its own."""
    role, parts, name = said["role"], said["parts"], said.get("name")
    answers = [p for p in parts if p["type"] == "tool_call_response"]
    if not answers or len(parts) == 1:
        return [one_message(role, parts, name)]
    others = [p for p in parts if p not in answers]
    rest = [one_message("user" if role == "tool" else role, others, name)] if others else []
    return [one_message("tool", [answer], None) for answer in answers] + rest


def nested(attributes, prefix):
    """Return the structure that flat keys make up; numbers are places in a list."""
    made = {}
    for key, value in attributes.items():
        if key.startswith(prefix):
            *path, last = key[len(prefix) :].split(".")
            held = made
            for name in path:
                held = held.setdefault(name, {})
            held[last] = value

    def listed(value):
        if not isinstance(value, dict):
            return value
        if value and all(name.isdigit() for name in value):
            assert list(value) == [str(place) for place in range(len(value))]
            return [listed(item) for item in value.values()]
        return {name: listed(item) for name, item in value.items()}

    return listed(made) or []


@settings(max_examples=150, deadline=None)
@given(MESSAGES, MESSAGES, st.lists(SPOKEN, max_size=2))
def test_each_message_is_there_with_all_that_the_vocabulary_has_words_for(asked, answered, system):
    conversation = Conversation(Asked(asked, system), Answered(answered))
    found = openinference.attributes(
        "CHAT_MODEL", None, None, {}, conversation, {}, None, None, None
    )
    first = [{"role": "system", "parts": system}] if system else []
    for side, said in (("input", [*first, *asked]), ("output", answered)):
        assert nested(found, f"llm.{side}_messages.") == [o for m in said for o in messages(m)]
    rest = {k for k in found if not k.startswith(("llm.input_messages", "llm.output_messages"))}
    assert rest == {"openinference.span.kind"}


DOCUMENTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": WORDS,
            "content": WORDS,
            "score": st.floats(0, 1),
            "metadata": st.just({"a": 1}),
            "zq": WORDS,
        },
    ).filter(bool),
    max_size=3,
)


@given(DOCUMENTS)
def test_each_document_is_there_with_its_place(documents):
    found = openinference.attributes("RETRIEVER", None, None, {}, None, {}, None, None, documents)
    said = {
        f"retrieval.documents.{place}.document.{name}": json.dumps(value, separators=(",", ":"))
        if name == "metadata"
        else value
        for place, one in enumerate(documents)
        for name, value in one.items()
        if name != "zq"
    }
    assert {k: v for k, v in found.items() if k.startswith("retrieval")} == said
