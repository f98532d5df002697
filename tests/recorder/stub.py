"""A stub of the providers' HTTP APIs on a loopback port: scripted answers, no model, no network.

It answers by path and by what the request holds: ``stream``, tools not yet answered, the words
``fail`` or ``reason`` in it. The answers have the shapes of the providers' API references.
"""

from __future__ import annotations

import binascii
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = "It is sunny in Paris, 21 degrees."
ARGUMENTS = {"city": "Paris"}
TOOL = "get_weather"


def openai_chat(body):
    message = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    finish = "stop"
    if wants_tool(body):
        finish = "tool_calls"
        call = {"name": tool_name(body), "arguments": json.dumps(tool_arguments(body))}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        }
    if "dspy" in body.get("model", ""):
        message["content"] = "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1750000000,
        "model": body.get("model", "gpt-4o-mini") + "-2024-07-18",
        "system_fingerprint": "fp_1",
        "service_tier": "default",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": 82,
            "completion_tokens": 17,
            "total_tokens": 99,
            "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def openai_chat_stream(body):
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1750000000}
    base["model"] = body["model"]
    for index, word in enumerate(TEXT.split(" ")):
        delta = {"content": (" " if index else "") + word}
        if not index:
            delta["role"] = "assistant"
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 82, "completion_tokens": 17, "total_tokens": 99}
    yield {**base, "choices": [], "usage": usage}


def openai_responses(body):
    message = {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
    }
    output = [message]
    if "reason" in json.dumps(body.get("input")):
        summary = [{"type": "summary_text", "text": "The user asks for the weather."}]
        output = [{"id": "rs_1", "type": "reasoning", "summary": summary}, message]
    if wants_tool(body, answered="function_call_output"):
        call = {"call_id": "call_1", "name": tool_name(body), "arguments": json.dumps(ARGUMENTS)}
        output = [{"id": "fc_1", "type": "function_call", "status": "completed", **call}]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1750000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "model": body["model"] + "-2024-07-18",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 0.2,
        "tool_choice": "auto",
        "tools": body.get("tools", []),
        "top_p": 1.0,
        "metadata": {},
        "usage": {
            "input_tokens": 82,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens": 17,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 99,
        },
    }


def openai_responses_stream(body):
    done = openai_responses(body)
    yield {"type": "response.created", "sequence_number": 0, "response": {**done, "output": []}}
    for index, item in enumerate(done["output"]):
        yield {
            "type": "response.output_item.done",
            "sequence_number": index + 1,
            "output_index": index,
            "item": item,
        }
    yield {"type": "response.completed", "sequence_number": 9, "response": done}


def openai_embeddings(body):
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}],
        "model": body["model"],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


def anthropic_messages(body):
    content = [{"type": "text", "text": TEXT}]
    stop = "end_turn"
    if body.get("thinking"):
        thinking = {
            "type": "thinking",
            "thinking": "The user asks for the weather.",
            "signature": "c2ln",
        }
        content = [thinking, *content]
    if wants_tool(body, answered="tool_result"):
        content = [
            {"type": "text", "text": "I look it up."},
            {"type": "tool_use", "id": "toolu_1", "name": tool_name(body), "input": ARGUMENTS},
        ]
        stop = "tool_use"
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 18,
            "cache_read_input_tokens": 64,
            "cache_creation_input_tokens": 7,
            "output_tokens": 17,
        },
    }


def anthropic_stream(body):
    message = anthropic_messages(body)
    usage = {"input_tokens": 18, "output_tokens": 1}
    start = {**message, "content": [], "stop_reason": None, "usage": usage}
    yield "message_start", {"type": "message_start", "message": start}
    block = {"type": "text", "text": ""}
    yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}
    for index, word in enumerate(TEXT.split(" ")):
        delta = {"type": "text_delta", "text": (" " if index else "") + word}
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 17}}
    yield "message_stop", {"type": "message_stop"}


