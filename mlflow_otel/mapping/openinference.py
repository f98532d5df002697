"""The OpenInference vocabulary of a span (docs/mapping.md, "Vocabularies"), from what the mapping found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import openinference as oi
from mlflow_otel.mapping import embeddings, span_types
from mlflow_otel.mapping.model import Conversation, TraceContext
from mlflow_otel.mapping.values import as_dict, as_float, as_int, as_list, as_text, dumps

_SAME_VALUE = {
    genai.USAGE_INPUT_TOKENS: oi.LLM_TOKENS_PROMPT,
    genai.USAGE_OUTPUT_TOKENS: oi.LLM_TOKENS_COMPLETION,
    genai.USAGE_CACHE_READ: oi.LLM_TOKENS_CACHE_READ,
    genai.USAGE_CACHE_WRITE: oi.LLM_TOKENS_CACHE_WRITE,
    genai.USAGE_REASONING: oi.LLM_TOKENS_REASONING,
    genai.USAGE_AUDIO_INPUT: oi.LLM_TOKENS_AUDIO_PROMPT,
    genai.USAGE_AUDIO_OUTPUT: oi.LLM_TOKENS_AUDIO_COMPLETION,
    genai.TOOL_NAME: oi.TOOL_NAME,
    genai.TOOL_CALL_ID: oi.TOOL_ID,
    genai.AGENT_NAME: oi.AGENT_NAME,
    genai.REQUEST_MODEL: oi.LLM_REQUEST_MODEL_NAME,
    genai.RESPONSE_MODEL: oi.LLM_RESPONSE_MODEL_NAME,
}
_PROVIDERS = {
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "mistral_ai": "mistralai",
    "x_ai": "xai",
    "moonshot_ai": "moonshot",
}
_SYSTEMS = {
    "gcp.gemini": "vertexai",
    "gcp.vertex_ai": "vertexai",
    "azure.ai.openai": "openai",
    "mistral_ai": "mistralai",
}
"""The convention's names of providers in OpenInference's spelling: who hosts, and whose API it is."""
_COSTS = {
    "input_cost": oi.LLM_COST_PROMPT,
    "output_cost": oi.LLM_COST_COMPLETION,
    "total_cost": oi.LLM_COST_TOTAL,
}


def attributes(
    span_type: str | None,
    inputs: Any,
    outputs: Any,
    said: Mapping[str, Any],
    conversation: Conversation | None,
    parameters: Mapping[str, Any],
    usage: Any,
    cost: Any,
    documents: list[dict[str, Any]] | None,
) -> dict[str, Any]:
    """Return the OpenInference attributes of an MLflow span.

    Args:
        span_type: MLflow's.
        inputs: Decoded.
        outputs: Decoded.
        said: The span's GenAI attributes.
        conversation: Its messages, when it is a chat.
        parameters: What the call was asked with, by the API's names.
        usage: MLflow's token usage.
        cost: MLflow's cost, USD.
        documents: The documents that came back.
    """
    kind = span_types.row(span_type).openinference
    result: dict[str, Any] = {oi.SPAN_KIND: kind}
    for value, key, mime in (
        (inputs, oi.INPUT_VALUE, oi.INPUT_MIME_TYPE),
        (outputs, oi.OUTPUT_VALUE, oi.OUTPUT_MIME_TYPE),
    ):
        if value is not None:
            result[key] = as_text(value)
            result[mime] = oi.MIME_TEXT if isinstance(value, str) else oi.MIME_JSON
    for source, target in _SAME_VALUE.items():
        if source in said:
            result[target] = said[source]
    total = as_int(as_dict(usage).get("total_tokens"))
    if total is not None:
        result[oi.LLM_TOKENS_TOTAL] = total
    for name, key in _COSTS.items():
        dollars = as_float(as_dict(cost).get(name))
        if dollars is not None:
            result[key] = dollars
    model = said.get(genai.RESPONSE_MODEL) or said.get(genai.REQUEST_MODEL)
    if model is not None:
        result[oi.EMBEDDING_MODEL_NAME if kind == "EMBEDDING" else oi.LLM_MODEL_NAME] = model
    if genai.PROVIDER_NAME in said:
        provider = said[genai.PROVIDER_NAME]
        result[oi.LLM_PROVIDER] = _PROVIDERS.get(provider, provider)
        result[oi.LLM_SYSTEM] = _SYSTEMS.get(provider, provider)
    reasons = said.get(genai.RESPONSE_FINISH_REASONS)
    if reasons:
        result[oi.LLM_FINISH_REASON] = reasons[0]
    if genai.TOOL_CALL_ARGUMENTS in said:
        result[oi.TOOL_PARAMETERS] = said[genai.TOOL_CALL_ARGUMENTS]
    if kind == "EMBEDDING":
        result |= _embeddings(inputs, outputs)
    for index, document in enumerate(documents or ()):
        for name in ("id", "content", "score"):
            if name in document:
                result[f"{oi.RETRIEVAL_DOCUMENTS}.{index}.document.{name}"] = document[name]
        if "metadata" in document:
            result[f"{oi.RETRIEVAL_DOCUMENTS}.{index}.document.metadata"] = dumps(
                document["metadata"]
            )
    if parameters:
        place = (
            oi.EMBEDDING_INVOCATION_PARAMETERS
            if kind == "EMBEDDING"
            else oi.LLM_INVOCATION_PARAMETERS
        )
        result[place] = dumps(parameters)
    if conversation is not None:
        result |= _conversation(conversation)
    return result


def trace_attributes(trace: TraceContext) -> dict[str, Any]:
    """Return the trace's metadata and tags in OpenInference's words, for entry spans."""
    metadata = {k: v for k, v in trace.metadata.items() if not str(k).startswith("mlflow.")}
    tags = [f"{k}:{as_text(v)}" for k, v in trace.tags.items() if not str(k).startswith("mlflow.")]
    result: dict[str, Any] = {}
    if metadata:
        result[oi.METADATA] = dumps(metadata)
    if tags:
        result[oi.TAGS] = tags
    return result


def _conversation(conversation: Conversation) -> dict[str, Any]:
    result: dict[str, Any] = {}
    given = list(conversation.inputs)
    if conversation.system:
        given.insert(0, {"role": "system", "parts": conversation.system})
    for prefix, messages in (
        (oi.LLM_INPUT_MESSAGES, given),
        (oi.LLM_OUTPUT_MESSAGES, conversation.outputs),
    ):
        split = (one for message in messages for one in _split(message))
        for index, message in enumerate(split):
            result |= _message(f"{prefix}.{index}.message", message)
    for index, tool in enumerate(conversation.tools):
        schema = tool
        if tool.get("type") == "function":
            schema = {
                "type": "function",
                "function": {k: v for k, v in tool.items() if k != "type"},
            }
        result[f"{oi.LLM_TOOLS}.{index}.tool.json_schema"] = dumps(schema)
    return result


def _split(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a message for each tool's answer, and one for what else it says."""
    parts = as_list(message.get("parts"))
    answers = [part for part in parts if part["type"] == "tool_call_response"]
    if len(answers) == 0 or len(parts) == 1:
        yield message
        return
    yield from ({"role": "tool", "parts": [answer]} for answer in answers)
    others = [part for part in parts if part["type"] != "tool_call_response"]
    if others:
        role = "user" if message["role"] == "tool" else message["role"]
        yield {**message, "role": role, "parts": others}


