"""The parts a message is made of, in the GenAI convention's form (MAPPING, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mlflow_otel.mapping.values import as_dict, as_list, as_text, decode_nested, dumps, without

Part = dict[str, Any]
Message = dict[str, Any]

FINISH_REASONS: Final[Mapping[str, str]] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "complete": "stop",
    "finish": "stop",
    "finished": "stop",
    "eos_token": "stop",
    "endoftext": "stop",
    "stop_criteria_met": "stop",
    "finish_reason_unspecified": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "tool_calls": "tool_call",
    "tool_call": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "function_calls": "tool_call",
    "error": "error",
    "failed": "error",
}

ATTACHMENT_SCHEME: Final = "mlflow-attachment"


def finish_reason(value: Any) -> str | None:
    """Return the convention's word for a provider's finish reason; unknown ones pass."""
    return FINISH_REASONS.get(value.lower(), value) if isinstance(value, str) and value else None


def text(content: Any) -> Part:
    """Return a text part."""
    return {"type": "text", "content": as_text(content)}


def reasoning(content: Any) -> Part:
    """Return a part of what the model thought before it answered."""
    return {"type": "reasoning", "content": as_text(content)}


def tool_call(name: Any, arguments: Any, call_id: Any = None) -> Part:
    """Return a call the model asks for; arguments in a JSON string leave as an object."""
    part: Part = {"type": "tool_call", "name": as_text(name)}
    if call_id is not None:
        part["id"] = as_text(call_id)
    if arguments is not None:
        part["arguments"] = decode_nested(arguments)
    return part


def tool_response(response: Any, call_id: Any = None) -> Part:
    """Return what a tool answered."""
    part: Part = {"type": "tool_call_response", "response": decode_nested(response)}
    if call_id is not None:
        part["id"] = as_text(call_id)
    return part


def media(source: Any, modality: str, mime_type: str | None = None) -> Part:
    """Return inline data, or a link to it: data URLs and base64 are blobs, URLs are URIs.

    MLflow may have moved the data out of the span; its ``mlflow-attachment://`` URI then leaves.
    """
    value = as_text(source)
    part: Part
    if value.startswith("data:"):
        head, _, data = value[5:].partition(",")
        part = {"type": "blob", "modality": modality, "content": data}
        mime_type = mime_type or head.partition(";")[0] or None
    elif "://" in value[:32]:
        part = {"type": "uri", "modality": modality, "uri": value}
        if value.startswith(ATTACHMENT_SCHEME):
            kinds = parse_qs(urlsplit(value).query).get("content_type")
            mime_type = mime_type or (kinds[0] if kinds else None)
    else:
        part = {"type": "blob", "modality": modality, "content": value}
    if mime_type:
        part["mime_type"] = mime_type
    return part


def file(file_id: Any, modality: str = "document") -> Part:
    """Return a reference to an uploaded file."""
    return {"type": "file", "modality": modality, "file_id": as_text(file_id)}


def other(item: Any) -> Part:
    """Pass on a part of a type the convention has no row for, with all its fields."""
    if not isinstance(item, dict):
        return text(item)
    kind = item.get("type")
    return {**item, "type": kind if isinstance(kind, str) and kind else "unknown"}


def _image_url(item: dict[str, Any]) -> Part:
    url = item.get("image_url", item.get("file_id"))
    if "image_url" not in item or url is None:
        return file(item.get("file_id"), "image") if item.get("file_id") else other(item)
    return media(url.get("url") if isinstance(url, dict) else url, "image")


def _audio(item: dict[str, Any]) -> Part:
    audio = as_dict(item.get("input_audio"))
    kind = audio.get("format")
    return media(audio.get("data", ""), "audio", f"audio/{kind}" if kind else None)


def _file(item: dict[str, Any]) -> Part:
    held = item.get("file") if isinstance(item.get("file"), dict) else item
    held = as_dict(held)
    if held.get("file_id"):
        return file(held["file_id"])
    source = held.get("file_data") or held.get("file_url")
    return media(source, "document") if source else other(item)


def _source(modality: str) -> Callable[[dict[str, Any]], Part]:
    def convert(item: dict[str, Any]) -> Part:
        source = item.get("source")
        if not isinstance(source, dict):
            return other(item)
        if source.get("file_id"):
            return file(source["file_id"], modality)
        content = source.get("url", source.get("data"))
        return (
            other(item) if content is None else media(content, modality, source.get("media_type"))
        )

    return convert


def _server_call(item: dict[str, Any]) -> Part:
    name = item.get("name") or as_text(item.get("type")).removesuffix("_call")
    part: Part = {"type": "server_tool_call", "name": name}
    if item.get("id"):
        part["id"] = item["id"]
    return {**part, "server_tool_call": without(item, "id")}


def _server_result(item: dict[str, Any]) -> Part:
    part: Part = {"type": "server_tool_call_response", "server_tool_call_response": item}
    if item.get("tool_use_id"):
        part["id"] = item["tool_use_id"]
    return part


def _summary(item: dict[str, Any]) -> Part:
    said = [as_dict(s).get("text", "") for s in as_list(item.get("summary") or item.get("content"))]
    joined = "\n".join(as_text(s) for s in said)
    return {**reasoning(joined), **without(item, "type", "summary", "content")}


def _item(item: dict[str, Any], *used: str) -> dict[str, Any]:
    # The item's own ID is not the call's, and what else it says stays too.
    rest = without(item, "type", "call_id", "id", *used)
    return {"item_id": item["id"], **rest} if item.get("id") else rest


def _function_call(item: dict[str, Any]) -> Part:
    call = tool_call(item.get("name"), item.get("arguments"), item.get("call_id"))
    return {**_item(item, "name", "arguments"), **call}


TYPED_PARTS: Final[Mapping[str, Callable[[dict[str, Any]], Part]]] = {
    "text": lambda item: {**text(item.get("text", item.get("content", ""))), **without(item, "type", "text", "content")},
    "input_text": lambda item: text(item.get("text", "")),
    "output_text": lambda item: {**text(item.get("text", "")), **without(item, "type", "text")},
    "refusal": lambda item: {"type": "refusal", "content": as_text(item.get("refusal", ""))},
    "image_url": _image_url,
    "input_image": _image_url,
    "input_audio": _audio,
    "file": _file,
    "input_file": _file,
    "image": _source("image"),
    "document": _source("document"),
    "thinking": lambda item: {**reasoning(item.get("thinking", "")), **without(item, "type", "thinking")},
    "reasoning": _summary,
    "tool_use": lambda item: tool_call(item.get("name"), item.get("input"), item.get("id")),
    "tool_result": lambda item: tool_response(joined_text(item.get("content")), item.get("tool_use_id")),
    "function_call": _function_call,
    "function_call_output": lambda item: {
        **tool_response(item.get("output"), item.get("call_id")),
        **_item(item, "output"),
    },
    "server_tool_use": _server_call,
    "web_search_call": _server_call,
    "file_search_call": _server_call,
    "code_interpreter_call": _server_call,
    "image_generation_call": _server_call,
    "mcp_call": _server_call,
    "computer_call": _server_call,
    "web_search_tool_result": _server_result,
    "code_execution_tool_result": _server_result,
}  # fmt: skip
"""Parts that name their type, of OpenAI (chat and responses) and Anthropic: a row a type."""


def typed(item: Any) -> Part:
    """Return a part that names its type in the convention's form."""
    if not isinstance(item, dict):
        return text(item)
    convert = TYPED_PARTS.get(as_text(item.get("type")))
    return convert(item) if convert else other(item)


