"""OpenAI's chat completions, text completions, embeddings and images, and what speaks like them."""

from __future__ import annotations

import json

from stub.common import (
    PNG,
    TEXT,
    THOUGHT,
    URL,
    WAV,
    said,
    tool_arguments,
    tool_name,
    wants_tool,
    words,
)

CREATED = 1750000000
FILTERED = {
    "hate": {"filtered": False, "severity": "safe"},
    "jailbreak": {"filtered": False, "detected": False},
}


def usage(body):
    reasoning = 9 if said(body, "reason") else 0
    return {
        "prompt_tokens": 82,
        "completion_tokens": 17,
        "total_tokens": 99,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 3,
            "rejected_prediction_tokens": 1,
        },
    }


def called(body):
    """Return the message that calls the first tool of the request."""
    tool = body["tools"][0]
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": tool_name(body), "arguments": json.dumps(tool_arguments(body))},
    }
    if tool["type"] == "custom":
        custom = {"name": tool["custom"]["name"], "input": "SELECT degrees FROM weather"}
        call = {"id": "call_1", "type": "custom", "custom": custom}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def message(body):
    """Return (message, finish reason) of an answer."""
    if wants_tool(body):
        return called(body), "tool_calls"
    answer = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    if "dspy" in body.get("model", ""):
        answer["content"] = "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]"
    if said(body, "refuse"):
        answer |= {"content": None, "refusal": "I cannot help with that."}
    if said(body, "reason"):
        answer["reasoning_content"] = THOUGHT
    if said(body, "cite"):
        citation = {"start_index": 0, "end_index": 5, "title": "Weather", "url": URL}
        answer["annotations"] = [{"type": "url_citation", "url_citation": citation}]
    if "audio" in body.get("modalities", ()):
        audio = {"id": "audio_1", "expires_at": CREATED, "data": WAV, "transcript": TEXT}
        answer |= {"content": None, "audio": audio}
    if (body.get("response_format") or {}).get("type") == "json_schema":
        answer["content"] = json.dumps({"city": "Paris", "degrees": 21})
    return answer, "stop"


def logprobs(body):
    if not body.get("logprobs"):
        return None
    token = {"token": "It", "logprob": -0.1, "bytes": [73, 116]}
    return {"content": [{**token, "top_logprobs": [token]}], "refusal": None}


def chat(body, *, azure=False):
    answer, finish = message(body)
    choice = {"message": answer, "logprobs": logprobs(body), "finish_reason": finish}
    if azure:
        choice["content_filter_results"] = FILTERED
    found = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": body.get("model", "gpt-4o-mini") + "-2024-07-18",
        "system_fingerprint": "fp_1",
        "service_tier": "default",
        "choices": [{"index": index, **choice} for index in range(body.get("n") or 1)],
        "usage": usage(body),
    }
    if azure:
        found["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": FILTERED}]
    return found


def chat_stream(body):
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED}
    base["model"] = body.get("model", "gpt-4o-mini")
    answer, finish = message(body)

    def piece(delta, reason=None):
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield piece({"role": "assistant", "content": ""})
    if answer.get("reasoning_content"):
        yield piece({"reasoning_content": answer["reasoning_content"]})
    for call in answer.get("tool_calls", ()):
        function = call["function"]
        yield piece(
            {"tool_calls": [{"index": 0, **call, "function": {**function, "arguments": ""}}]}
        )
        half = len(function["arguments"]) // 2
        for part in (function["arguments"][:half], function["arguments"][half:]):
            yield piece({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    if answer.get("content") == TEXT:
        for word in words():
            yield piece({"content": word})
    elif answer.get("content"):
        yield piece({"content": answer["content"]})
    yield piece({}, finish)
    yield {**base, "choices": [], "usage": usage(body)}


def completion(body):
    choice = {"text": TEXT, "index": 0, "logprobs": None, "finish_reason": "length"}
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": CREATED,
        "model": body["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": 8, "completion_tokens": 17, "total_tokens": 25},
    }


def embeddings(body):
    asked = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vector = [0.1, 0.2, 0.3]
    if body.get("encoding_format") == "base64":
        vector = "zczMPc3MTD6amZk+"
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index in range(len(asked))
        ],
        "model": body["model"],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


def images(_body):
    return {
        "created": CREATED,
        "data": [{"b64_json": PNG, "revised_prompt": "A sunny day in Paris."}],
        "usage": {"input_tokens": 9, "output_tokens": 272, "total_tokens": 281},
    }
