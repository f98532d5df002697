"""AutoGen's model clients. Source: ``autogen_core.models`` 0.7."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import openai, parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, without

ROLES: Final = {
    "SystemMessage": "system",
    "UserMessage": "user",
    "AssistantMessage": "assistant",
    "FunctionExecutionResultMessage": "tool",
}


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    messages = held.get("messages")
    if not isinstance(messages, list) or not all(as_dict(m).get("type") in ROLES for m in messages):
        return None
    said = [_message(item) for item in messages]
    answer = as_dict(outputs)
    reason = parts.finish_reason(answer.get("finish_reason"))
    replied = []
    if "content" in answer:
        found = [parts.reasoning(answer["thought"])] if answer.get("thought") else []
        found += _content(answer["content"])
        replied = [
            {"role": "assistant", "parts": found, **({"finish_reason": reason} if reason else {})}
        ]
    extra = as_dict(held.get("extra_create_args"))
    # The token that cancels a call is a handle of the process, not a value.
    rest = without(
        held, "messages", "tools", "cancellation_token", "extra_create_args", *openai.REQUEST
    )
    if without(extra, *openai.REQUEST):
        rest["extra_create_args"] = without(extra, *openai.REQUEST)
    return Conversation(
        system=[part for m in said if m["role"] == "system" for part in m["parts"]],
        inputs=[m for m in said if m["role"] != "system"],
        outputs=replied,
        tools=parts.definitions(held.get("tools")),
        request=openai.request_parameters({**extra, **held}),
        finish_reasons=[reason] if reason else [],
        rest_inputs=rest or None,
        rest_outputs=(
            without(answer, "content", "thought", "finish_reason", "usage") or None
            if replied
            else outputs
        ),
    )


def _message(item: dict[str, Any]) -> parts.Message:
    found = [parts.reasoning(item["thought"])] if item.get("thought") else []
    message: parts.Message = {
        "role": ROLES[item["type"]],
        "parts": found + _content(item.get("content")),
    }
    if item.get("source"):
        message["name"] = item["source"]
    return message


def _content(content: Any) -> list[parts.Part]:
    if not isinstance(content, list):
        return parts.typed_list(content)
    found = []
    for item in as_list(content):
        held = as_dict(item)
        if "call_id" in held:
            found.append(parts.tool_response(held.get("content"), held["call_id"]))
        elif "arguments" in held:
            found.append(parts.tool_call(held.get("name"), held["arguments"], held.get("id")))
        else:
            found.append(parts.typed(item))
    return found
