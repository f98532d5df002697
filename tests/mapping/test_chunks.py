"""A stream's events: when it began, and what its outputs leave out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping.model import EventView, MappingOptions, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.mapping.streams import completed
from tests import payloads

STREAMS = [
    ("openai-3", "chat_stream"),
    ("openai-responses-3", "stream"),
    ("boto3", "stream"),
    ("boto3", "stream_tools"),
    ("langchain-1.5.2/", "stream"),
    ("langchain-1.5.2/", "anthropic_stream"),
]
INVOKED = [
    "anthropic_claude-3-haiku-20240307-v1:0",
    "meta_llama3-8b-instruct-v1:0",
    "amazon_titan-text-express-v1",
]


@pytest.mark.parametrize(("library", "scenario"), STREAMS)
def test_a_stream_says_when_it_began_and_its_pieces_stay_here(library, scenario):
    span = payloads.one(library, scenario)
    found = payloads.mapped(span, capture_content=False)
    assert found.attributes["gen_ai.request.stream"] is True
    assert found.attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    assert payloads.mapped(span).events == ()
    assert len(payloads.mapped(span, keep_chunk_events=True).events) == len(span["events"])


def answer(span):
    """Return what was said and why it ended, less what only a call without a stream counts."""
    found = payloads.mapped(span).attributes
    messages = json.loads(found["gen_ai.output.messages"])
    return [(m["role"], m["parts"]) for m in messages], found["gen_ai.response.finish_reasons"]


@pytest.mark.parametrize("model", INVOKED)
def test_what_invoke_model_streams_is_mapped_as_the_call_without_a_stream_is(model):
    span = payloads.one("boto3", f"invoke_stream_{model}")
    assert answer(span) == answer(payloads.one("boto3", f"invoke_{model}"))
    assert payloads.mapped(span).events == ()
    assert payloads.mapped(span, capture_content=False).events == ()


def test_of_a_conversation_that_streams_the_reasoning_is_kept_in_its_place():
    streamed = payloads.one("boto3", "stream_reasoning")
    ((_, parts),), _ = answer(streamed)
    assert [part["type"] for part in parts] == ["reasoning", "reasoning", "text"]
    assert parts[0]["signature"] == "c2lnbmF0dXJl"
    assert parts[1]["redactedContent"] == "cmVkYWN0ZWQ="


@pytest.mark.parametrize("model", INVOKED)
def test_a_stream_of_which_the_sdk_dropped_pieces_is_not_put_together(model):
    view = payloads.view(payloads.one("boto3", f"invoke_stream_{model}"))
    found = map_span(view._replace(dropped_events=1), TraceContext(), MappingOptions())
    assert "gen_ai.output.messages" not in found.attributes
    assert len(found.events) == len(view.events)


def test_an_apps_own_event_on_a_streamed_call_leaves():
    span = payloads.one("langchain-1.5.2/", "stream")
    own = {"name": "cache", "attributes": {"json": "{}", "hit": True}}
    found = payloads.mapped({**span, "events": [*span["events"], own]})
    assert [event.name for event in found.events] == ["cache"]


@pytest.mark.parametrize("library", ["openai-1", "openai-3"])
def test_a_streamed_tool_call_is_the_answer(library):
    found = payloads.mapped(payloads.one(library, "chat_stream_tools")).attributes
    (answer,) = json.loads(found["gen_ai.output.messages"])
    (call,) = answer["parts"]
    assert {key: call[key] for key in ("type", "id", "name", "arguments")} == {
        "type": "tool_call",
        "id": "call_1",
        "name": "get_weather",
        "arguments": {"city": "Paris"},
    }
    assert found["gen_ai.response.finish_reasons"] == ["tool_call"]


def chunk(number, delta, reason=None, index=0):
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    value = json.dumps({"choices": [choice]})
    return EventView(f"mlflow.chunk.item.{number}", number, {"mlflow.chunk.value": value})


def empty(count=1):
    choices = [
        {"index": i, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
        for i in range(count)
    ]
    return {"object": "chat.completion", "choices": choices}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=4), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_calls_in_any_pieces_are_whole_again_however_they_alternate(calls, chance):
    queues = [
        [{"index": place, "function": {"arguments": piece}} for piece in pieces]
        for place, pieces in enumerate(calls)
    ]
    for place, queue in enumerate(queues):
        queue[0] |= {"id": f"call_{place}", "type": "function"}
        queue[0]["function"] = {**queue[0]["function"], "name": f"f{place}"}
    events = []
    while any(queues):
        queue = chance.choice([queue for queue in queues if queue])
        events.append(chunk(len(events), {"tool_calls": [queue.pop(0)]}))
    events.append(chunk(len(events), {}, "tool_calls"))
    (choice,) = completed(empty(), events)["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"arguments": "".join(pieces), "name": f"f{place}"},
        }
        for place, pieces in enumerate(calls)
    ]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "[]",
        "7",
        '{"choices": [7]}',
        '{"choices": [{"index": "a"}]}',
    ],
)
def test_chunks_of_another_shape_change_nothing_that_outputs_say(value):
    event = EventView("mlflow.chunk.item.0", 1, {"mlflow.chunk.value": value})
    said = {
        **empty(),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}}],
    }
    assert completed(said, [event]) is said
    assert completed(empty(), [event])["object"] == "chat.completion"


def test_what_completion_chunks_say_beside_the_text_is_not_lost():
    deltas = [
        {"role": "assistant", "reasoning_content": "Hm"},
        {"reasoning_content": "."},
        {"content": "By "},
        {"content": "ferry.", "tool_calls": [{"index": 0, "id": "c-1", "type": "function"}]},
        {"tool_calls": [{"index": 0, "id": "", "function": {"name": "book", "arguments": "{}"}}]},
    ]
    events = [chunk(number, delta) for number, delta in enumerate(deltas)]
    events += [chunk(9, {"content": "Or swim."}, "length", 1), chunk(10, {}, "tool_calls")]
    message = {"role": "assistant", "content": "By ferry."}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "stop",
    }  # MLflow's, of the last chunk
    found = completed({**empty(), "choices": [choice]}, events)["choices"]
    called = {"id": "c-1", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    assert found[0]["message"] == {**message, "reasoning_content": "Hm.", "tool_calls": [called]}
    assert [choice["finish_reason"] for choice in found] == ["tool_calls", "length"]
    assert found[1]["message"] == {"content": "Or swim."}


CONVERSED = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
                {
                    "citationsContent": {
                        "content": [{"text": "Low."}],
                        "citations": [{"title": "T"}],
                    }
                },
                {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}}},
                {"text": "So."},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 3, "outputTokens": 4},
}
ANSWERED = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "text", "text": "Low.", "citations": [{"cited_text": "low"}, {"cited_text": "2"}]},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def pieces_of(draw, text):
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def conversed(draw):
    """Return the events by which Converse would stream the answer."""
    found = [{"messageStart": {"role": "assistant"}}]

    def tell(index, delta):
        found.append({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}})

    for index, block in enumerate(CONVERSED["output"]["message"]["content"]):
        if "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {key: use[key] for key in ("toolUseId", "name")}}
            found.append({"contentBlockStart": {"contentBlockIndex": index, "start": start}})
            for piece in pieces_of(draw, json.dumps(use["input"])):
                tell(index, {"toolUse": {"input": piece}})
        elif "reasoningContent" in block:
            for key, text in block["reasoningContent"]["reasoningText"].items():
                for piece in pieces_of(draw, text):
                    tell(index, {"reasoningContent": {key: piece}})
        else:
            cited = block.get("citationsContent", {"content": [block], "citations": []})
            for piece in pieces_of(draw, cited["content"][0]["text"]):
                tell(index, {"text": piece})
            for citation in cited["citations"]:
                tell(index, {"citation": citation})
        found.append({"contentBlockStop": {"contentBlockIndex": index}})
    found.append({"messageStop": {"stopReason": CONVERSED["stopReason"]}})
    return [*found, {"metadata": {"usage": CONVERSED["usage"]}}]


@st.composite
def answered(draw):
    """Return the events by which Anthropic's Messages would stream the answer."""
    start = {**ANSWERED, "content": [], "stop_reason": None, "usage": {"input_tokens": 3}}
    found = [{"type": "message_start", "message": start}, {"type": "ping"}]

    def tell(index, delta):
        found.append({"type": "content_block_delta", "index": index, "delta": delta})

    for index, block in enumerate(ANSWERED["content"]):
        empty_ = {"text": "", "thinking": "", "signature": "", "input": {}}
        opened = {key: empty_.get(key, value) for key, value in block.items() if key != "citations"}
        found.append({"type": "content_block_start", "index": index, "content_block": opened})
        for key in [key for key in ("thinking", "signature", "text") if key in block]:
            for piece in pieces_of(draw, block[key]):
                tell(index, {"type": f"{key}_delta", key: piece})
        for citation in block.get("citations", ()):
            tell(index, {"type": "citations_delta", "citation": citation})
        if "input" in block:
            for piece in pieces_of(draw, json.dumps(block["input"])):
                tell(index, {"type": "input_json_delta", "partial_json": piece})
        found.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": "tool_use"}
    found.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 4}})
    return [*found, {"type": "message_stop"}]


