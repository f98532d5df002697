"""Amazon Bedrock's Converse API. Source: the API reference of ``Converse``."""

from __future__ import annotations

import ast
import base64
from typing import Any, Final

from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, as_text, without

REQUEST: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "maxTokens": "max_tokens",
    "stopSequences": "stop_sequences",
}
MEDIA: Final = {"image": "image", "video": "video", "audio": "audio", "document": "document"}


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    messages = held.get("messages")
    if not isinstance(messages, list):
        return None
    config = as_dict(held.get("inferenceConfig"))
    tool_config = as_dict(held.get("toolConfig"))
    answer = as_dict(outputs)
    reason = parts.finish_reason(answer.get("stopReason"))
    message = as_dict(answer.get("output")).get("message")
    replied = []
    if isinstance(message, dict):
        reply = _message(message)
        replied = [{**reply, "finish_reason": reason} if reason else reply]
    rest = without(held, "messages", "system", "modelId", "inferenceConfig", "toolConfig")
    if without(config, *REQUEST):
        rest["inferenceConfig"] = without(config, *REQUEST)
    if without(tool_config, "tools"):
        rest["toolConfig"] = without(tool_config, "tools")
    request_id = as_dict(answer.get("ResponseMetadata")).get("RequestId")
    return Conversation(
        system=[_part(item) for item in as_list(held.get("system"))],
        inputs=[_message(as_dict(item)) for item in messages],
        outputs=replied,
        tools=parts.definitions(tool_config.get("tools")),
        request={name: config[key] for key, name in REQUEST.items() if config.get(key) is not None},
        response_id=request_id if isinstance(request_id, str) else None,
        finish_reasons=[reason] if reason else [],
        rest_inputs=rest or None,
        rest_outputs=(
            without(answer, "output", "stopReason", "usage") or None if replied else outputs
        ),
    )


def _message(item: dict[str, Any]) -> parts.Message:
    found = [_part(part) for part in as_list(item.get("content"))]
    role = item.get("role") or "user"
    if found and all(part["type"] == "tool_call_response" for part in found):
        role = "tool"
    return {"role": role, "parts": found}


def _part(item: Any) -> parts.Part:
    if not isinstance(item, dict):
        return parts.text(item)
    if "text" in item:
        return parts.text(item["text"])
    if "toolUse" in item:
        use = as_dict(item["toolUse"])
        return parts.tool_call(use.get("name"), use.get("input"), use.get("toolUseId"))
    if "toolResult" in item:
        result = as_dict(item["toolResult"])
        content = as_list(result.get("content"))
        plain = [as_dict(c).get("json", as_dict(c).get("text", c)) for c in content]
        answer = parts.tool_response(
            plain[0] if len(plain) == 1 else plain, result.get("toolUseId")
        )
        return {**answer, **({"status": result["status"]} if "status" in result else {})}
    if "reasoningContent" in item:
        held = as_dict(item["reasoningContent"])
        said = as_dict(held.get("reasoningText"))
        return {**parts.reasoning(said.get("text", "")), **without(said, "text")}
    for key, modality in MEDIA.items():
        if isinstance(item.get(key), dict):
            return _media(item[key], modality)
    return parts.other(item)


def _media(held: dict[str, Any], modality: str) -> parts.Part:
    source = as_dict(held.get("source"))
    uri = as_dict(source.get("s3Location")).get("uri")
    kind = held.get("format")
    mime = f"{'application' if modality == 'document' else modality}/{kind}" if kind else None
    return parts.media(uri or _base64(source.get("bytes", "")), modality, mime)


def _base64(data: Any) -> str:
    # MLflow writes bytes as Python's repr; the convention wants base64.
    text = as_text(data)
    if text[:2] in ("b'", 'b"'):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
        return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else text
    return text
