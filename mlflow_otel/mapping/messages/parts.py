"""The parts a message is made of, in the GenAI convention's form (docs/mapping.md, "Messages")."""

from __future__ import annotations

import ast
import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mlflow_otel.mapping.messages.fields import carry
from mlflow_otel.mapping.placeholders import is_handle
from mlflow_otel.mapping.values import as_dict, as_text, decode_nested, dumps, present

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
    "model_length": "length",
    "error_limit": "length",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "error_toxic": "content_filter",
    "tool_calls": "tool_call",
    "tool_call": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "function_calls": "tool_call",
    "error": "error",
    "failed": "error",
    "malformed_function_call": "error",
    "unexpected_tool_call": "error",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
    "insufficient_system_resource": "error",
}

NO_FIELDS: Final[Mapping[str, Any]] = {}

RESERVED: Final[Mapping[str, tuple[str, ...]]] = {
    "tool_call": ("id", "arguments"),
    "tool_call_response": ("id",),
    "server_tool_call": ("id",),
    "server_tool_call_response": ("id",),
}
"""Names with a fixed meaning in a part. A further field of that name (an item's own ID) is renamed."""

REQUIRED: Final[Mapping[str, tuple[tuple[str, type], ...]]] = {
    "text": (("content", str),),
    "reasoning": (("content", str),),
    "tool_call": (("name", str),),
    "tool_call_response": (("response", object),),
    "server_tool_call": (("name", str), ("server_tool_call", dict)),
    "server_tool_call_response": (("server_tool_call_response", dict),),
    "blob": (("modality", str), ("content", str)),
    "file": (("modality", str), ("file_id", str)),
    "uri": (("modality", str), ("uri", str)),
    "compaction": (),
}
"""The convention's own types of parts, and what each must have. An object there has a type of its own."""

ATTACHMENT_SCHEME: Final = "mlflow-attachment"


PLAIN_TEXT: Final = frozenset({"type", "text"})
TEXT_TYPES: Final = frozenset({"text", "input_text", "output_text"})


class Unread(dict[str, Any]):
    """A part that could not be converted: all its fields, and why.

    Args:
        part: What leaves instead.
        failure: The error's type.
    """

    def __init__(self, part: Part, failure: str) -> None:
        super().__init__(part)
        self.failure = failure


def safely(convert: Callable[[Any], Part], item: Any) -> Part:
    """Convert one part. If that fails, its structure is lost but no text."""
    try:
        return convert(item)
    except Exception as error:
        return Unread(other(item), type(error).__name__)


def finish_reason(value: Any) -> str | None:
    """Return the convention's word for a provider's finish reason. Unknown reasons pass unchanged."""
    return FINISH_REASONS.get(value.lower(), value) if isinstance(value, str) and value else None


def text(content: Any, rest: Mapping[str, Any] = NO_FIELDS) -> Part:
    """Return a text part."""
    return carry({"type": "text", "content": as_text(content)}, rest)


def reasoning(content: Any, rest: Mapping[str, Any] = NO_FIELDS) -> Part:
    """Return a reasoning part. Redacted reasoning has no text."""
    said = "" if content is None else as_text(content)
    return carry({"type": "reasoning", "content": said}, rest)


def tool_call(
    name: Any, arguments: Any, call_id: Any = None, rest: Mapping[str, Any] = NO_FIELDS
) -> Part:
    """Return a call that the model asks for. Arguments in a JSON string become an object."""
    part: Part = {"type": "tool_call", "name": "" if name is None else as_text(name)}
    if call_id is not None:
        part["id"] = as_text(call_id)
    if arguments is not None:
        part["arguments"] = decode_nested(arguments)
    return carry(part, rest, RESERVED["tool_call"])


def tool_response(response: Any, call_id: Any = None, rest: Mapping[str, Any] = NO_FIELDS) -> Part:
    """Return what a tool answered."""
    part: Part = {"type": "tool_call_response", "response": decode_nested(response)}
    if call_id is not None:
        part["id"] = as_text(call_id)
    return carry(part, rest, RESERVED["tool_call_response"])