def gemini(body):
    parts = [{"text": TEXT}]
    if wants_tool(body, answered="functionResponse"):
        parts = [{"functionCall": {"name": TOOL, "args": ARGUMENTS}}]
    elif body.get("generationConfig", {}).get("thinkingConfig"):
        parts = [{"text": "The user asks for the weather.", "thought": True}, *parts]
    return {
        "candidates": [
            {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 82,
            "candidatesTokenCount": 17,
            "totalTokenCount": 99,
            "cachedContentTokenCount": 64,
        },
        "modelVersion": "gemini-2.0-flash-001",
        "responseId": "gemini-1",
    }


def bedrock(body):
    content = [{"text": TEXT}]
    stop = "end_turn"
    if wants_tool(body, answered="toolResult"):
        use = {"toolUseId": "tooluse_1", "name": TOOL, "input": ARGUMENTS}
        content, stop = [{"text": "I look it up."}, {"toolUse": use}], "tool_use"
    elif "reason" in json.dumps(body["messages"]):
        text = {"text": "The user asks for the weather.", "signature": "c2ln"}
        content = [{"reasoningContent": {"reasoningText": text}}, *content]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop,
        "usage": {"inputTokens": 82, "outputTokens": 17, "totalTokens": 99},
        "metrics": {"latencyMs": 12},
    }


def bedrock_stream(_body):
    yield "messageStart", {"role": "assistant"}
    for word in TEXT.split(" "):
        yield "contentBlockDelta", {"delta": {"text": word + " "}, "contentBlockIndex": 0}
    yield "contentBlockStop", {"contentBlockIndex": 0}
    yield "messageStop", {"stopReason": "end_turn"}
    usage = {"inputTokens": 82, "outputTokens": 17, "totalTokens": 99}
    yield "metadata", {"usage": usage, "metrics": {"latencyMs": 12}}


def aws_frame(kind, payload):
    """Encode one message of AWS's event stream: prelude, headers, payload, two CRC-32."""
    headers = b""
    for name, value in (
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ):
        headers += bytes([len(name)]) + name.encode() + b"\x07"
        headers += struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + payload
    return head + struct.pack(">I", binascii.crc32(head))


def wants_tool(body, answered='"role": "tool"'):
    offered = body.get("tools") or body.get("toolConfig")
    return bool(offered) and answered not in json.dumps(body)


def first_tool(body):
    tool = body["tools"][0]
    return tool.get("function", tool)


def tool_name(body):
    return first_tool(body).get("name", TOOL)


def tool_arguments(body):
    if tool_name(body) == TOOL:
        return ARGUMENTS
    parameters = first_tool(body).get("parameters", {})
    return dict.fromkeys(parameters.get("properties", {}), TEXT)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.partition("?")[0]
        stream = bool(body.get("stream"))
        if "please fail" in json.dumps(body):
            error = {
                "message": "The stub was told to fail.",
                "type": "invalid_request_error",
                "code": 400,
            }
            self.answer(400, {"error": error, "message": error["message"]})
        elif path.endswith("/chat/completions"):
            self.openai(
                stream, openai_chat_stream(body) if stream else openai_chat(body), done=True
            )
        elif path.endswith("/responses"):
            self.openai(stream, openai_responses_stream(body) if stream else openai_responses(body))
        elif path.endswith("/embeddings"):
            self.answer(200, openai_embeddings(body))
        elif path.endswith("/messages"):
            if stream:
                frames = (
                    f"event: {kind}\ndata: {json.dumps(data)}\n\n"
                    for kind, data in anthropic_stream(body)
                )
                self.send("text/event-stream", "".join(frames).encode())
            else:
                self.answer(200, anthropic_messages(body))
        elif path.endswith(":generateContent"):
            self.answer(200, gemini(body))
        elif path.endswith(":streamGenerateContent"):
            self.send("text/event-stream", f"data: {json.dumps(gemini(body))}\r\n\r\n".encode())
        elif path.endswith("/converse"):
            self.answer(200, bedrock(body))
        elif path.endswith("/converse-stream"):
            frames = (
                aws_frame(kind, json.dumps(data).encode()) for kind, data in bedrock_stream(body)
            )
            self.send("application/vnd.amazon.eventstream", b"".join(frames))
        else:
            self.answer(404, {"error": {"message": f"The stub knows no {path}."}})

    def openai(self, stream, answer, *, done=False):
        if not stream:
            self.answer(200, answer)
            return
        lines = ""
        for item in answer:
            kind = item.get("type")
            lines += (f"event: {kind}\n" if kind else "") + f"data: {json.dumps(item)}\n\n"
        self.send("text/event-stream", (lines + ("data: [DONE]\n\n" if done else "")).encode())

    def answer(self, status, body):
        self.send("application/json", json.dumps(body).encode(), status)

    def send(self, kind, body, status=200):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def start():
    """Start the stub on a free loopback port; return its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
