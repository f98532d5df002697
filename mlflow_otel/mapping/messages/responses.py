"""OpenAI's Responses API and its Agents SDK. Source: the API reference of ``/v1/responses``."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import openai, parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, as_text, without


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    given: Any = held.get("input")
    if isinstance(inputs, list):  # the Agents SDK's generation and response spans
        given, held = inputs, {}
    if given is None:
        return None
    said: list[parts.Message] = (
        [{"role": "user", "parts": [parts.text(given)]}]
        if isinstance(given, str)
        else _items(given)
    )
    system = [part for m in said if m["role"] in openai.SYSTEM_ROLES for part in m["parts"]]
    said = [m for m in said if m["role"] not in openai.SYSTEM_ROLES]
    answer = as_dict(outputs)
    produced = outputs if isinstance(outputs, list) else answer.get("output")
    instructions = held.get("instructions") or answer.get("instructions")
    if isinstance(instructions, str):
        system = [parts.text(instructions), *system]
    if isinstance(produced, str):
        replied: list[parts.Message] = [{"role": "assistant", "parts": [parts.text(produced)]}]
    else:
        replied = _items(produced, "assistant")
    reason = parts.finish_reason(
        as_dict(answer.get("incomplete_details")).get("reason") or answer.get("status")
    )
    if reason == "stop" and any(p["type"] == "tool_call" for m in replied for p in m["parts"]):
        reason = "tool_call"
    echoed = ("id", "model", "output", "usage", "object", "status", "instructions", "tools")
    rest_outputs = (
        without(answer, *echoed, *openai.REQUEST)
        if "output" in answer
        else (None if produced is not None else outputs)
    )
    return Conversation(
        system=system,
        inputs=said,
        outputs=replied,
        tools=parts.definitions(held.get("tools")),
        request=openai.request_parameters(held),
        response_id=answer.get("id") if isinstance(answer.get("id"), str) else None,
        response_model=answer.get("model") if isinstance(answer.get("model"), str) else None,
        finish_reasons=[reason] if reason else [],
        rest_inputs=without(held, "input", "model", "instructions", "tools", *openai.REQUEST)
        or None,
        rest_outputs=rest_outputs or None,
    )


def _items(items: Any, role: str = "user") -> list[parts.Message]:
    """Return a list of items as messages; the answer's items are one message of the assistant."""
    messages: list[parts.Message] = []
    for item in as_list(items):
        held = as_dict(item)
        kind = as_text(held.get("type") or "message")
        if kind == "message" or "role" in held:
            own = held.get("role") if isinstance(held.get("role"), str) else role
            found = parts.typed_list(held.get("content"))
            if held.get("tool_calls"):
                found = openai.message(held)["parts"]
        elif kind == "function_call_output":
            own, found = "tool", [parts.typed(held)]
        else:
            own, found = "assistant", [parts.typed(item)]
        if messages and messages[-1]["role"] == own == "assistant":
            messages[-1]["parts"].extend(found)
        else:
            messages.append({"role": own, "parts": found})
    return messages