def typed_list(content: Any) -> list[Part]:
    """Return a message's content, text or a list of typed parts, as parts."""
    if content is None or content == "":
        return []
    if isinstance(content, list):
        return [typed(item) for item in content]
    return [text(content) if not isinstance(content, dict) else typed(content)]


def joined_text(content: Any) -> Any:
    """Return a list of text parts as one text, and anything else as it is."""
    if isinstance(content, list) and content:
        texts = [as_dict(item).get("text") for item in content]
        if all(isinstance(item, str) for item in texts):
            return "\n".join(as_text(item) for item in texts)
    return content


SCHEMAS: Final = ("parameters", "input_schema", "inputSchema", "parameters_json_schema")


def definition(tool: Any) -> dict[str, Any] | None:
    """Return a tool's definition as the convention has it: type, name, description, parameters."""
    if not isinstance(tool, dict):
        return None
    held = as_dict(tool.get("function")) or as_dict(tool.get("toolSpec")) or tool
    name = held.get("name")
    if not isinstance(name, str):
        return None if not isinstance(tool.get("type"), str) else {"name": tool["type"], **tool}
    parameters = None
    for key in SCHEMAS:
        if isinstance(held.get(key), dict):
            parameters = held[key]
            break
    if parameters is not None and isinstance(parameters.get("json"), dict):
        parameters = parameters["json"]  # Bedrock wraps it
    found: dict[str, Any] = {"type": "function", "name": name}
    if held.get("description") is not None:
        found["description"] = as_text(held["description"])
    if parameters is not None:
        found["parameters"] = parameters
    return found


def definitions(tools: Any) -> list[dict[str, Any]]:
    """Return the definitions of all tools whose shape is known."""
    found = (definition(tool) for tool in as_list(tools))
    return [tool for tool in found if tool is not None]


def preview(messages: list[Message]) -> str | None:
    """Return the text of the last message that has any: what a person would want to see first."""
    for message in reversed(messages):
        for part in message["parts"]:
            if part["type"] == "text":
                return as_text(part["content"])
    return dumps(messages[-1]["parts"]) if messages else None
