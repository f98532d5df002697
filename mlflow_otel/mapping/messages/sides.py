"""What the formats have in common: a side that was understood, and what it leaves."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages.chat import SYSTEM_ROLES, instructions, on_parts
from mlflow_otel.mapping.messages.fields import Fields
from mlflow_otel.mapping.messages.parts import Message, Part
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.tools import defined


def asked(
    said: list[Message],
    held: Fields,
    *,
    system: list[Part] | None = None,
    tools: list[dict[str, Any]] | None = None,
) -> Asked:
    """Return a request's side: its messages, less the instructions that lead them, and its rest.

    Args:
        said: The messages.
        held: The inputs, less what is in the messages.
        system: Instructions that stand beside the messages.
        tools: Definitions of tools.
    """
    leading, said = instructions(said)
    return Asked(said, [*(system or ()), *leading], tools or [], held.rest() or None)


def tools(held: Fields, *keys: str) -> list[dict[str, Any]]:
    """Take the definitions of tools; those whose shape is not known stay."""
    for key in keys or ("tools",):
        given = held.take_list(key)
        if given:
            definitions, left = defined(given)
            if left:
                held.put(key, [given[place] for place in left])
            return definitions
    return []


def with_all_instructions(side: Asked) -> Asked:
    """Move instructions that stand among the messages to the system instructions."""
    later = [made for made in side.messages if made["role"] in SYSTEM_ROLES]
    if later:
        side.system += [part for made in later for part in on_parts(made)]
        side.messages = [made for made in side.messages if made["role"] not in SYSTEM_ROLES]
    return side


def answered(
    said: list[Message],
    held: Fields,
    reasons: list[str] | None = None,
    *,
    identity: tuple[str, ...] = ("id",),
    model: tuple[str, ...] = ("model",),
) -> Answered:
    """Return a response's side.

    Args:
        said: The messages.
        held: The outputs, less what is in the messages.
        reasons: Why each answer ended; those of the messages when None.
        identity: Names of the response's ID.
        model: Names of the model that answered.
    """
    if reasons is None:
        reasons = [m["finish_reason"] for m in said if m.get("finish_reason")]
    return Answered(
        said,
        held.take_text(*identity) or None,
        held.take_text(*model) or None,
        reasons,
        held.rest() or None,
    )


def reply(contents: list[Part], reason: str | None = None) -> Message:
    """Return an assistant's message. If it stops to call a tool, its reason is ``tool_call``."""
    if reason == "stop" and any(part["type"] == "tool_call" for part in contents):
        reason = "tool_call"
    made: Message = {"role": "assistant", "parts": contents}
    if reason:
        made["finish_reason"] = reason
    return made
