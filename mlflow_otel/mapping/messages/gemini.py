"""Google's Gen AI SDK and REST API. Source: the API reference of ``models.generateContent``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mlflow_otel.mapping.messages import blocks, chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Message, Part
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.values import as_dict, present


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they have no contents."""
    held = Fields(inputs)
    contents = held.take("contents", "content", "message")
    if contents is None:
        return None
    config = held.inner("config", "generation_config")
    place = held if "system_instruction" in held or "systemInstruction" in held else config
    system = place.take("system_instruction", "systemInstruction")
    held.take_text("model")
    tools = _tools(config if "tools" in config else held)
    side = sides.asked(
        _contents(contents),
        held,
        system=chat.on_parts(_content(system, "system")) if system is not None else [],
        tools=tools,
    )
    if isinstance(side.rest, dict) and not side.rest.get("config", True):
        del side.rest["config"]
    return side


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they have no candidates."""
    del inputs
    held = Fields(outputs)
    candidates = held.take_list("candidates")
    if not candidates or not all(isinstance(candidate, dict) for candidate in candidates):
        return None
    said = [_candidate(candidate, index) for index, candidate in enumerate(candidates)]
    return sides.answered(
        said,
        held,
        identity=("response_id", "responseId"),
        model=("model_version", "modelVersion"),
    )


def _candidate(candidate: dict[str, Any], index: int) -> Message:
    held = Fields(candidate)
    made = _content(held.take("content"), "assistant")
    reason = parts.finish_reason(held.take_text("finish_reason", "finishReason"))
    if reason == "stop" and any(part["type"] == "tool_call" for part in made["parts"]):
        reason = "tool_call"
    if reason:
        made["finish_reason"] = reason
    if type(held.get("index")) is int:
        held.drop("index", index)
    return carry(made, held.rest(), chat.RESERVED)


def _tools(held: Fields) -> list[dict[str, Any]]:
    """Take the functions out of the tools. Other tools stay."""
    definitions: list[dict[str, Any]] = []
    left: list[Any] = []
    for tool in held.take_list("tools"):
        place = Fields(tool)
        for key in DECLARATIONS:
            inner = Fields({"tools": place.take_list(key)})
            definitions += sides.tools(inner)
            if "tools" in inner:
                place.put(key, inner.get("tools"))
        # A tool without settings is an empty object, and still a tool.
        if isinstance(tool, dict):
            rest = {k: place.get(k) for k in tool if place.get(k) is not None}
            if rest:
                left.append(rest)
        else:
            left.append(tool)
    if left:
        held.put("tools", left)
    return definitions


DECLARATIONS: Final = ("function_declarations", "functionDeclarations")


def _contents(contents: Any) -> list[Message]:
    if not isinstance(contents, list):
        return [_content(contents, "user")]
    if any(as_dict(item).get("parts") is not None for item in contents):
        return [_content(item, "user") for item in contents]
    return [{"role": "user", "parts": [_part(item) for item in contents]}]


def _content(content: Any, who: str) -> Message:
    if isinstance(content, dict) and (
        content.get("parts") is not None or content.get("role") is not None
    ):
        held = Fields(content)
        own = held.take_text("role")
        given = held.take("parts")
        contents = [
            _part(item)
            for item in (given if isinstance(given, list) else [given] if given is not None else [])
        ]
        who = chat.role(own) if own else who
        if contents and all(part["type"] == "tool_call_response" for part in contents):
            who = "tool"
        return carry({"role": who, "parts": contents}, held.rest(), chat.RESERVED)
    given = content if isinstance(content, list) else [] if content is None else [content]
    return {"role": who, "parts": [_part(item) for item in given]}


def _part(item: Any) -> Part:
    return parts.safely(_converted, item)


def _converted(item: Any) -> Part:
    if not isinstance(item, dict):
        return parts.text(item)
    for key, convert in KINDS.items():
        held = item.get(key)
        if isinstance(held, dict):
            made = convert(held)
            beside = Fields({k: v for k, v in item.items() if k != key}).rest()
            return carry(made, beside, parts.RESERVED.get(made["type"], ()))
    if isinstance(item.get("text"), str):
        held_text = Fields(item)
        said = held_text.take_text("text")
        if item.get("thought") is True:
            held_text.drop("thought", True)
            return parts.reasoning(said, held_text.rest())
        held_text.drop("thought", False)
        return parts.text(said, held_text.rest())
    if isinstance(item.get("type"), str):
        return items.part(item)
    if isinstance(item.get("uri"), str):  # an uploaded file
        uploaded = Fields(item)
        mime = uploaded.take_text("mime_type", "mimeType")
        link = uploaded.take_text("uri")
        return parts.media(link, parts.modality_of(mime), mime, uploaded.rest())
    return blocks.named_by_key(item)


def _call(held: dict[str, Any]) -> Part:
    call = Fields(held)
    return parts.tool_call(
        call.take_text("name"), call.take("args"), call.take_id("id"), call.rest()
    )


def _answer(held: dict[str, Any]) -> Part:
    answer = Fields(held)
    # Older models give calls no ID: then the function's name tells which call is answered.
    identity = answer.take_id("id") or answer.get("name")
    said = answer.take("response")
    return parts.tool_response(said, identity if isinstance(identity, str) else None, answer.rest())


def _code(held: dict[str, Any]) -> Part:
    call = Fields({"type": "executable_code", **present(held)})
    return parts.server_call("code_execution", call.take_id("id"), call.rest())


def _ran(held: dict[str, Any]) -> Part:
    result = Fields({"type": "code_execution_result", **present(held)})
    return parts.server_response(result.take_id("id"), result.rest())


def _data(held: dict[str, Any]) -> Part:
    data = Fields(held)
    mime = data.take_text("mime_type", "mimeType")
    source = data.take_text("data", "file_uri", "fileUri")
    modality = parts.modality_of(mime)
    return parts.media(source or "", modality, mime, data.rest())


KINDS: Final[Mapping[str, Callable[[dict[str, Any]], Part]]] = {
    "function_call": _call,
    "functionCall": _call,
    "function_response": _answer,
    "functionResponse": _answer,
    "executable_code": _code,
    "executableCode": _code,
    "code_execution_result": _ran,
    "codeExecutionResult": _ran,
    "inline_data": _data,
    "inlineData": _data,
    "file_data": _data,
    "fileData": _data,
}
"""A row a kind. A part of any other kind passes with all its fields."""
