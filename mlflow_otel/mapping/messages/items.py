"""Content items that name their type: OpenAI's (chat and Responses), Anthropic's, LangChain's, Mistral's.

A row a type, and patterns for the types that grow by the month: what a provider runs itself, and what
a client answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mlflow_otel.mapping.messages import blocks, parts
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Part
from mlflow_otel.mapping.values import as_text

Item = dict[str, Any]


def part(item: Any) -> Part:
    """Return one content item as a part; one that cannot be converted keeps all its fields."""
    return parts.safely(_part, item)


def part_list(content: Any) -> list[Part]:
    """Return a message's content, text or a list of items, as parts."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    return [part(item) for item in content] if isinstance(content, list) else [part(content)]


def _part(item: Any) -> Part:
    if not isinstance(item, dict):
        return parts.text(item)
    kind = item.get("type")
    if not isinstance(kind, str):
        kind = item.get("content_type")
        return _kernel_item(kind, item) if isinstance(kind, str) else blocks.block(item)
    convert = TYPES.get(kind) or TYPES.get(kind.replace("-", "_")) or _by_pattern(kind, item)
    return convert(item) if convert else parts.other(item)


def _kernel_item(kind: str, item: Item) -> Part:
    """Return an item of Semantic Kernel's, which names its type ``content_type``."""
    held = Fields(item)
    held.take("content_type")
    call_id = held.take_id("id") if kind == "function_result" else None
    link = held.take_text("uri") if kind in MODALITIES else None
    beside = {"tool_call_id": call_id, "url": link}
    named = {key: value for key, value in beside.items() if value is not None}
    return _part({"type": KERNEL_TYPES.get(kind, kind), **named, **held.rest()})


KERNEL_TYPES: Final[Mapping[str, str]] = {
    "function_call": "tool_call",
    "function_result": "tool_result",
    "file_reference": "file",
}


def _by_pattern(kind: str, item: Item) -> Callable[[Item], Part] | None:
    if kind.endswith("_tool_use"):  # server_tool_use, mcp_tool_use
        return _server_call
    if kind.endswith(("_tool_result", "_call_response")):
        return _server_result
    if kind.endswith("_call_output"):  # of a function, a custom tool, a computer, a shell
        return _client_answer
    if kind.endswith("_output"):  # of a search for tools
        return _client_answer if item.get("call_id") is not None else _server_result
    if kind.endswith("_call"):  # the client answers those that have a call's ID
        return _client_call if item.get("call_id") is not None else _server_call
    if kind.endswith("_url") and isinstance(item.get(kind), (str, dict)):
        return _url
    return None


def role_of(item: Item, side: str) -> str:
    """Return the role for an item of the Responses API that has none.

    Args:
        item: The item; it has no role.
        side: Who says what no pattern knows: ``user`` in a request, ``assistant`` in a response.
    """
    kind = as_text(item.get("type") or "")
    if (
        kind == "tool_result"
        or kind.endswith(ANSWERS)
        or (kind.endswith("_output") and item.get("call_id") is not None)
    ):
        return "tool"
    if kind.endswith("_response"):  # the client's, such as an approval
        return "user"
    if kind in SPOKEN or kind.endswith(ASKED):
        return "assistant"
    return side


ANSWERS: Final = ("_call_output",)
ASKED: Final = ("_call", "_output", "_tool_result", "_use", "_request", "_list_tools")
SPOKEN: Final = frozenset({"reasoning", "thinking", "compaction", "output_text", "refusal"})


def _text(item: Item) -> Part:
    held = Fields(item)
    said = held.take("text", "content")
    held.drop("type", item["type"])
    return parts.other(item) if said is None else parts.text(said, held.rest())


def _refusal(item: Item) -> Part:
    held = Fields(item)
    said = held.take("refusal")
    return carry({"type": "refusal", "content": as_text(said or "")}, held.rest())


def _thinking(item: Item) -> Part:
    held = Fields(item)
    held.drop("type", "thinking", "redacted_thinking")
    thought = parts.joined_text(held.take("thinking"))
    if isinstance(thought, list):  # Mistral's, with references among its texts
        said = [text for one in thought if (text := _said([one])) is not None]
        held.put("thinking", [one for one in thought if _said([one]) is None])
        thought = "\n".join(said)
    return parts.reasoning(thought, held.rest())


