"""AutoGen's model clients. Source: ``autogen_core.models`` 0.7."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Message, Part
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.placeholders import is_handle
from mlflow_otel.mapping.values import present

ROLES: Final = {
    "SystemMessage": "system",
    "UserMessage": "user",
    "AssistantMessage": "assistant",
    "FunctionExecutionResultMessage": "tool",
}


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they have no messages of AutoGen's types."""
    held = Fields(inputs)
    given = held.take_list("messages")
    if not given or not any(_is_typed(m) for m in given):
        return None
    if not all(isinstance(m, dict) for m in given):
        return None
    said = [_message(item) for item in given]
    if is_handle(held.get("cancellation_token")):
        held.take("cancellation_token")
    return sides.with_all_instructions(sides.asked(said, held, tools=sides.tools(held)))


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they have no content."""
    del inputs
    held = Fields(outputs)
    if not isinstance(held.get("content"), (str, list)) or "role" in held:
        return None
    contents = _thought(held) + _content(held.take("content"))
    reason = parts.finish_reason(held.take_text("finish_reason"))
    made: Message = {"role": "assistant", "parts": contents}
    if reason:
        made["finish_reason"] = reason
    return sides.answered([made], held)


def _is_typed(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("type"), str) and item["type"] in ROLES


def _message(item: dict[str, Any]) -> Message:
    if not _is_typed(item):
        return chat.message(item)
    held = Fields(item)
    made: Message = {"role": ROLES[held.take("type")]}
    made["parts"] = _thought(held) + _content(held.take("content"))
    name = held.take_text("source")
    if name:
        made["name"] = name
    return carry(made, held.rest(), chat.RESERVED)


def _thought(held: Fields) -> list[Part]:
    thought = held.take_text("thought")
    return [parts.reasoning(thought)] if thought else []


def _content(content: Any) -> list[Part]:
    if not isinstance(content, list):
        return items.part_list(content)
    return [parts.safely(_item, item) for item in content]


IMAGE: Final = frozenset({"data"})


def _item(item: Any) -> Part:
    held = Fields(item)
    if isinstance(item, dict) and present(item).keys() == IMAGE and isinstance(item["data"], str):
        return parts.media(item["data"], "image")
    if "call_id" in held:
        answer = held.take("content")
        return parts.tool_response(answer, held.take_id("call_id"), held.rest())
    if "arguments" in held:
        name, arguments = held.take_text("name"), held.take("arguments")
        return parts.tool_call(name, arguments, held.take_id("id"), held.rest())
    return items.part(item)
