"""OpenAI's Responses API and its Agents SDK. Source: the API reference of ``/v1/responses``."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import chat, parts, sides
from mlflow_otel.mapping.messages.fields import Fields
from mlflow_otel.mapping.messages.parts import Message, Part
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.values import as_dict


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they are no items."""
    given = inputs if isinstance(inputs, list) else as_dict(inputs).get("input")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given or not {dict, str}.issuperset(map(type, given)):
        return None
    held = Fields(inputs)
    held.take("input")
    held.take_text("model")
    system = _instructions(held)
    side = sides.asked(
        chat.talk(given, together=True), held, tools=sides.tools(held), system=system
    )
    return sides.with_all_instructions(side)


def _instructions(held: Fields) -> list[Part]:
    """Take the instructions: a text, or items of their own."""
    given = held.get("instructions")
    if isinstance(given, str) and given:
        return [parts.text(held.take("instructions"))]
    if isinstance(given, list) and given and chat.is_talk(given):
        said = chat.talk(held.take("instructions"), "system", together=True)
        return [part for made in said for part in _instructing(made)]
    held.drop("instructions", "")
    return []


def _instructing(made: Message) -> list[Part]:
    """Return a message's parts as instructions. Who speaks stays where it is not the system."""
    known = made["role"] in chat.SYSTEM_ROLES
    return chat.on_parts(made if known else {**made, "item_role": made["role"]})


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they are no items."""
    produced = outputs if isinstance(outputs, list) else as_dict(outputs).get("output")
    if isinstance(produced, str):
        produced = [produced]
    if not isinstance(produced, list) or not {dict, str}.issuperset(map(type, produced)):
        return None
    held = Fields(outputs)
    if not produced and "status" not in held:
        return None
    if not all(map(_is_item, produced)):
        return None
    held.take("output")
    said = chat.talk(produced, "assistant", together=True)
    held.drop("object", "response")
    reason = parts.finish_reason(held.inner("incomplete_details").take_text("reason"))
    status = held.get("status")
    if reason is None and status not in UNFINISHED:
        reason = parts.finish_reason(status)
        held.drop("status", "completed")
    held.drop("status", "incomplete")
    if reason == "stop" and any(p["type"] == "tool_call" for m in said for p in m["parts"]):
        reason = "tool_call"
    if isinstance(outputs, dict):
        _drop_echo(held, as_dict(inputs))
    return sides.answered(said, held, [reason] if reason else None)


UNFINISHED: Final = ("queued", "in_progress")
"""The status of a background response that has not ended."""


def _is_item(item: Any) -> bool:
    """Tell whether something is a text, a message or an item, and no event or chunk of a stream."""
    if isinstance(item, str) or chat.is_message(item):
        return True
    kind = as_dict(item).get("type")
    return isinstance(kind, str) and not kind.startswith("response.")


def _drop_echo(held: Fields, asked: dict[str, Any]) -> None:
    """Drop the fields in which a response only repeats its request."""
    for key, value in asked.items():
        if key != "model":
            held.drop_repeated(key, value)
