"""OpenAI's Responses API: built-in tools, reasoning, streams."""

from __future__ import annotations

import json

from stub.common import PNG, TEXT, THOUGHT, URL, said, sample, words

ANSWERED = '_output"'


def text(content=TEXT, annotations=()):
    return {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [
            {
                "type": "output_text",
                "text": content,
                "annotations": list(annotations),
                "logprobs": [],
            }
        ],
    }


def custom(name):
    item = {"name": name, "input": "SELECT degrees FROM weather", "call_id": "call_2"}
    return {"id": "ctc_1", "type": "custom_tool_call", "status": "completed", **item}


# What the model does with each type of tool that it is offered.
CALLS = {
    "web_search": lambda _: {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "weather in Paris", "sources": []},
    },
    "file_search": lambda _: {
        "id": "fs_1",
        "type": "file_search_call",
        "status": "completed",
        "queries": ["weather"],
        "results": [
            {
                "file_id": "file-1",
                "filename": "weather.txt",
                "score": 0.9,
                "text": "Paris is sunny.",
                "attributes": {"year": 2024},
            }
        ],
    },
    "code_interpreter": lambda _: {
        "id": "ci_1",
        "type": "code_interpreter_call",
        "status": "completed",
        "container_id": "cntr_1",
        "code": "print(20 + 1)",
        "outputs": [{"type": "logs", "logs": "21"}],
    },
    "image_generation": lambda _: {
        "id": "ig_1",
        "type": "image_generation_call",
        "status": "completed",
        "result": PNG,
    },
    "mcp": lambda tool: {
        "id": "mcp_1",
        "type": "mcp_call",
        "server_label": tool["server_label"],
        "name": "forecast",
        "arguments": '{"city": "Paris"}',
        "output": "sunny",
        "error": None,
    },
    "local_shell": lambda _: {
        "id": "lsh_1",
        "type": "local_shell_call",
        "call_id": "call_3",
        "status": "completed",
        "action": {"type": "exec", "command": ["date"], "env": {}},
    },
    "computer_use_preview": lambda _: {
        "id": "cu_1",
        "type": "computer_call",
        "call_id": "call_4",
        "status": "completed",
        "action": {"type": "click", "button": "left", "x": 10, "y": 20},
        "pending_safety_checks": [],
    },
    "custom": lambda tool: custom(tool["name"]),
}


def function_call(tool, number):
    arguments = {"city": "Paris"}
    if tool["name"] != "get_weather":
        arguments = sample(tool.get("parameters") or {})
    call = {"call_id": f"call_{number}", "name": tool["name"], "arguments": json.dumps(arguments)}
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **call}


def output(body):
    tools = body.get("tools") or []
    functions = [tool for tool in tools if tool["type"] == "function"]
    others = [tool for tool in tools if tool["type"] in CALLS]
    asked = json.dumps(body.get("input"))
    items = []
    if "reason" in asked:
        summary = [{"type": "summary_text", "text": THOUGHT}]
        items.append(
            {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "ZW5j"}
        )
    answered = ANSWERED in asked
    # A handed-over conversation is answered by the agent that took it.
    if functions and (not answered or (functions[0]["name"] not in asked and "transfer" in asked)):
        return [*items, function_call(functions[0], 5 if answered else 1)]
    if others and not answered:
        items += [CALLS[tool["type"]](tool) for tool in others]
    annotations = []
    if others or said(body, "cite"):
        citation = {"start_index": 0, "end_index": 5, "title": "Weather", "url": URL}
        annotations = [{"type": "url_citation", **citation}]
    if said(body, "refuse"):
        refusal = text()
        refusal["content"] = [{"type": "refusal", "refusal": "I cannot help with that."}]
        return [refusal]
    if (body.get("text") or {}).get("format", {}).get("type") == "json_schema":
        return [*items, text(json.dumps({"city": "Paris", "degrees": 21}))]
    return [*items, text(annotations=annotations)]


def response(body):
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1750000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "model": body.get("model", "gpt-4o-mini") + "-2024-07-18",
        "output": output(body),
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": body.get("reasoning"),
        "temperature": 0.2,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "metadata": body.get("metadata") or {},
        "usage": {
            "input_tokens": 82,
            "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
            "output_tokens": 17,
            "output_tokens_details": {"reasoning_tokens": 9 if said(body, "reason") else 0},
            "total_tokens": 99,
        },
    }


def item_events(index, item):
    """Yield the events by which one output item arrives."""
    place = {"output_index": index}
    started = {**item, "status": "in_progress"}
    if item["type"] == "message":
        started["content"] = []
    yield {"type": "response.output_item.added", **place, "item": started}
    if item["type"] == "message" and item["content"][0]["type"] == "output_text":
        part = {**place, "item_id": item["id"], "content_index": 0}
        whole = item["content"][0]
        empty = {**whole, "text": "", "annotations": []}
        yield {"type": "response.content_part.added", **part, "part": empty}
        pieces = list(words()) if whole["text"] == TEXT else [whole["text"]]
        for piece in pieces:
            yield {"type": "response.output_text.delta", **part, "delta": piece, "logprobs": []}
        done = {"text": whole["text"], "logprobs": []}
        yield {"type": "response.output_text.done", **part, **done}
        yield {"type": "response.content_part.done", **part, "part": whole}
    if item["type"] == "function_call":
        part = {**place, "item_id": item["id"]}
        arguments = item["arguments"]
        yield {"type": "response.function_call_arguments.delta", **part, "delta": arguments}
        yield {
            "type": "response.function_call_arguments.done",
            **part,
            "arguments": arguments,
            "name": item["name"],
        }
    yield {"type": "response.output_item.done", **place, "item": item}


def stream(body):
    done = response(body)
    started = {**done, "output": [], "status": "in_progress", "usage": None}
    events = [{"type": "response.created", "response": started}]
    for index, item in enumerate(done["output"]):
        events += item_events(index, item)
    events.append({"type": "response.completed", "response": done})
    for number, event in enumerate(events):
        yield {"sequence_number": number, **event}
