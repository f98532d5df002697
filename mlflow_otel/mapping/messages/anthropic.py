"""Anthropic's Messages API. Source: the API reference of ``/v1/messages``."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields
from mlflow_otel.mapping.model import Answered, Asked


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they have no messages."""
    held = Fields(inputs)
    given = held.take_list("messages")
    if not given or not {dict, str}.issuperset(map(type, given)):
        return None
    held.take_text("model", "modelId")
    system = items.part_list(held.take("system"))
    return sides.asked(chat.talk(given), held, system=system, tools=sides.tools(held))


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they are no message."""
    del inputs
    held = Fields(outputs)
    if not isinstance(held.get("content"), (str, list)) or "choices" in held:
        return None
    reason = parts.finish_reason(held.take_text("stop_reason"))
    held.drop("type", "message")
    made = sides.reply(items.part_list(held.take("content")), reason)
    who = held.take_text("role")
    if who:
        made["role"] = chat.role(who)
    return sides.answered([made], held, [reason] if reason else [])