def _reasoning(item: Item) -> Part:
    """Return a reasoning item: its full text where there is one, else its summary."""
    held = Fields(item)
    held.drop("type", "reasoning")
    for key in ("content", "reasoning", "summary", "text"):
        said = _said(item.get(key))
        if said is not None:
            held.take(key)
            return parts.reasoning(said, held.rest())
    return parts.reasoning(None, held.rest())


def _said(content: Any) -> str | None:
    """Return a text, or a list of nothing but texts, as text."""
    said = parts.joined_text(content, THOUGHTS)
    return said if isinstance(said, str) and said else None


THOUGHTS: Final = frozenset({"text", "summary_text", "reasoning_text"})


def _url(item: Item) -> Part:
    """Return a link whose key is its type: ``image_url``, ``audio_url``, ``document_url``."""
    held = Fields(item)
    kind = item["type"]
    held.drop("type", kind)
    url = held.take_text(kind) or held.inner(kind).take_text("url")
    if url is None:
        return parts.other(item)
    return parts.media(
        url, MODALITIES.get(kind.removesuffix("_url"), "document"), None, held.flat(kind)
    )


def _input_image(item: Item) -> Part:
    held = Fields(item)
    held.drop("type", "input_image")
    url = held.take_text("image_url") or held.inner("image_url").take_text("url")
    if url:
        return parts.media(url, "image", None, held.flat("image_url"))
    file_id = held.take_id("file_id")
    return parts.other(item) if file_id is None else parts.file(file_id, "image", held.rest())


def _audio(item: Item) -> Part:
    held = Fields(item)
    held.drop("type", "input_audio")
    audio = held.inner("input_audio")
    data = held.take_text("input_audio") or audio.take_text("data")
    kind = audio.take_text("format")
    if data is None:
        return parts.other(item)
    return parts.media(data, "audio", audio_type(kind), held.flat("input_audio"))


def audio_type(kind: Any) -> str | None:
    """Return the MIME type of an audio format, such as ``wav``."""
    return f"audio/{kind}" if isinstance(kind, str) and kind else None


def spoken(audio: Item, kind: Any) -> Part:
    """Return a spoken answer: its data with its transcript, or a reference to an earlier one by its ID.

    Args:
        audio: The message's ``audio``.
        kind: The audio format that the request asked for, if it is known.
    """
    held = Fields(audio)
    data = held.take_text("data")
    if data:
        return parts.media(data, "audio", audio_type(kind), held.rest())
    identity = held.take_id("id")
    if identity is None:
        return parts.other({**audio, "type": "audio"})
    return parts.file(identity, "audio", held.rest())


def _file(item: Item) -> Part:
    held = Fields(item)
    held.drop("type", item["type"])
    inner = held.inner("file") if isinstance(item.get("file"), dict) else held
    source = inner.take_text("file_data", "file_url")
    mime = _mime(inner) or _mime(held)
    if source:
        return parts.media(source, _held_modality(source, mime), mime, held.flat("file"))
    file_id = inner.take_id("file_id")
    if file_id is not None:
        return parts.file(file_id, parts.modality_of(mime), _with_mime(held.flat("file"), mime))
    return _media(item)


def _held_modality(source: str, mime: str | None) -> str:
    return parts.modality_of(source[5:] if source.startswith("data:") else mime)


def _mime(held: Fields) -> str | None:
    return held.take_text("mime_type", "media_type", "mimeType", "mediaType")


def _media(item: Item) -> Part:
    """Return an image, audio, video or document by its source: Anthropic's, LangChain's two forms."""
    held = Fields(item)
    kind = item["type"]
    modality = MODALITIES.get(kind, "document")
    held.drop("type", kind)
    held.drop("source_type", "base64", "url", "text", "id")
    source = held.inner("source")
    if "source" in held and not isinstance(item["source"], dict):
        return parts.other(item)
    kind_of_source = source.get("type")
    source.drop("type", "base64", "url", "text", "file", "content")
    mime = _mime(source) or _mime(held)
    if kind in ANY_MEDIA and mime:
        modality = parts.modality_of(mime)
    file_id = source.take_id("file_id") or held.take_id("file_id")
    if file_id is not None:
        return parts.file(file_id, modality, _with_mime(held.flat("source"), mime))
    said = source.get("content")
    if kind_of_source == "text" or item.get("source_type") == "text":
        text = (
            source.take_text("data", "text") if "source" in held else held.take_text("text", "data")
        )
        if text is not None:
            return parts.document(text, _with_mime(held.flat("source"), mime))
    joined = parts.joined_text(said)
    if joined and isinstance(joined, str):
        source.take("content")
        return parts.document(joined, _with_mime(held.flat("source"), mime))
    data = (
        source.take_text("url", "data")
        if "source" in held
        else held.take_text("url", "base64", "data", kind)
    )
    if data is None:
        return parts.other(item)
    return parts.media(data, modality, mime, held.flat("source"))


