"""A stream's events: when it began, and what its outputs leave out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping.chunks import completed
from mlflow_otel.mapping.model import EventView
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
    "invoke_stream_anthropic_claude-3-haiku-20240307-v1:0",
    "invoke_stream_meta_llama3-8b-instruct-v1:0",
    "invoke_stream_amazon_titan-text-express-v1",
]


@pytest.mark.parametrize(("library", "scenario"), STREAMS)
def test_a_stream_says_when_it_began_and_its_pieces_stay_here(library, scenario):
    span = payloads.one(library, scenario)
    found = payloads.mapped(span, capture_content=False)
    assert found.attributes["gen_ai.request.stream"] is True
    assert found.attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    assert payloads.mapped(span).events == ()
    assert len(payloads.mapped(span, keep_chunk_events=True).events) == len(span["events"])


@pytest.mark.parametrize("scenario", INVOKED)
def test_what_invoke_model_streams_is_not_lost_with_its_events(scenario):
    span = payloads.one("boto3", scenario)
    kept = json.dumps([dict(event.attributes) for event in payloads.mapped(span).events])
    assert "sunny" in kept or "partial_json" in kept
    assert payloads.mapped(span, capture_content=False).events == ()


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
        '{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": {"a": 1}}, {"index": 0, "id": "b"}]}}]}',
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
