"""Who said what, in shapes that no recording has: roles, calls, media and documents are what they are."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.mapping.messages import chat, convert, items, parts
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from tests.mapping.shapes import SHAPES


def talk(name):
    message_format, _, inputs, outputs = SHAPES[name]
    return convert(message_format, inputs, outputs)


def kinds(messages):
    return [(m["role"], [p["type"] for p in m["parts"]]) for m in messages]


def only(messages, kind):
    return [p for m in messages for p in m["parts"] if p["type"] == kind]


def test_langchains_own_messages_keep_who_spoke_and_what_was_called():
    found = talk("langchain: a batch of dumped messages and generations")
    assert found.system == [{"type": "text", "content": "Be brief.", "item_id": "s-1"}]
    assert [m["role"] for m in found.inputs] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "harbourmaster",
        "assistant",
    ]
    answer = found.inputs[2]["parts"][0]
    assert (answer["id"], answer["response"], answer["name"]) == ("call_l1", "at nine", "ferries")
    assert answer["artifact"] == {"sheet": "F-9"}
    (reply,) = found.outputs
    assert [p["type"] for p in reply["parts"]] == ["tool_call", "text"]  # told twice, once here
    assert found.response_model == "m-8"


def test_a_graphs_pairs_of_role_and_content_are_messages():
    found = talk("langgraph: a state of pairs and messages")
    assert kinds(found.inputs) == [("user", ["text"]), ("user", ["text"])]
    assert found.rest_inputs == {"thread": "t-44"}
    assert found.rest_outputs == {"__interrupt__": [{"value": "pay?", "id": "int-2"}]}


def test_blocks_that_name_their_kind_by_their_key_are_of_that_kind():
    found = talk("haystack: blocks by key")
    assert kinds(found.inputs) == [
        ("user", ["text", "blob"]),
        ("assistant", ["reasoning", "tool_call"]),
        ("tool", ["tool_call_response"]),
    ]
    assert only(found.inputs, "tool_call_response")[0]["error"] is True
    assert found.finish_reasons == ["length"]
    strands = talk("strands: blocks without a format")
    assert kinds(strands.inputs) == [("user", ["text"]), ("tool", ["tool_call_response"])]
    assert kinds(strands.outputs) == [("assistant", ["text", "tool_call"])]


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("chat completions: every kind of part and call", "call_81"),
        ("responses: calls of tools, the client's answers, reasoning", "call_92"),
        ("anthropic: documents, server tools, thinking, a failed tool", "toolu_63"),
        ("converse: documents, citations, veiled thought", "tu_5"),
        ("haystack: blocks by key", "call_h1"),
        ("llamaindex: blocks, a tool's picture, further arguments", "call_i"),
        ("autogen: executions", "call_a"),
        ("ag2: answers of several tools", "call_x2"),
        ("pydantic ai: parts, media, a provider's tool", "call_p"),
        ("agents: a generation of chat messages", "call_g"),
    ],
)
def test_a_tools_answer_is_the_tools_and_has_the_ID_of_its_call(name, identity):
    answers = [m for m in talk(name).inputs if any(p.get("id") == identity for p in m["parts"])]
    answered = [m for m in answers if "tool_call_response" in {p["type"] for p in m["parts"]}]
    assert [m["role"] for m in answered] == ["tool"]


def test_what_a_client_answers_is_never_the_assistants():
    found = talk("responses: calls of tools, the client's answers, reasoning")
    for message in found.inputs:
        for part in message["parts"]:
            if part["type"].endswith("_response"):
                assert message["role"] != "assistant", part


def test_calls_with_an_ID_to_answer_are_the_clients_and_others_the_providers():
    found = talk("responses: calls of tools, the client's answers, reasoning")
    assert [c["name"] for c in only(found.inputs, "tool_call")] == [
        "ferries",
        "shell",
        "apply_patch",
    ]
    assert [c["name"] for c in only(found.outputs, "server_tool_call")] == [
        "web_search",
        "book",
        "brand_new",
    ]


def test_code_that_gemini_runs_is_a_call_of_its_own_tool():
    found = talk("gemini: signatures, code, media, grounding")
    assert kinds(found.inputs)[1] == (
        "assistant",
        ["reasoning", "server_tool_call", "server_tool_call_response", "tool_call"],
    )


def test_a_tool_of_bedrocks_own_is_no_tool_of_the_clients():
    block = {"toolUse": {"toolUseId": "tu_1", "name": "n", "type": "server_tool_use", "input": {}}}
    part = items.part(block)
    assert (part["type"], part["id"]) == ("server_tool_call", "tu_1")


def test_custom_and_later_kinds_of_calls_keep_name_and_input():
    calls = only(talk("chat completions: every kind of part and call").inputs, "tool_call")
    assert [(c["name"], c["id"]) for c in calls] == [
        ("ferries", "call_81"),
        ("ask", "call_82"),
        ("x", "call_83"),
    ]
    assert calls[0]["arguments"] == {"day": 3}
    assert calls[1]["arguments"] == "when?"
    assert calls[2]["payload"] == [1, "deep-83"]


def test_a_spoken_answer_has_its_mime_type_and_its_transcript():
    found = talk("chat completions: every kind of part and call")
    (said,) = only(found.outputs, "blob")
    assert (said["modality"], said["mime_type"]) == ("audio", "audio/mp3")
    assert (said["transcript"], said["id"]) == ("By ferry.", "audio_82")
    earlier = [p for p in only(found.inputs, "file") if p["modality"] == "audio"]
    assert [p["file_id"] for p in earlier] == ["audio_81"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "anthropic: documents, server tools, thinking, a failed tool",
            ["Low at two.", "High at eight."],
        ),
        ("converse: documents, citations, veiled thought", ["# Low at two", "a,b\n1,2"]),
        ("gemini: signatures, code, media, grounding", ["noon"]),
        ("chat completions: every kind of part and call", ["noon"]),
    ],
)
def test_a_document_of_plain_text_is_text_and_no_blob(name, texts):
    documents = [p for p in only(talk(name).inputs, "text") if p.get("modality") == "document"]
    assert [p["content"] for p in documents] == texts


def test_a_preview_shows_what_was_asked_and_not_the_document_before_it():
    found = talk("anthropic: documents, server tools, thinking, a failed tool")
    assert parts.preview(found.inputs[:1]) == "Cross?"


@pytest.mark.parametrize(
    "name",
    [
        "anthropic: documents, server tools, thinking, a failed tool",
        "gemini: signatures, code, media, grounding",
        "converse: documents, citations, veiled thought",
        "pydantic ai: parts, media, a provider's tool",
    ],
)
def test_signatures_and_errors_stay_with_their_part(name):
    said = json.dumps([talk(name).inputs, talk(name).outputs])
    assert "c2ln" in said
    assert any(word in said for word in ("is_error", "failed", '"error"', "thought_signature"))


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        ("server_tool_use", "server_tool_call"),
        ("tool_of_next_year_tool_use", "server_tool_call"),
        ("tool_of_next_year_tool_result", "server_tool_call_response"),
        ("tool_of_next_year_call", "server_tool_call"),
        ("tool_of_next_year_call_output", "tool_call_response"),
        ("tool_of_next_year_output", "server_tool_call_response"),
        ("tool_of_next_year", "tool_of_next_year"),
    ],
)
def test_kinds_that_nobody_knows_yet_are_told_by_how_they_are_named(kind, becomes):
    item = {"type": kind, "name": "n", "body": "b-1"}
    part = items.part(item)
    assert part["type"] == becomes
    assert "b-1" in json.dumps(part)


@pytest.mark.parametrize(
    "said", ["human", "ai", "tool", "function", "system", "HumanMessage", "AIMessageChunk"]
)
def test_a_message_type_of_langchains_is_a_role(said):
    assert chat.message({"type": said, "content": "x"})["role"] in {
        "user",
        "assistant",
        "tool",
        "system",
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a text completion", "length"),
        ("a prompt of llama's", "length"),
        ("a prompt of titan's", "stop"),
        ("a turn of cohere's", "stop"),
        ("a prompt of ai21's", "stop"),
    ],
)
def test_a_prompt_and_its_completion_are_messages_whoever_made_the_model(name, reason):
    found = talk(name)
    assert found.inputs[-1]["parts"][0]["content"].startswith("Cross")
    (answer,) = found.outputs
    assert answer["role"] == "assistant"
    assert "ferry" in answer["parts"][0]["content"]
    assert found.finish_reasons == [reason]


def test_a_turn_of_coheres_has_its_history_and_its_preamble():
    found = talk("a turn of cohere's")
    assert [p["content"] for p in found.system] == ["Be brief."]
    assert [m["role"] for m in found.inputs] == ["user", "assistant", "user"]


def test_a_side_that_is_not_understood_is_left_alone_and_the_other_maps():
    found = talk("an answer nobody knows")
    assert (len(found.inputs), found.outputs) == (1, [])
    assert found.rest_outputs is SHAPES["an answer nobody knows"][3]
    found = talk("a question nobody knows")
    assert (found.inputs, len(found.outputs)) == ([], 1)
    assert found.rest_inputs is SHAPES["a question nobody knows"][2]


def test_a_part_that_cannot_be_converted_loses_its_structure_and_not_its_text(monkeypatch):
    def fail(item):
        raise KeyError(item["type"])

    monkeypatch.setattr(items, "TYPES", {**items.TYPES, "text": fail})
    content = [{"type": "text", "text": "words-1"}, {"type": "thinking", "thinking": "words-2"}]
    inputs = json.dumps({"messages": [{"role": "user", "content": content}]})
    view = SpanView("call", {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": inputs})
    found = map_span(view, TraceContext(), MappingOptions())
    assert found.failures == ("messages: KeyError",)
    (said,) = json.loads(found.attributes["gen_ai.input.messages"])
    assert said["parts"][0] == {"type": "unknown", "item_type": "text", "text": "words-1"}
    assert said["parts"][1] == {"type": "reasoning", "content": "words-2"}


def test_a_further_field_whose_name_is_taken_has_another():
    part = items.part({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "n"})
    assert (part["id"], part["item_id"]) == ("call_1", "fc_1")
    assert items.part({"type": "text", "text": "a", "content": "b"})["item_content"] == "b"
