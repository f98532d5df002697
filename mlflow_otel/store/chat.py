"""The GenAI conventions' messages as those of a chat completion: the form that MLflow's pages and judges read.

MLflow 3.17's pages show the conventions' own form as a chat only where it stands alone and has nothing but
texts and calls; its judges are given it as JSON. Source of this form: the API reference of
``/v1/chat/completions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mlflow_otel.mapping.messages.fields import carry
from mlflow_otel.mapping.values import as_dict, dumps

FUNCTION: Final = "function"
Message = dict[str, Any]
Part = dict[str, Any]

RESERVED: Final = ("tool_calls", "tool_call_id", "finish_reason", "reasoning", "refusal")
"""Names with a fixed meaning in a message. A further field of that name is renamed."""
SOUNDS: Final[Mapping[str, str]] = {
    "audio/wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}
"""Sound that a chat completion takes: its MIME type, its ``format``."""


def as_chat(messages: list[Any]) -> list[Any]:
    """Return messages in the form of a chat completion, those as they are of which a part has no such form.

    A message becomes several where its parts stand in another order than reasoning, content, calls, and
    where it holds the answers of several tools. Further fields stay; where a name is taken it has ``item_``
    before it.
    """
    return [spoken for message in messages for spoken in _spoken(message)]


def instructions(parts: list[Any]) -> list[Any]:
    """Return the system instructions as messages, one for each part: a chat completion's have a text each."""
    return as_chat([{"role": "system", "parts": [part]} for part in parts])


def as_chat_tools(definitions: list[Any]) -> list[Any]:
    """Return the definitions of tools as a chat completion has them; what is no function of the app's stays."""
    return [
        {"type": FUNCTION, FUNCTION: _further(one, "type")} if _is_function(one) else one
        for one in definitions
    ]


def _is_function(definition: Any) -> bool:
    held = as_dict(definition)
    return held.get("type") == FUNCTION and isinstance(held.get("name"), str)


class _Draft:
    """A message that is being written.

    Args:
        role: Who speaks.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.content: list[Part] = []
        self.calls: list[Part] = []
        self.beside: Message = {}
        self.further: Message = {}

    def message(self) -> Message:
        """Return the message. A single text is its content; several items are a list."""
        content: Any = self.content or None
        if len(self.content) == 1 and self.content[0].keys() == {"type", "text"}:
            content = self.content[0]["text"]
        made = {"role": self.role, "content": content, **self.beside}
        if self.calls:
            made["tool_calls"] = self.calls
        return carry(made, self.further, RESERVED)


def _spoken(message: Any) -> list[Any]:
    held = as_dict(message)
    parts, role = held.get("parts"), held.get("role")
    if not isinstance(parts, list) or not isinstance(role, str):
        return [message]
    drafts: list[_Draft] = []
    for part in parts:
        place = PLACES.get(_type(part))
        if place is None or not place(part, role, drafts):
            return [message]
    made = [draft.message() for draft in drafts or [_Draft(role)]]
    beside = _further(held, "role", "parts", "finish_reason")
    for one in made:
        carry(one, beside, RESERVED)
    if "finish_reason" in held:
        made[-1]["finish_reason"] = held["finish_reason"]
    return made


def _type(part: Any) -> str:
    said = as_dict(part).get("type")
    return said if isinstance(said, str) else ""


def _further(held: Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in held.items() if key not in known}


def _open(drafts: list[_Draft], role: str, ends: Callable[[_Draft], Any]) -> _Draft:
    """Return the message to go on with: the last, if the same speaks and it is not past this kind of part."""
    if not drafts or drafts[-1].role != role or ends(drafts[-1]):
        drafts.append(_Draft(role))
    return drafts[-1]


def _item(item: Part, further: Mapping[str, Any], role: str, drafts: list[_Draft]) -> bool:
    _open(drafts, role, lambda draft: draft.calls).content.append(carry(item, further))
    return True


def _text(part: Part, role: str, drafts: list[_Draft]) -> bool:
    said = part.get("content")
    item = {"type": "text", "text": said}
    return isinstance(said, str) and _item(item, _further(part, "type", "content"), role, drafts)


def _field(part: Part, role: str, drafts: list[_Draft]) -> bool:
    said = part.get("content")
    if not isinstance(said, str):
        return False
    draft = _open(drafts, role, lambda draft: draft.content or draft.calls or draft.beside)
    draft.beside[part["type"]] = said
    draft.further = _further(part, "type", "content")
    return True


def _blob(part: Part, role: str, drafts: list[_Draft]) -> bool:
    data, modality, mime = part.get("content"), part.get("modality"), part.get("mime_type", "")
    further = _further(part, "type", "content", "modality", "mime_type")
    if not isinstance(data, str) or not isinstance(mime, str):
        return False
    if modality == "image":
        return _image(f"data:{mime};base64,{data}", further, role, drafts)
    if modality != "audio" or mime not in SOUNDS:
        return False
    sound = {"data": data, "format": SOUNDS[mime]}
    return _item({"type": "input_audio", "input_audio": sound}, further, role, drafts)


def _uri(part: Part, role: str, drafts: list[_Draft]) -> bool:
    uri = part.get("uri")
    if not isinstance(uri, str) or part.get("modality") != "image":
        return False
    return _image(uri, _further(part, "type", "uri", "modality"), role, drafts)


def _image(url: str, further: Mapping[str, Any], role: str, drafts: list[_Draft]) -> bool:
    return _item({"type": "image_url", "image_url": {"url": url}}, further, role, drafts)


def _call(part: Part, role: str, drafts: list[_Draft]) -> bool:
    """Write a call. One of a tool that the provider runs has what it says as its arguments."""
    asked = "arguments" if part["type"] == "tool_call" else "server_tool_call"
    name = part.get("name")
    if not isinstance(name, str):
        return False
    call = {
        "id": "" if part.get("id") is None else part["id"],  # the pages want a text
        "type": FUNCTION,
        FUNCTION: {"name": name, "arguments": _as_json(part.get(asked, {}))},
    }
    further = _further(part, "type", "id", "name", asked)
    _open(drafts, role, lambda _: False).calls.append(carry(call, further))
    return True


def _response(part: Part, _: str, drafts: list[_Draft]) -> bool:
    answer = "response" if part["type"] == "tool_call_response" else "server_tool_call_response"
    if answer not in part:
        return False
    draft = _Draft("tool")
    draft.content.append({"type": "text", "text": _as_json(part[answer])})
    if "id" in part:
        draft.beside["tool_call_id"] = part["id"]
    draft.further = _further(part, "type", "id", answer)
    drafts.append(draft)
    return True


def _as_json(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)


PLACES: Final[Mapping[str, Callable[[Part, str, list[_Draft]], bool]]] = {
    "text": _text,
    "reasoning": _field,
    "refusal": _field,
    "blob": _blob,
    "uri": _uri,
    "tool_call": _call,
    "tool_call_response": _response,
    "server_tool_call": _call,
    "server_tool_call_response": _response,
}
"""Where a part goes, by its type. A row writes it, and says whether it has such a form."""