@settings(max_examples=40, deadline=None)
@given(conversed(), answered())
def test_an_answer_that_streams_in_any_pieces_is_whole_again(converse, anthropic):
    named = [
        EventView(name, 1, {"json": json.dumps(said)}) for e in converse for name, said in e.items()
    ]
    text_alone = {"output": {"message": {"role": "assistant", "content": [{"text": "So."}]}}}
    assert completed(text_alone, named) == CONVERSED
    for pieces, whole in ((converse, CONVERSED), (anthropic, ANSWERED)):
        events = [EventView("chunk", 1, {"json": json.dumps(piece)}) for piece in pieces]
        assert completed({"body": "EventStream"}, events)["body"] == whole


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        (
            [{"outputs": [{"text": "a"}]}, {"outputs": [{"text": "b", "stop_reason": "stop"}]}],
            {"outputs": [{"text": "ab", "stop_reason": "stop"}]},
        ),
        (
            [
                {"choices": [{"index": 0, "delta": {"content": "a"}}]},
                {"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}]},
            ],
            {"choices": [{"index": 0, "delta": {"content": "ab"}, "finish_reason": "stop"}]},
        ),
        (
            [
                {"text": "a", "is_finished": False},
                {"is_finished": True, "finish_reason": "COMPLETE"},
            ],
            {"text": "a", "is_finished": True, "finish_reason": "COMPLETE"},
        ),
    ],
)
def test_a_body_of_any_maker_grows_by_its_pieces(pieces, body):
    events = [EventView("chunk", 1, {"json": json.dumps(piece)}) for piece in pieces]
    assert completed({"body": "EventStream"}, events) == {"body": body}


def test_a_stream_that_is_not_understood_leaves_with_its_events():
    events = [EventView("chunk", 1, {"json": "[1]"})]
    said = {"body": "EventStream"}
    assert completed(said, events) is said
