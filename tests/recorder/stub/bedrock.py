"""Amazon Bedrock: Converse, InvokeModel in its makers' shapes, and AWS's event stream."""

from __future__ import annotations

import base64
import binascii
import json
import struct

from stub import anthropic
from stub.common import ARGUMENTS, SIGNATURE, TEXT, THOUGHT, TOOL, said, wants_tool, words

USAGE = {
    "inputTokens": 82,
    "outputTokens": 17,
    "totalTokens": 99,
    "cacheReadInputTokens": 64,
    "cacheWriteInputTokens": 7,
}


def converse(body):
    content = [{"text": TEXT}]
    stop = "end_turn"
    if wants_tool(body, answered="toolResult"):
        use = {"toolUseId": "tooluse_1", "name": TOOL, "input": ARGUMENTS}
        content, stop = [{"text": "I look it up."}, {"toolUse": use}], "tool_use"
    elif said(body["messages"], "reason"):
        text = {"text": THOUGHT, "signature": SIGNATURE}
        content = [
            {"reasoningContent": {"reasoningText": text}},
            {"reasoningContent": {"redactedContent": "cmVkYWN0ZWQ="}},
            *content,
        ]
    found = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop,
        "usage": USAGE,
        "metrics": {"latencyMs": 12},
    }
    if body.get("guardrailConfig"):
        found["trace"] = {"guardrail": {"actionReason": "No action."}}
    return found


def converse_stream(body):
    done = converse(body)
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(done["output"]["message"]["content"]):
        place = {"contentBlockIndex": index}
        if "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield "contentBlockStart", {"start": start, **place}
            text = json.dumps(use["input"])
            for part in (text[:5], text[5:]):
                yield "contentBlockDelta", {"delta": {"toolUse": {"input": part}}, **place}
        elif "text" in block:
            pieces = list(words()) if block["text"] == TEXT else [block["text"]]
            for piece in pieces:
                yield "contentBlockDelta", {"delta": {"text": piece}, **place}
        else:
            thought = block["reasoningContent"]
            if "reasoningText" in thought:
                for key, value in thought["reasoningText"].items():
                    delta = {"reasoningContent": {key: value}}
                    yield "contentBlockDelta", {"delta": delta, **place}
            else:
                yield "contentBlockDelta", {"delta": {"reasoningContent": thought}, **place}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": done["stopReason"]}
    yield "metadata", {"usage": done["usage"], "metrics": done["metrics"]}


def invoke(model, body):
    """Return the answer of InvokeModel in the shape of the model's maker."""
    if model.startswith("anthropic."):
        return anthropic.message({**body, "model": model.partition(".")[2]})
    if model.startswith("meta."):
        counts = {"prompt_token_count": 82, "generation_token_count": 17}
        return {"generation": TEXT, **counts, "stop_reason": "stop"}
    if "embed" in model:
        if model.startswith("cohere."):
            kept = {"id": "embed-1", "texts": body["texts"], "response_type": "embeddings_floats"}
            return {"embeddings": [[0.1, 0.2, 0.3]], **kept}
        return {"embedding": [0.1, 0.2, 0.3], "inputTextTokenCount": 5}
    if model.startswith("amazon.titan"):
        result = {"tokenCount": 17, "outputText": TEXT, "completionReason": "FINISH"}
        return {"inputTextTokenCount": 82, "results": [result]}
    if model.startswith("amazon.nova"):
        return converse(body)
    if model.startswith("mistral."):
        return {"outputs": [{"text": TEXT, "stop_reason": "stop"}]}
    if model.startswith("cohere."):
        return {
            "response_id": "cohere-1",
            "text": TEXT,
            "generation_id": "gen-1",
            "finish_reason": "COMPLETE",
            "chat_history": [
                {"role": "USER", "message": body.get("message")},
                {"role": "CHATBOT", "message": TEXT},
            ],
        }
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": TEXT},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 82, "completion_tokens": 17, "total_tokens": 99}
    return {"id": "chat-1", "choices": [choice], "usage": usage}


def invoke_stream(model, body):
    if model.startswith("anthropic."):
        pieces = list(anthropic.stream({**body, "model": model}))
        metrics = {"inputTokenCount": 82, "outputTokenCount": 17, "invocationLatency": 12}
        pieces[-1]["amazon-bedrock-invocationMetrics"] = metrics
    elif model.startswith("amazon.titan"):
        pieces = [{"outputText": word, "index": 0} for word in words()]
        pieces[-1]["completionReason"] = "FINISH"
    else:
        pieces = [{"generation": word, "stop_reason": None} for word in words()]
        pieces[-1] |= {
            "prompt_token_count": 82,
            "generation_token_count": 17,
            "stop_reason": "stop",
        }
    for piece in pieces:
        yield "chunk", {"bytes": base64.b64encode(json.dumps(piece).encode()).decode()}


def frame(kind, payload):
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


def frames(events):
    return b"".join(frame(kind, json.dumps(data).encode()) for kind, data in events)
