"""Anthropic's Messages API. Source: the API reference of ``/v1/messages``."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, without

REQUEST: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "stop_sequences": "stop_sequences",
    "stream": "stream",
}


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    messages = held.get("messages")
    if not isinstance(messages, list):
        return None
    answer = as_dict(outputs)
    replied = []
    reason = parts.finish_reason(answer.get("stop_reason"))
    if "content" in answer:
        reply = {
            "role": answer.get("role") or "assistant",
            "parts": parts.typed_list(answer["content"]),
        }
        replied = [{**reply, "finish_reason": reason} if reason else reply]
    return Conversation(
        system=parts.typed_list(held.get("system")),
        inputs=[_message(as_dict(item)) for item in messages],
        outputs=replied,
        tools=parts.definitions(held.get("tools")),
        request={name: held[key] for key, name in REQUEST.items() if held.get(key) is not None},
        response_id=answer.get("id") if isinstance(answer.get("id"), str) else None,
        response_model=answer.get("model") if isinstance(answer.get("model"), str) else None,
        finish_reasons=[reason] if reason else [],
        rest_inputs=without(held, "messages", "system", "model", "tools", *REQUEST) or None,
        rest_outputs=(
            without(answer, "id", "model", "role", "type", "content", "stop_reason", "usage")
            or None
            if "content" in answer
            else outputs
        ),
    )


def _message(item: dict[str, Any]) -> parts.Message:
    found = parts.typed_list(item.get("content"))
    # A tool's result travels as the user's words; the convention gives it a role of its own.
    only_results = bool(as_list(item.get("content"))) and all(
        part["type"] == "tool_call_response" for part in found
    )
    return {"role": "tool" if only_results else item.get("role") or "user", "parts": found}