def server_call(name: Any, call_id: str | None, call: dict[str, Any]) -> Part:
    """Return a call of a tool that the provider runs itself; ``call`` has its type and all it says."""
    part: Part = {"type": "server_tool_call", "name": as_text(name)}
    if call_id is not None:
        part["id"] = call_id
    return {**part, "server_tool_call": call}


def server_response(call_id: str | None, response: dict[str, Any]) -> Part:
    """Return what a tool of the provider's answered; ``response`` has its type and all it says."""
    part: Part = {"type": "server_tool_call_response", "server_tool_call_response": response}
    if call_id is not None:
        part["id"] = call_id
    return part


def media(
    source: Any,
    modality: str,
    mime_type: str | None = None,
    rest: Mapping[str, Any] = NO_FIELDS,
) -> Part:
    """Return inline data, or a link to it: data URLs and base64 are blobs, URLs are URIs.

    MLflow may have moved the data out of the span; its ``mlflow-attachment://`` URI then leaves. A
    document of plain text is text.
    """
    value = as_base64(source)
    part: Part
    if is_handle(value):  # a live object, of which MLflow wrote nothing but where it was
        return carry({"type": modality, modality: value}, rest)
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
    if part["type"] == "blob" and modality == "document" and (mime_type or "").startswith("text/"):
        said = _decoded(part["content"])
        if said is not None:
            return document(said, {"mime_type": mime_type, **rest})
    if mime_type:
        part["mime_type"] = mime_type
    return carry(part, rest)


def document(content: Any, rest: Mapping[str, Any] = NO_FIELDS) -> Part:
    """Return a document of plain text. Its modality tells it from the sender's own words."""
    return carry({"type": "text", "content": as_text(content), "modality": "document"}, rest)


def file(file_id: Any, modality: str = "document", rest: Mapping[str, Any] = NO_FIELDS) -> Part:
    """Return a reference to an uploaded file."""
    return carry({"type": "file", "modality": modality, "file_id": as_text(file_id)}, rest)


def other(item: Any) -> Part:
    """Pass on a part of a type the convention has no row for, with all its fields."""
    if not isinstance(item, dict):
        return text(item)
    kind = item.get("type")
    if not isinstance(kind, str) or not kind:
        kind = "unknown"
    elif not is_conventions(item):
        kind = "unknown"  # a type of the convention's name, but of another shape
    return carry({"type": kind}, {key: v for key, v in item.items() if v is not None})


def is_conventions(item: Part) -> bool:
    """Tell whether a part has what the convention wants of its type. Any other type passes."""
    return all(
        isinstance(value := item.get(name), held)
        and (held is not dict or as_dict(value).get("type") is not None)
        for name, held in REQUIRED.get(item["type"], ())
    )


def modality_of(mime_type: str | None) -> str:
    """Return what a MIME type is of: image, audio or video, else a document."""
    head = (mime_type or "").partition("/")[0]
    return head if head in {"image", "audio", "video"} else "document"


def as_base64(data: Any) -> str:
    """Return bytes as base64: MLflow writes them as Python's ``repr``. Other text stays."""
    value = as_text(data)
    held = (
        value.removeprefix("bytearray(").removesuffix(")") if value[:10] == "bytearray(" else value
    )
    if held[:2] in ("b'", 'b"'):
        try:
            read = ast.literal_eval(held)
        except (ValueError, SyntaxError, MemoryError):
            return value
        return base64.b64encode(read).decode("ascii") if isinstance(read, bytes) else value
    return value


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def joined_text(content: Any, types: frozenset[str] = TEXT_TYPES) -> Any:
    """Return a list of plain text items of some types as one text, and anything else as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = []
    for item in content:
        held = present(item) if isinstance(item, dict) else {}
        said, kind = held.get("text"), held.get("type", "text")
        if not isinstance(said, str) or not isinstance(kind, str) or kind not in types:
            return content
        if not held.keys() <= PLAIN_TEXT:
            return content
        texts.append(said)
    return "\n".join(texts)


def preview(messages: list[Message]) -> str | None:
    """Return the text of the last message that has any: what a person would want to see first."""
    for message in reversed(messages):
        for part in message["parts"]:
            if part["type"] == "text" and "modality" not in part:
                return as_text(part["content"])
    return dumps(messages[-1]["parts"]) if messages else None
