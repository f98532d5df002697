"""Google's Gen AI SDK. Source: the API reference of ``models.generateContent``."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, as_text, without

REQUEST: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop_sequences",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "candidate_count": "choice.count",
}
ROLES: Final = {"model": "assistant", "function": "tool"}


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    contents = held.get("contents", held.get("content", held.get("message")))
    if contents is None:
        return None
    config = as_dict(held.get("config")) or as_dict(held.get("generation_config"))
    system = config.get("system_instruction", held.get("system_instruction"))
    answer = as_dict(outputs)
    replied = []
    reasons = []
    for candidate in as_list(answer.get("candidates")):
        reason = parts.finish_reason(as_dict(candidate).get("finish_reason"))
        reply = _content(as_dict(candidate).get("content"), "assistant")
        if reason == "stop" and any(part["type"] == "tool_call" for part in reply["parts"]):
            reason = "tool_call"
        if reason:
            reasons.append(reason)
            reply["finish_reason"] = reason
        replied.append(reply)
    declared = [
        declaration
        for tool in as_list(config.get("tools"))
        for declaration in as_list(as_dict(tool).get("function_declarations"))
    ]
    rest_config = without(config, "system_instruction", "tools", *REQUEST)
    rest = without(
        held,
        "contents",
        "content",
        "message",
        "config",
        "generation_config",
        "model",
        "system_instruction",
    )
    if rest_config:
        rest["config"] = rest_config
    return Conversation(
        system=_content(system, "system")["parts"] if system is not None else [],
        inputs=_contents(contents),
        outputs=replied,
        tools=parts.definitions(declared),
        request={name: config[key] for key, name in REQUEST.items() if config.get(key) is not None},
        response_id=answer.get("response_id"),
        response_model=answer.get("model_version"),
        finish_reasons=reasons,
        rest_inputs=rest or None,
        rest_outputs=(
            without(answer, "candidates", "response_id", "model_version", "usage_metadata") or None
            if replied
            else outputs
        ),
    )


def _contents(contents: Any) -> list[parts.Message]:
    if not isinstance(contents, list):
        return [_content(contents, "user")]
    if any("parts" in as_dict(item) for item in contents):
        return [_content(item, "user") for item in contents]
    return [{"role": "user", "parts": [_part(item) for item in contents]}]


def _content(content: Any, role: str) -> parts.Message:
    held = as_dict(content)
    if "parts" in held:
        own = held.get("role")
        found = [_part(item) for item in as_list(held["parts"])]
        role = ROLES.get(own, own) if isinstance(own, str) and own else role
        if found and all(part["type"] == "tool_call_response" for part in found):
            role = "tool"
        return {"role": role, "parts": found}
    if isinstance(content, list):
        return {"role": role, "parts": [_part(item) for item in content]}
    return {"role": role, "parts": [] if content is None else [_part(content)]}


def _part(item: Any) -> parts.Part:
    if not isinstance(item, dict):
        return parts.text(item)
    held = without(item)
    if "function_call" in held:
        call = as_dict(held["function_call"])
        return parts.tool_call(call.get("name"), call.get("args"), call.get("id"))
    if "function_response" in held:
        answer = as_dict(held["function_response"])
        return parts.tool_response(answer.get("response"), answer.get("id") or answer.get("name"))
    if "inline_data" in held:
        data = as_dict(held["inline_data"])
        mime = as_text(data.get("mime_type") or "application/octet-stream")
        return parts.media(data.get("data", ""), _modality(mime), mime)
    if "file_data" in held:
        data = as_dict(held["file_data"])
        mime = as_text(data.get("mime_type") or "application/octet-stream")
        return parts.media(data.get("file_uri", ""), _modality(mime), mime)
    if "text" in held:
        return parts.reasoning(held["text"]) if held.get("thought") else parts.text(held["text"])
    return parts.other(held)


def _modality(mime_type: str) -> str:
    head = mime_type.partition("/")[0]
    return head if head in {"image", "audio", "video"} else "document"
