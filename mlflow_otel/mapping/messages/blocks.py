"""Content blocks that name their kind by their key: Bedrock's and Strands', Haystack's.

Source: the API reference of Bedrock's ``Converse``; ``haystack.dataclasses.ChatMessage`` 2.x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Part
from mlflow_otel.mapping.values import as_text, present

Block = dict[str, Any]
Rest = dict[str, Any]


def block(item: Any) -> Part:
    """Return a block as a part. A block of an unknown kind passes with all its fields."""
    if not isinstance(item, dict):
        return parts.text(item)
    if isinstance(item.get("text"), str):
        return parts.text(
            item["text"], Fields({k: v for k, v in item.items() if k != "text"}).rest()
        )
    for key, convert in KINDS.items():
        held = item.get(key)
        if isinstance(held, dict):
            made = convert(held)
            beside = Fields({k: v for k, v in item.items() if k != key}).rest()
            return carry(made, beside, parts.RESERVED.get(made["type"], ()))
    return named_by_key(item)


def is_block(item: Block) -> bool:
    """Tell whether an object is a block of a kind that is known."""
    return any(isinstance(item.get(key), dict) for key in KINDS)


def named_by_key(item: Block) -> Part:
    """Pass on a block of an unknown kind. Its only key names the kind."""
    held = present(item)
    return parts.other({**held, "type": next(iter(held))} if len(held) == 1 else held)


def _cited(held: Block) -> Part:
    """Return an answer with its citations."""
    cited = Fields(held)
    said = held.get("content")
    if not isinstance(said, list) or not said or not all(map(_is_text, said)):
        return parts.other({"type": "citationsContent", "citationsContent": held})
    cited.take("content")
    return parts.text("".join(item["text"] for item in said), cited.rest())


def _guarded(held: Block) -> Part:
    """Return the text or image that a guardrail checks, with its qualifiers."""
    inner = Fields(held).inner("text")
    text = inner.take_text("text")
    if text is not None and present(held).keys() == {"text"}:
        return parts.text(text, {"guardContent": inner.rest()})
    if present(held).keys() == {"image"} and isinstance(held["image"], dict):
        return carry(KINDS["image"](held["image"]), {"guardContent": True})
    return parts.other({"type": "guardContent", "guardContent": held})


def _tool_use(held: Block) -> Part:
    use = Fields(held)
    if isinstance(held.get("type"), str):  # the provider's own tools, such as Nova's
        return parts.server_call(held.get("name") or "", use.take_id("toolUseId"), use.rest())
    name, arguments = use.take_text("name"), use.take("input")
    return parts.tool_call(name, arguments, use.take_id("toolUseId"), use.rest())


def _tool_result(held: Block) -> Part:
    result = Fields(held)
    if isinstance(held.get("type"), str):
        return parts.server_response(result.take_id("toolUseId"), result.rest())
    content = result.take("content")
    if isinstance(content, list):
        plain = [_plain(item) for item in content]
        content = plain[0] if len(plain) == 1 else plain
    return parts.tool_response(content, result.take_id("toolUseId"), result.rest())


def _plain(item: Any) -> Any:
    """Return an item of a tool's answer: a value or a text as it is, a picture or document as a part."""
    if not isinstance(item, dict):
        return item
    held = present(item)
    if len(held) == 1 and not held.keys().isdisjoint(PLAIN):
        return held.get("json", held.get("text"))
    return block(item) if is_block(item) else item


PLAIN: Final = frozenset({"json", "text"})


def _reasoning_content(held: Block) -> Part:
    thought = Fields(held)
    said = thought.inner("reasoningText")
    text = said.take_text("text")
    veiled = thought.take_text("redactedContent")
    rest = thought.flat("reasoningText")
    if veiled is not None:
        rest["redactedContent"] = parts.as_base64(veiled)
    return parts.reasoning(text, rest)


def _media(modality: str) -> Callable[[Block], Part]:
    def convert(held: Block) -> Part:
        if "base64_image" in held or "base64_data" in held:
            return _haystack_media(held, modality)
        media = Fields(held)
        source = media.inner("source")
        if "source" not in media:
            return parts.other({modality: held})
        kind = media.get("format")
        mime = _mime_type(modality, kind)
        text = source.take_text("text")
        if text is not None:
            return parts.document(text, media.flat("source"))
        said = source.get("content")
        if isinstance(said, list) and all(_is_text(item) for item in said):
            source.take("content")
            return parts.document("\n".join(item["text"] for item in said), media.flat("source"))
        uri = source.inner("s3Location").take_text("uri")
        data = uri if uri is not None else source.take_text("bytes", "url")
        if data is None:
            return parts.other({modality: held})
        if mime is not None:
            media.take_text("format")
        return parts.media(data, modality, mime, media.flat("source"))

    return convert


def _is_text(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and present(item).keys() == {"text"}
        and isinstance(item["text"], str)
    )


def _mime_type(modality: str, kind: Any) -> str | None:
    if not isinstance(kind, str) or not kind:
        return None
    if modality != "document":
        return f"{modality}/{kind}"
    return DOCUMENT_TYPES.get(kind, f"application/{kind}")


DOCUMENT_TYPES: Final[Mapping[str, str]] = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def _haystack_call(held: Block) -> Part:
    call = Fields(held)
    name, arguments = call.take_text("tool_name", "name"), call.take("arguments", "args")
    return parts.tool_call(name, arguments, call.take_id("id"), call.rest())


def _haystack_result(held: Block) -> Part:
    result = Fields(held)
    origin = result.inner("origin")
    answer = parts.joined_text(result.take("result"))
    identity, name = origin.take_id("id"), origin.take_text("tool_name")
    rest = result.rest()
    if name is not None:
        rest["name"] = name
    return parts.tool_response(answer, identity, rest)


def _haystack_reasoning(held: Block) -> Part:
    thought = Fields(held)
    return parts.reasoning(thought.take_text("reasoning_text"), thought.rest())


def _haystack_media(held: Block, modality: str) -> Part:
    media = Fields(held)
    data = media.take_text("base64_image", "base64_data")
    mime = media.take_text("mime_type")
    if data is None:
        return parts.other({modality: held})
    if modality == "document":
        modality = parts.modality_of(mime)
    return parts.media(as_text(data), modality, mime, media.rest())


KINDS: Final[Mapping[str, Callable[[Block], Part]]] = {
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "reasoningContent": _reasoning_content,
    "citationsContent": _cited,
    "guardContent": _guarded,
    "image": _media("image"),
    "video": _media("video"),
    "audio": _media("audio"),
    "document": _media("document"),
    "tool_call": _haystack_call,
    "tool_call_result": _haystack_result,
    "reasoning": _haystack_reasoning,
    "file": _media("document"),
}
"""A row a kind."""
