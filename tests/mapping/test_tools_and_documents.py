"""Definitions of tools, documents of retrievers, and OpenInference's words for messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping import retrieval, tools
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.mapping.trace import stamp

leaf = st.one_of(st.integers(1000, 9999), st.text("abcdef", min_size=5, max_size=9), st.booleans())
nested = st.recursive(
    leaf,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
    ),
    max_leaves=4,
)
fields = st.dictionaries(
    st.sampled_from(["strict", "cache_control", "format", "max_uses", "filters", "zeta"]),
    nested,
    max_size=4,
)


def leaves(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None:
        yield value


def sent(type_, inputs=None, outputs=None, conventions=("genai",)):
    raw = {"mlflow.spanType": json.dumps(type_)}
    for key, value in (("mlflow.spanInputs", inputs), ("mlflow.spanOutputs", outputs)):
        if value is not None:
            raw[key] = json.dumps(value)
    found = map_span(
        SpanView("s", attributes=raw), TraceContext(), MappingOptions(frozenset(conventions))
    )
    assert found.failures == ()
    return found.attributes


SHAPES = {
    "openai chat": lambda more: {
        "type": "function",
        "function": {
            "name": "ring",
            "description": "Rings.",
            "parameters": {"type": "object"},
            **more,
        },
    },
    "beside the wrapper": lambda more: {"type": "function", "function": {"name": "ring"}, **more},
    "openai responses": lambda more: {
        "type": "function",
        "name": "ring",
        "parameters": {"type": "object"},
        **more,
    },
    "custom": lambda more: {"type": "custom", "custom": {"name": "ring", **more}},
    "anthropic": lambda more: {"name": "ring", "input_schema": {"type": "object"}, **more},
    "bedrock": lambda more: {
        "toolSpec": {"name": "ring", "inputSchema": {"json": {"type": "object"}}, **more}
    },
    "built in": lambda more: {"type": "web_search_20250305", **more},
    "gemini's own": lambda more: {"google_search": more},
    "pydantic ai": lambda more: {
        "name": "ring",
        "parameters_json_schema": {"type": "object"},
        **more,
    },
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SHAPES)), fields)
def test_a_tools_definition_keeps_every_field(shape, more):
    tool = SHAPES[shape](more)
    found = tools.definition(tool)
    assert found["type"] in {"function", "custom", "web_search_20250305", "google_search"}
    assert found["name"]
    assert isinstance(found.get("parameters", {}), dict)
    kept = list(leaves(found))
    assert all(item in kept for item in leaves(tool))


def test_geminis_lists_of_functions_and_its_own_tools_beside_them():
    given = [{"function_declarations": [{"name": "ring"}, {"name": "toll"}], "code_execution": {}}]
    found = [(tool["type"], tool["name"]) for tool in tools.definitions(given)]
    assert found == [
        ("function", "ring"),
        ("function", "toll"),
        ("code_execution", "code_execution"),
    ]


identities = st.one_of(st.integers(0, 99), st.text("0123456789ab", min_size=1, max_size=6))
scores = st.one_of(st.floats(0, 1), st.integers(0, 3), st.sampled_from(["0.25", "1"]))
documents = st.fixed_dictionaries(
    {"content": st.text("abcdef ", min_size=1, max_size=12)},
    optional={
        "id": identities,
        "score": scores,
        "url": leaf,
        "metadata": nested,
        "distance": leaf,
        "title": nested,
    },
)


@settings(max_examples=80, deadline=None)
@given(st.lists(documents, max_size=4), st.sampled_from(["list", "documents", "node"]), nested)
def test_no_field_of_a_document_is_lost(given_documents, shape, more):
    outputs = {
        "list": given_documents,
        "documents": {"documents": given_documents, "total": more},
        "node": [{"node": document, "zeta": 1} for document in given_documents],
    }[shape]
    attributes = sent("RETRIEVER", {"query": "q"}, outputs)
    found = json.loads(attributes["gen_ai.retrieval.documents"])
    kept = [
        str(item) for item in leaves([found, json.loads(attributes.get("mlflow.spanOutputs", "0"))])
    ]
    for item in leaves(outputs):
        assert str(item) in kept or str(float(item)) in kept
    for document, one in zip(given_documents, found, strict=True):
        assert one["content"] == document["content"]
        assert "id" not in document or one["id"] == str(document["id"])
        assert "score" not in document or one["score"] == float(document["score"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.booleans(), st.booleans())
def test_what_a_store_lists_beside_its_documents_is_paired_with_them(number, for_each_query, texts):
    columns = {
        "ids": [f"id-{index}" for index in range(number)],
        "distances": [0.5 + index for index in range(number)],
        "metadatas": [{"page": index} for index in range(number)],
    }
    if texts:
        columns["documents"] = [f"text {index}" for index in range(number)]
    outputs = {key: [column] if for_each_query else column for key, column in columns.items()}
    outputs["included"] = ["distances"]
    attributes = sent("RETRIEVER", {"query": "q"}, outputs)
    found = json.loads(attributes["gen_ai.retrieval.documents"])
    assert [document["id"] for document in found] == columns["ids"]
    assert [document["distance"] for document in found] == columns["distances"]
    assert [document["metadata"] for document in found] == columns["metadatas"]
    if texts:
        assert [document["content"] for document in found] == columns["documents"]
    assert json.loads(attributes["mlflow.spanOutputs"]) == {"included": ["distances"]}


def test_lists_that_do_not_pair_stay_beside_the_documents():
    outputs = {"documents": ["a", "b"], "ids": ["1"]}
    attributes = sent("RETRIEVER", {"query": "q"}, outputs)
    assert json.loads(attributes["gen_ai.retrieval.documents"]) == [
        {"content": "a"},
        {"content": "b"},
    ]
    assert json.loads(attributes["mlflow.spanOutputs"]) == {"ids": ["1"]}


@pytest.mark.parametrize(
    "outputs", [[{"a": 1}], [["x", "y"]], {"documents": [3]}, {"ids": ["1"]}, "text", 5]
)
def test_what_is_no_document_stays_in_the_outputs(outputs):
    assert retrieval.documents(outputs) is None
    attributes = sent("RETRIEVER", {"query": "q", "k": 3}, outputs)
    assert "gen_ai.retrieval.documents" not in attributes
    left = attributes["mlflow.spanOutputs"]
    assert left == outputs or json.loads(left) == outputs
    assert json.loads(attributes["mlflow.spanInputs"]) == {"query": "q", "k": 3}


def test_openinference_has_a_message_for_each_tools_answer():
    results = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": f"r{n}"} for n in (1, 2)]
    said = [{"role": "user", "content": [*results, {"type": "text", "text": "Go on."}]}]
    found = sent(
        "CHAT_MODEL",
        {"messages": said, "max_tokens": 5},
        {"stop_reason": "x", "content": []},
        ("openinference",),
    )
    prefix = "llm.input_messages"
    for index in (0, 1):
        assert found[f"{prefix}.{index}.message.role"] == "tool"
        assert found[f"{prefix}.{index}.message.content"] == f"r{index + 1}"
        assert found[f"{prefix}.{index}.message.tool_call_id"] == f"t{index + 1}"
    assert found[f"{prefix}.2.message.role"] == "user"
    assert found[f"{prefix}.2.message.content"] == "Go on."
    assert json.loads(found["llm.invocation_parameters"]) == {"max_tokens": 5}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "audio", "audio.audio.url": "data:audio/wav;base64,AAAA"},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            {"type": "document", "document.document.url": "data:application/pdf;base64,AAAA"},
        ),
        (
            {"type": "file", "file": {"file_id": "f-1"}},
            {"type": "document", "document.document.id": "f-1"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
            {"type": "image", "image.image.url": "https://x.example/a.png"},
        ),
        (
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "reasoning", "text": "Hm.", "signature": "c2ln"},
        ),
    ],
)
def test_openinference_calls_media_and_reasoning_by_their_names(item, expected):
    said = [{"role": "user", "content": [{"type": "text", "text": "See:"}, item]}]
    found = sent("CHAT_MODEL", {"messages": said}, None, ("openinference",))
    for key, value in expected.items():
        assert found[f"llm.input_messages.0.message.contents.1.message_content.{key}"] == value


@pytest.mark.parametrize(
    ("written", "session", "sessions"),
    [
        ('["s-1", "s-2"]', "s-1", ["s-1", "s-2"]),
        ("s-1", "s-1", None),
        ("[draft]", "[draft]", None),
        ("[]", "[]", None),
    ],
)
def test_of_several_sessions_the_first_is_the_session(written, session, sessions):
    found = stamp(TraceContext(metadata={"mlflow.trace.session": written}), MappingOptions())
    assert found["session.id"] == found["gen_ai.conversation.id"] == session
    assert found.get("mlflow.trace.sessions") == sessions