def _message(prefix: str, message: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {f"{prefix}.role": message["role"]}
    if isinstance(message.get("name"), str):
        result[f"{prefix}.name"] = message["name"]
    parts = as_list(message.get("parts"))
    content = [part for part in parts if part["type"] not in {"tool_call", "tool_call_response"}]
    if len(content) == 1 and content[0]["type"] == "text":
        result[f"{prefix}.content"] = as_text(content[0]["content"])
    else:
        for index, part in enumerate(content):
            result |= _content(f"{prefix}.contents.{index}.message_content", part)
    for index, part in enumerate(part for part in parts if part["type"] == "tool_call"):
        call = f"{prefix}.tool_calls.{index}.tool_call"
        if "id" in part:
            result[f"{call}.id"] = part["id"]
        if "name" in part:
            result[f"{call}.function.name"] = part["name"]
        if "arguments" in part:
            result[f"{call}.function.arguments"] = as_text(part["arguments"])
        signature = part.get("thought_signature", part.get("signature"))
        if isinstance(signature, str):
            result[f"{call}.reasoning_signature"] = signature
    for part in parts:
        if part["type"] == "tool_call_response":
            if "response" in part:
                result[f"{prefix}.content"] = as_text(part["response"])
            if "id" in part:
                result[f"{prefix}.tool_call_id"] = part["id"]
            if isinstance(part.get("name"), str):
                result.setdefault(f"{prefix}.name", part["name"])
    return result


MEDIA: Final = {"image": "image", "audio": "audio", "video": "video", "document": "document"}
BESIDE_MEDIA: Final = {
    "mime_type": "mime_type",
    "transcript": "transcript",
    "filename": "name",
    "name": "name",
}
BESIDE_TEXT: Final = ("id", "signature", "encrypted_content", "data")


def _content(prefix: str, part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    modality = MEDIA.get(part.get("modality", ""))
    if kind in {"blob", "uri", "file"} and modality is not None:
        return _media(prefix, part, modality)
    text = part.get("content")
    result = {
        f"{prefix}.type": "reasoning" if kind == "reasoning" else "text",
        f"{prefix}.text": text if isinstance(text, str) else dumps(dict(part)),
    }
    for name in BESIDE_TEXT:
        if isinstance(part.get(name), str):
            result[f"{prefix}.{name}"] = part[name]
    return result


def _media(prefix: str, part: Mapping[str, Any], modality: str) -> dict[str, Any]:
    place = f"{prefix}.{modality}.{modality}"
    result = {f"{prefix}.type": modality}
    if part["type"] == "file":
        result[f"{place}.id"] = as_text(part.get("file_id"))
    elif part["type"] == "uri":
        result[f"{place}.url"] = as_text(part.get("uri"))
    else:
        mime = part.get("mime_type") or WHOLE_MIME[modality]
        result[f"{place}.url"] = f"data:{mime};base64,{part.get('content', '')}"
    for name, target in BESIDE_MEDIA.items():
        if isinstance(part.get(name), str):
            result[f"{place}.{target}"] = part[name]
    return result


WHOLE_MIME: Final = {
    "image": "image/*",
    "audio": "audio/*",
    "video": "video/*",
    "document": "application/octet-stream",
}


def _embeddings(inputs: Any, outputs: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for index, text in enumerate(embeddings.texts(inputs)):
        result[f"{oi.EMBEDDING_EMBEDDINGS}.{index}.embedding.text"] = as_text(text)
    for index, vector in enumerate(embeddings.vectors(outputs)):
        result[f"{oi.EMBEDDING_EMBEDDINGS}.{index}.embedding.vector"] = vector
    return result
