"""LlamaIndex's chat messages, which are lists of blocks. Source: ``llama-index-core`` 0.14."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields, carry, texts, unsaid
from mlflow_otel.mapping.messages.parts import Message, Part
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.values import as_dict, as_list


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they have neither messages nor a prompt."""
    held = Fields(inputs)
    given = held.get("messages")
    arguments = held.get("args")
    if _are_messages(given):
        held.take("messages")
        said = [_message(item) for item in given]
    elif isinstance(arguments, list) and arguments and isinstance(arguments[0], str):
        said = [{"role": "user", "parts": [parts.text(arguments[0])]}]  # complete(prompt)
        held.put("args", arguments[1:])
    else:
        said = _turn(held)
        if not said:
            return None
    held.take_text("model")
    return sides.with_all_instructions(
        sides.asked(said, held, tools=sides.tools(held.inner("kwargs")))
    )


def _turn(held: Fields) -> list[Message]:
    """Take what an agent is asked: the talk so far, and the new message, a text or an object."""
    said: list[Message] = []
    past, new = held.get("chat_history"), held.get("user_msg")
    if _are_messages(past):
        said += [_message(item) for item in held.take_list("chat_history")]
    if isinstance(new, (str, dict)) and new:
        held.take("user_msg")
        said.append(
            _message(new) if isinstance(new, dict) else {"role": "user", "parts": [parts.text(new)]}
        )
    return said


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they have neither a message nor a text."""
    del inputs
    held = Fields(outputs)
    raw = as_dict(held.get("raw"))
    if isinstance(held.get("message"), dict):
        made = _message(held.take("message"))
    elif is_agents_answer(outputs):
        made = _message(held.inner("result").take("response"))
    elif _are_messages(held.get("messages")):  # what a call was prepared with
        return sides.answered([_message(item) for item in held.take("messages")], held)
    elif isinstance(held.get("text"), str):
        made = {"role": "assistant", "parts": items.part_list(held.take_text("text"))}
    else:
        return None
    reasons = [
        parts.finish_reason(as_dict(c).get("finish_reason")) for c in as_list(raw.get("choices"))
    ]
    finish = [reason for reason in reasons if reason]
    if finish:
        made.setdefault("finish_reason", finish[0])
    side = sides.answered([made], held, finish)
    # `raw` is the provider's own answer: its ID and model are the response's, and it has the message again.
    for name, key in (("response_id", "id"), ("response_model", "model")):
        if getattr(side, name) is None and isinstance(raw.get(key), str):
            setattr(side, name, raw[key])
    if isinstance(side.rest, dict) and raw:
        said = {*texts([made, side.response_id, side.response_model]), *REPEATED}
        side.rest = {**side.rest, "raw": unsaid(raw, said)}
    return side


def _are_messages(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(i, dict) for i in given)


def is_agents_answer(outputs: Any) -> bool:
    """Tell whether outputs are the result of an agent's run, whose response is a message."""
    response = as_dict(as_dict(as_dict(outputs).get("result")).get("response"))
    return response.get("blocks") is not None


REPEATED = frozenset({"chat.completion", "assistant", "function", *parts.FINISH_REASONS})
"""Words of a provider's answer that the message expresses in another way."""


def _message(item: dict[str, Any]) -> Message:
    if not isinstance(item.get("blocks"), list):
        return chat.message(item)
    held = Fields(item)
    who = held.take_text("role")
    who = chat.role(who) if who else "user"
    extra = held.inner("additional_kwargs")
    contents = [parts.safely(_block, block) for block in held.take_list("blocks")]
    if who == "tool":
        call_id = extra.take_id("tool_call_id") or held.take_id("tool_call_id")
        rest = held.flat("additional_kwargs")
        plain = all(part.keys() == {"type", "content"} for part in contents)
        answer: Any = "\n".join(part["content"] for part in contents) if plain else contents
        return {"role": who, "parts": [parts.tool_response(answer, call_id, rest)]}
    calls = [parts.safely(chat.call, call) for call in extra.take_list("tool_calls")]
    contents += chat.new_calls(contents, calls)
    made: Message = {"role": who, "parts": contents}
    name = extra.take_text("name")
    if name:
        made["name"] = name
    return carry(made, held.flat("additional_kwargs"), chat.RESERVED)


def _block(item: Any) -> Part:
    block = Fields(item)
    kind = block.get("block_type")
    if not isinstance(kind, str):
        return items.part(item)
    block.take("block_type")
    if kind == "text":
        return parts.text(block.take("text") or "", block.rest())
    if kind == "thinking":
        return parts.reasoning(block.take("content"), block.rest())
    if kind == "tool_call":
        name, arguments = block.take_text("tool_name"), block.take("tool_kwargs")
        return parts.tool_call(name, arguments, block.take_id("tool_call_id"), block.rest())
    if kind in {"image", "audio", "video", "document"}:
        source = block.take_text("url", kind, "data")
        if source:
            mime = block.take_text(f"{kind}_mimetype")
            if kind == "audio" and mime is None:
                mime = items.audio_type(block.take_text("format"))
            return parts.media(source, kind, mime, block.rest())
    return parts.other({"type": kind, **block.rest()})
