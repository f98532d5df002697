"""Pydantic AI's requests and responses. Source: ``pydantic_ai.messages`` 2.31."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Message, Part
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.values import as_text


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they have no messages of parts."""
    held = Fields(inputs)
    given = held.take_list("messages")
    if not given or not all(map(_is_its_own, given)):
        return None
    system: list[Part] = []
    said: list[Message] = []
    for item in given:
        _take_in(item, system, said)
    parameters = held.inner("model_request_parameters")
    side = sides.asked(said, held, tools=sides.tools(parameters, "function_tools"))
    side.system = _unique(system)
    return side


def _is_its_own(item: Any) -> bool:
    """Tell whether a message is one of Pydantic AI's: it has parts, and no role of its own."""
    return (
        isinstance(item, dict) and isinstance(item.get("parts"), list) and item.get("role") is None
    )


def _take_in(item: dict[str, Any], system: list[Part], said: list[Message]) -> None:
    """Sort the parts of one request or response by role."""
    held = Fields(item)
    instructions = held.take_text("instructions")
    if instructions:
        system.append(parts.text(instructions))
    kind = held.get("kind")
    held.drop("kind", "request", "response")
    made: list[Message] = []
    for part in held.take_list("parts"):
        who, contents = _spoken(part, kind)
        if who == "system":
            system += contents
        elif made and made[-1]["role"] == who:
            made[-1]["parts"] += contents
        else:
            made.append({"role": who, "parts": contents})
    rest = held.rest()
    if rest and not made:
        made.append({"role": "assistant" if kind == "response" else "user", "parts": []})
    reason = parts.finish_reason(rest.get("finish_reason")) if kind == "response" else None
    for first in made[:1]:
        if reason:
            del rest["finish_reason"]
            first["finish_reason"] = reason
        carry(first, rest, chat.RESERVED)
    said += made


def _spoken(part: Any, kind: Any) -> tuple[str, list[Part]]:
    held = Fields(part)
    named = held.get("part_kind")
    who = "assistant" if kind == "response" else "user"
    if named == "system-prompt":
        held.take("part_kind")
        return "system", [parts.text(held.take("content") or "", held.rest())]
    if isinstance(named, str) and named in ANSWERS and "tool_name" in held:
        who = "tool"
    return who, _parts(part)


ANSWERS = frozenset({"tool-return", "retry-prompt"})


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they have no parts."""
    del inputs
    held = Fields(outputs)
    if not isinstance(held.get("parts"), list):
        return None
    contents = [new for part in held.take_list("parts") for new in _parts(part)]
    reason = parts.finish_reason(held.take_text("finish_reason"))
    held.drop("kind", "response")
    made: Message = {"role": "assistant", "parts": contents}
    if reason:
        made["finish_reason"] = reason
    return sides.answered([made], held, identity=("provider_response_id",), model=("model_name",))


def _parts(part: Any) -> list[Part]:
    try:
        return _converted(part)
    except Exception as error:
        return [parts.Unread(parts.other(part), type(error).__name__)]


def _converted(part: Any) -> list[Part]:
    held = Fields(part)
    kind = held.take_text("part_kind")
    if kind is None:
        return [items.part(part)]
    if kind == "user-prompt":
        content = held.take("content")
        contents = [
            _content(item) for item in (content if isinstance(content, list) else [content])
        ]
        return chat.first_carries(contents, held.rest())
    if kind == "text":
        return [parts.text(held.take("content") or "", held.rest())]
    if kind == "thinking":
        return [parts.reasoning(held.take("content"), held.rest())]
    call_id = held.take_id("tool_call_id")
    if kind in {"builtin-tool-call", "builtin-tool-return"}:  # the provider's own tools
        beside = {"type": kind, **held.rest()}
        if kind == "builtin-tool-return":
            return [parts.server_response(call_id, beside)]
        return [parts.server_call(held.get("tool_name") or kind, call_id, beside)]
    if kind == "tool-call":
        name, arguments = held.take_text("tool_name"), held.take("args")
        return [parts.tool_call(name, arguments, call_id, held.rest())]
    if kind in ANSWERS:
        name = held.take_text("tool_name")
        answer = held.take("content")
        rest = held.rest()
        return [parts.tool_response(answer, call_id, {"name": name, **rest} if name else rest)]
    if kind == "file" and isinstance(held.get("content"), dict):
        return [carry(_content(held.take("content")), held.rest())]
    return [parts.other({**held.rest(), "type": kind, "tool_call_id": call_id})]


def _content(item: Any) -> Part:
    return parts.safely(_content_item, item)


def _content_item(item: Any) -> Part:
    held = Fields(item)
    kind = held.get("kind")
    if isinstance(kind, str) and kind.endswith("-url") and isinstance(held.get("url"), str):
        held.take("kind")
        mime = held.take_text("media_type")
        return parts.media(held.take("url"), kind.removesuffix("-url"), mime, held.rest())
    if kind == "binary" and isinstance(held.get("data"), str):
        held.take("kind")
        mime = held.take_text("media_type")
        return parts.media(held.take("data"), parts.modality_of(mime), mime, held.rest())
    if kind == "text-content" and isinstance(held.get("content"), str):
        held.take("kind")
        return parts.text(held.take("content"), held.rest())
    if kind == "uploaded-file" and isinstance(held.get("file_id"), str):
        held.take("kind")
        mime = held.get("media_type")
        modality = parts.modality_of(mime if isinstance(mime, str) else None)
        return parts.file(held.take("file_id"), modality, held.rest())
    if isinstance(kind, str) and isinstance(item, dict) and item.get("type") is None:
        return parts.other({**item, "type": kind})
    return (
        items.part(item)
        if isinstance(item, dict)
        else parts.text("" if item is None else as_text(item))
    )


def _unique(contents: list[Part]) -> list[Part]:
    # Each request of a run repeats the run's instructions.
    return [part for index, part in enumerate(contents) if part not in contents[:index]]