ANY_MEDIA: Final = frozenset({"file", "media"})


def _with_mime(rest: dict[str, Any], mime: str | None) -> dict[str, Any]:
    return {"mime_type": mime, **rest} if mime else rest


def _text_plain(item: Item) -> Part:
    held = Fields(item)
    held.drop("type", "text-plain")
    said = held.take_text("text")
    return _media(item) if said is None else parts.document(said, held.rest())


def _server_call(item: Item) -> Part:
    name = item.get("name")
    name = name if isinstance(name, str) and name else item["type"].removesuffix("_call")
    held = Fields(item)
    return parts.server_call(name, held.take_id("id"), held.rest())


def _server_result(item: Item) -> Part:
    held = Fields(item)
    return parts.server_response(
        held.take_id("tool_use_id", "tool_call_id", "call_id"), held.rest()
    )


def _tool_use(item: Item) -> Part:
    held = Fields(item)
    held.drop(
        "type",
        "tool_use",
        "tool_call",
        "tool-call",
        "function",
        "invalid_tool_call",
        "tool_call_chunk",
    )
    name, arguments = held.take_text("name", "toolName"), held.take("input", "args", "arguments")
    identity = held.take_id("id", "call_id", "toolCallId")
    return parts.tool_call(name, arguments, identity, held.rest())


def _tool_result(item: Item) -> Part:
    held = Fields(item)
    held.drop("type", "tool_result", "tool-result")
    answer = parts.joined_text(held.take("content", "output", "result"))
    identity = held.take_id("tool_use_id", "tool_call_id", "toolCallId")
    return parts.tool_response(answer, identity, held.rest())


def _conventions_own(item: Item) -> Part:
    """Pass on a part that is in the convention's form already."""
    if parts.is_conventions(item):
        return parts.other(item)
    return _server_call(item) if item["type"] == "server_tool_call" else _server_result(item)


def _client_call(item: Item) -> Part:
    """Return a call that the client runs: of a function, a custom tool, a computer, a shell."""
    held = Fields(item)
    kind = item["type"]
    held.drop("type", "function_call")
    name = held.take_text("name") or kind.removesuffix("_call")
    arguments = held.take("arguments", "input", "action", "actions", "operation")
    return parts.tool_call(name, arguments, held.take_id("call_id"), held.rest())


def _client_answer(item: Item) -> Part:
    held = Fields(item)
    held.drop("type", "function_call_output")
    answer = parts.joined_text(held.take("output"))
    return parts.tool_response(answer, held.take_id("call_id", "id"), held.rest())


MODALITIES: Final[Mapping[str, str]] = {
    "image": "image",
    "input_image": "image",
    "audio": "audio",
    "video": "video",
    "document": "document",
    "file": "document",
    "media": "document",
}
TYPES: Final[Mapping[str, Callable[[Item], Part]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "summary_text": _text,
    "refusal": _refusal,
    "thinking": _thinking,
    "redacted_thinking": _thinking,
    "reasoning": _reasoning,
    "image_url": _url,
    "input_image": _input_image,
    "input_audio": _audio,
    "file": _file,
    "input_file": _file,
    "image": _media,
    "audio": _media,
    "video": _media,
    "document": _media,
    "text-plain": _text_plain,
    "tool_use": _tool_use,
    "tool_call": _tool_use,
    "invalid_tool_call": _tool_use,
    "tool_call_chunk": _tool_use,
    "tool_result": _tool_result,
    "function_call": _client_call,
    "media": _media,
    "tool_call_response": _conventions_own,
    "server_tool_call": _conventions_own,
    "server_tool_call_response": _conventions_own,
    "server_tool_result": _server_result,
}
"""A row a type."""
