"""Anthropic's Messages API: thinking, server tools, citations, streams."""

from __future__ import annotations

import json

from stub.common import ARGUMENTS, SIGNATURE, TEXT, THOUGHT, TOOL, URL, sample, words


def server_tools(body):
    """Yield what the provider's own tools do, for each that is offered."""
    for tool in body.get("tools") or ():
        kind = tool.get("type", "")
        if kind.startswith("web_search"):
            use = {"id": "srvtoolu_1", "name": "web_search", "input": {"query": "weather Paris"}}
            yield {"type": "server_tool_use", **use}
            hit = {"title": "Weather", "url": URL, "encrypted_content": "ZW5j", "page_age": "1 day"}
            yield {
                "type": "web_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": [{"type": "web_search_result", **hit}],
            }
        elif kind.startswith("code_execution"):
            use = {"id": "srvtoolu_2", "name": "code_execution", "input": {"code": "print(21)"}}
            yield {"type": "server_tool_use", **use}
            ran = {"stdout": "21\n", "stderr": "", "return_code": 0, "content": []}
            yield {
                "type": "code_execution_tool_result",
                "tool_use_id": "srvtoolu_2",
                "content": {"type": "code_execution_result", **ran},
            }
    for server in body.get("mcp_servers") or ():
        use = {"id": "mcptoolu_1", "name": "forecast", "input": {"city": "Paris"}}
        yield {"type": "mcp_tool_use", "server_name": server["name"], **use}
        yield {
            "type": "mcp_tool_result",
            "tool_use_id": "mcptoolu_1",
            "is_error": False,
            "content": [{"type": "text", "text": "sunny"}],
        }


def content(body):
    """Return (blocks, stop reason)."""
    blocks = []
    if (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}:
        blocks.append({"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE})
        blocks.append({"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="})
    asked = json.dumps(body.get("messages"))
    own = [tool for tool in body.get("tools") or () if "input_schema" in tool]
    if own and '"tool_result"' not in asked:
        arguments = ARGUMENTS if own[0]["name"] == TOOL else sample(own[0]["input_schema"])
        use = {"type": "tool_use", "id": "toolu_1", "name": own[0]["name"], "input": arguments}
        return [*blocks, {"type": "text", "text": "I look it up."}, use], "tool_use"
    blocks += server_tools(body)
    text = {"type": "text", "text": TEXT}
    if '"document"' in asked and '"citations"' in asked:
        place = {"start_char_index": 0, "end_char_index": 15, "document_index": 0}
        cited = {"cited_text": "Paris is sunny.", "document_title": "Weather", **place}
        text["citations"] = [{"type": "char_location", **cited}]
    return [*blocks, text], "end_turn"


def counts():
    return {
        "input_tokens": 18,
        "cache_read_input_tokens": 64,
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 17,
        "server_tool_use": {"web_search_requests": 1},
        "service_tier": "standard",
    }


def message(body):
    blocks, stop = content(body)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "container": {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"},
        "usage": counts(),
    }


def block_events(index, block):
    """Yield the events by which one block arrives."""
    kind = block["type"]
    empty = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    start = {**block, **empty.get(kind, {})}
    start.pop("citations", None)
    yield {"type": "content_block_start", "index": index, "content_block": start}
    deltas = []
    if kind == "text":
        pieces = list(words()) if block["text"] == TEXT else [block["text"]]
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
        deltas += [
            {"type": "citations_delta", "citation": cited} for cited in block.get("citations", ())
        ]
    elif kind == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    elif kind == "tool_use":
        text = json.dumps(block["input"])
        deltas = [
            {"type": "input_json_delta", "partial_json": part} for part in (text[:5], text[5:])
        ]
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def stream(body):
    done = message(body)
    started = {**done["usage"], "output_tokens": 1}
    yield {
        "type": "message_start",
        "message": {**done, "content": [], "stop_reason": None, "usage": started},
    }
    for index, block in enumerate(done["content"]):
        yield from block_events(index, block)
    delta = {"stop_reason": done["stop_reason"], "stop_sequence": None}
    kept = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    usage = {key: done["usage"][key] for key in (*kept, "output_tokens")}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}
