"""Gemini's generateContent and its neighbours."""

from __future__ import annotations

import json

from stub.common import (
    ARGUMENTS,
    PNG,
    SIGNATURE,
    TEXT,
    THOUGHT,
    TOOL,
    URL,
    WAV,
    said,
    wants_tool,
    words,
)


def parts(body):
    config = body.get("generationConfig", {})
    tools = body.get("tools") or [{}]
    found = []
    if config.get("thinkingConfig"):
        found.append({"text": THOUGHT, "thought": True, "thoughtSignature": SIGNATURE})
    if "functionDeclarations" in tools[0] and wants_tool(body, answered="functionResponse"):
        call = {"id": "fc_1", "name": TOOL, "args": ARGUMENTS}
        return [*found, {"functionCall": call, "thoughtSignature": SIGNATURE}]
    if any("codeExecution" in tool for tool in tools):
        found.append({"executableCode": {"language": "PYTHON", "code": "print(21)"}})
        found.append({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "21\n"}})
    if "IMAGE" in config.get("responseModalities", ()):
        found.append({"inlineData": {"mimeType": "image/png", "data": PNG}})
    if "AUDIO" in config.get("responseModalities", ()):
        return [*found, {"inlineData": {"mimeType": "audio/wav", "data": WAV}}]
    if config.get("responseMimeType") == "application/json":
        return [*found, {"text": json.dumps({"city": "Paris", "degrees": 21})}]
    return [*found, {"text": TEXT}]


def candidate(body, found):
    answer = {
        "content": {"parts": found, "role": "model"},
        "finishReason": "STOP",
        "index": 0,
        "avgLogprobs": -0.12,
        "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
    }
    if any("googleSearch" in tool for tool in body.get("tools", ())):
        answer["groundingMetadata"] = {
            "webSearchQueries": ["weather Paris"],
            "groundingChunks": [{"web": {"uri": URL, "title": "Weather"}}],
            "groundingSupports": [
                {
                    "segment": {"startIndex": 0, "endIndex": 5, "text": "It is"},
                    "groundingChunkIndices": [0],
                }
            ],
        }
    if said(body, "cite"):
        source = {"startIndex": 0, "endIndex": 5, "uri": URL, "license": "MIT"}
        answer["citationMetadata"] = {"citationSources": [source]}
    return answer


USAGE = {
    "promptTokenCount": 82,
    "candidatesTokenCount": 17,
    "totalTokenCount": 108,
    "cachedContentTokenCount": 64,
    "thoughtsTokenCount": 9,
    "toolUsePromptTokenCount": 3,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 82}],
}


def wrapped(answer):
    return {
        "candidates": [answer],
        "usageMetadata": USAGE,
        "modelVersion": "gemini-2.0-flash-001",
        "responseId": "gemini-1",
    }


def answer(body):
    if said(body, "refuse"):
        return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}
    return wrapped(candidate(body, parts(body)))


def stream(body):
    *before, last = parts(body)
    pieces = [{"text": word} for word in words()] if last == {"text": TEXT} else [last]
    for part in [*before, *pieces]:
        yield wrapped(candidate(body, [part]))


def embed(body):
    count = len(body.get("requests", [0]))
    return {"embeddings": [{"values": [0.1, 0.2, 0.3]} for _ in range(count)]}


def count(_body):
    return {"totalTokens": 82, "cachedContentTokenCount": 64}
