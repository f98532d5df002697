"""One message of a chat, whoever wrote it down, and lists of them.

OpenAI's chat completions and the many that speak them; LangChain's own messages, also as constructors;
Haystack's and Strands', whose content is blocks; Anthropic's; the items of OpenAI's Responses API that
stand between messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mlflow_otel.mapping.messages import items, parts
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Message, Part
from mlflow_otel.mapping.values import present

ROLES: Final[Mapping[str, str]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "human": "user",  # LangChain
    "ai": "assistant",
    "function": "tool",  # OpenAI, before tools
    "model": "assistant",  # Gemini
    "chatbot": "assistant",  # Cohere
    "tool-call": "assistant",  # smolagents
    "tool-response": "tool",
}
"""Who speaks, in the convention's words; others pass as they are."""
SYSTEM_ROLES: Final = frozenset({"system", "developer"})
TALK: Final = frozenset({dict, str})
MESSAGE_TYPES: Final = frozenset({"message", "constructor", "chat"})
LEAST: Final = 2
"""Every message has a role and parts."""
PLAIN: Final = frozenset({"role", "content", "tool_calls"})
RESERVED: Final = ("name", "finish_reason")


def role(said: str) -> str:
    """Return the convention's word for who speaks."""
    return ROLES.get(said.lower(), said)


def is_message(item: Any) -> bool:
    """Tell whether an item says who speaks: by a role, or by a type such as LangChain's."""
    if isinstance(item, list):  # LangChain's pairs
        return len(item) == 2 and isinstance(item[0], str) and item[0].lower() in ROLES
    if not isinstance(item, dict):
        return False
    if isinstance(item.get("role"), str) or isinstance(item.get("_role"), str):
        return True
    kind = item.get("type")
    return isinstance(kind, str) and (kind in MESSAGE_TYPES or _spoken_by(kind) is not None)


def is_plain(item: Any) -> bool:
    """Tell whether an item is only a role and a text, and the role is one that is used as it is."""
    if type(item) is not dict or len(item) != LEAST:
        return False
    who = item.get("role")
    if type(who) is not str or who not in USUAL:
        return False
    said = item.get("content")
    return type(said) is str and said != ""


def is_talk(given: Any) -> bool:
    """Tell whether a list holds nothing but objects, texts and pairs of role and content."""
    if not isinstance(given, list):
        return False
    return TALK.issuperset(map(type, given)) or all(
        type(item) in TALK or is_message(item) for item in given
    )


def talk(given: list[Any], side: str = "user", *, together: bool = False) -> list[Message]:
    """Return messages, and items that stand between them, as messages.

    Args:
        given: The list.
        side: Who says what does not tell.
        together: Whether all that the assistant says in a row is one message, as in the Responses API.
    """
    said: list[Message] = []
    for item in given:
        if not together and is_plain(item):  # most messages
            said.append(
                {
                    "role": item["role"],
                    "parts": [{"type": "text", "content": item["content"]}],
                }
            )
            continue
        speaks = is_message(item)
        if speaks:
            made = message(item)
        else:
            who = items.role_of(item, side) if isinstance(item, dict) else side
            made = {"role": who, "parts": [items.part(item)]}
        last = said[-1] if said else None
        if (
            last is not None
            and last["role"] == made["role"] == "assistant"
            and (together or not speaks)
        ):
            last["parts"] += on_parts(made)
        else:
            said.append(made)
    return said


def on_parts(made: Message) -> list[Part]:
    """Return a message's parts without the message. The first part carries the message's other fields."""
    contents: list[Part] = made["parts"]
    if len(made) == LEAST:
        return contents
    return first_carries(
        contents, {key: value for key, value in made.items() if key not in {"role", "parts"}}
    )


def first_carries(contents: list[Part], rest: Mapping[str, Any]) -> list[Part]:
    """Add further fields to the first of some parts."""
    if rest:
        contents = contents or [parts.text("")]
        carry(contents[0], rest, ("id", *parts.RESERVED.get(contents[0]["type"], ())))
    return contents


def instructions(said: list[Message]) -> tuple[list[Part], list[Message]]:
    """Split off the system messages at the start of a talk. Later ones keep their place."""
    if not said or said[0]["role"] not in SYSTEM_ROLES:
        return [], said
    count = 1
    while count < len(said) and said[count]["role"] in SYSTEM_ROLES:
        count += 1
    return [part for item in said[:count] for part in on_parts(item)], said[count:]


def message(item: Any, audio: Any = None) -> Message:
    """Return one message.

    Args:
        item: The message: an object, or a pair of role and content.
        audio: The format of a spoken answer, if the request says it.
    """
    if isinstance(item, list):
        item = {"role": item[0], "content": item[1]}
    who = item.get("role")
    if isinstance(who, str) and who in USUAL and item.keys() <= PLAIN:
        # Most messages are a role, a text and calls.
        content = item.get("content")
        contents = items.part_list(content)
        calls = item.get("tool_calls")
        if isinstance(calls, list):
            contents += new_calls(contents, [parts.safely(call, one) for one in calls])
        elif calls is not None:
            return carry({"role": who, "parts": contents}, {"tool_calls": calls})
        return {"role": _answering(who, contents), "parts": contents}
    if who == "tool" and item.keys() == ANSWER and isinstance(item["content"], str):
        call_id = item["tool_call_id"]
        if isinstance(call_id, str):
            return {"role": who, "parts": [parts.tool_response(item["content"], call_id)]}
    held = _opened(item)
    who = _take_role(held)
    extra = held.inner("additional_kwargs")
    call_id = held.take_id("tool_call_id") or extra.take_id("tool_call_id")
    if who == "tool" or call_id is not None:
        if who not in USUAL and who != "tool":
            held.put("role", who)
        return {"role": "tool", "parts": _answers(held, call_id)}
    contents = _thoughts(held, extra)
    contents += items.part_list(_content(held))
    refusal = held.take_text("refusal")
    if refusal:
        contents.append({"type": "refusal", "content": refusal})
    contents += _images(held)
    contents += _calls(held, extra, contents)
    for place in (held, extra):
        if isinstance(place.get("audio"), dict):
            contents.append(items.spoken(place.take("audio"), audio))
    made: Message = {"role": _answering(who, contents), "parts": contents}
    name = held.take_text("name")
    if name:
        made["name"] = name
    reason = parts.finish_reason(held.get("finish_reason"))
    if reason is not None:
        held.take("finish_reason")
        made["finish_reason"] = reason
    return carry(made, held.rest(), RESERVED)


def _content(held: Fields) -> Any:
    """Take a message's content: ``content``, or the list that other libraries use instead."""
    content = held.take("content")
    # The convention's and Vercel's messages have parts, Semantic Kernel's have items.
    return held.take_list("parts", "items") if content is None else content


def _answering(who: str, contents: list[Part]) -> str:
    """Return the role. A tool's answer has the role ``tool``, even where Anthropic and Bedrock say ``user``."""
    if who != "user" or not contents or contents[0]["type"] != "tool_call_response":
        return who
    return "tool" if all(part["type"] == "tool_call_response" for part in contents) else who


USUAL: Final = frozenset({"user", "assistant", "system", "developer"})


ANSWER: Final = frozenset({"role", "content", "tool_call_id"})
WRAPPED: Final = frozenset({"kwargs", "data", "_role"})


def _opened(item: dict[str, Any]) -> Fields:
    """Return a message's fields, without LangChain's or Haystack's wrapper."""
    if WRAPPED.isdisjoint(item):
        return Fields(item)
    if item.get("type") == "constructor" and isinstance(item.get("kwargs"), dict):
        path = item.get("id")
        kind = path[-1] if isinstance(path, list) and path else None
        beside = {k: v for k, v in item.items() if k not in {"type", "kwargs"}}
        opened: dict[str, Any] = {**present(item["kwargs"])}
        if isinstance(kind, str) and "role" not in opened:
            opened.setdefault("type", kind)
        return Fields(carry(opened, beside))
    if isinstance(item.get("data"), dict) and isinstance(item.get("type"), str):
        beside = {k: v for k, v in item.items() if k != "data"}
        return Fields(carry({**present(item["data"])}, beside))
    if item.get("_role") is not None:
        hidden = {key[1:]: v for key, v in item.items() if key[:1] == "_" and v is not None}
        return Fields(carry(hidden, {k: v for k, v in item.items() if k[:1] != "_"}))
    return Fields(item)


def _spoken_by(kind: str) -> str | None:
    word = kind.removesuffix("Chunk").removesuffix("Message").lower()
    return ROLES.get(word)


def _take_role(held: Fields) -> str:
    said = held.take_text("role")
    if said:
        kind = held.get("type")
        if isinstance(kind, str) and (kind in MESSAGE_TYPES or _spoken_by(kind) == role(said)):
            held.take("type")
        return role(said)
    kind = held.get("type")
    who = _spoken_by(kind) if isinstance(kind, str) else None
    if who is not None:
        held.take("type")
    return who or "user"


def _answers(held: Fields, call_id: str | None) -> list[Part]:
    """Return the answers in a tool's message: one, or a list of several."""
    answers = held.take_list("tool_responses")  # AG2; the content has them all again
    if answers:
        contents = [parts.safely(_answer, answer) for answer in answers]
        said = [part["response"] for part in contents if isinstance(part.get("response"), str)]
        held.drop("content", "", "\n\n".join(said))
        return first_carries(contents, held.rest())
    content = _content(held)
    if isinstance(content, list):
        contents = items.part_list(content)
        if any(part["type"] == "tool_call_response" for part in contents):
            return first_carries(contents, held.rest())
    held.drop("role", "tool")
    held.drop("tool_call_id", call_id)
    return [parts.tool_response(parts.joined_text(content), call_id, held.rest())]


def _answer(item: Any) -> Part:
    held = Fields(item)
    if "content" not in held:
        return parts.other(item)
    return _answers(held, held.take_id("tool_call_id"))[0]


def _thoughts(held: Fields, extra: Fields) -> list[Part]:
    said = [
        place.take_text(key)
        for place in (held, extra)
        for key in ("reasoning_content", "reasoning", "thinking")
    ]
    return [parts.reasoning(thought) for thought in dict.fromkeys(said) if thought]


def _images(held: Fields) -> list[Part]:
    """Return the images that stand beside the content: Ollama's base64, OpenRouter's items."""
    images = held.take_list("images")
    contents = [
        parts.media(image, "image") if isinstance(image, str) else items.part(image)
        for image in images
        if not isinstance(image, str) or IMAGE.match(image)
    ]
    if len(contents) < len(images):  # paths of files
        held.put("images", [i for i in images if isinstance(i, str) and not IMAGE.match(i)])
    return contents


IMAGE: Final = re.compile(r"data:|https?://|b['\"]|[A-Za-z0-9+/_-]{4,}={0,2}$")
"""Text that is an image itself (a link, bytes, base64), not the path of a file."""


def _calls(held: Fields, extra: Fields, contents: list[Part]) -> list[Part]:
    """Return the calls beside the content, without those that the content has too."""
    calls = [parts.safely(call, item) for item in held.take_list("tool_calls")]
    calls += [parts.safely(call, item) for item in held.take_list("invalid_tool_calls")]
    if isinstance(held.get("function_call"), dict):
        calls.append(parts.safely(call, held.take("function_call")))
    more = [parts.safely(call, item) for item in extra.take_list("tool_calls")]
    return new_calls(contents, [*calls, *more])


def new_calls(contents: list[Part], calls: list[Part]) -> list[Part]:
    """Return the calls that are not among the parts yet. Frameworks often write a call twice."""
    known = [part for part in contents if part["type"] == "tool_call"]
    if not known and len(calls) == 1:
        return calls
    new: list[Part] = []
    for part in calls:
        twin = next((one for one in known if _identity(one) == _identity(part)), None)
        if twin is None:
            new.append(part)
            known.append(part)
        else:  # it may say more than the first
            more = {k: v for k, v in part.items() if k not in CALL and twin.get(k) != v}
            carry(twin, more)
    return new


CALL: Final = frozenset({"type", "name", "id", "arguments"})


def _identity(part: Part) -> tuple[Any, ...]:
    if part.get("id") is None:
        return (id(part),)
    return part.get("name"), part["id"], part.get("arguments")


CALLED: Final = frozenset({"id", "type", "function"})
FUNCTION: Final = frozenset({"name", "arguments"})


def call(item: Any) -> Part:
    """Return a tool call of a message: a function's, a custom tool's, LangChain's."""
    if not isinstance(item, dict):
        return parts.text(item)
    function = item.get("function")
    if (  # most calls are a function's
        isinstance(function, dict)
        and item.keys() <= CALLED
        and function.keys() <= FUNCTION
        and item.get("type", "function") == "function"
        and isinstance(function.get("name"), str)
        and isinstance(item.get("id"), str)
    ):
        return parts.tool_call(function["name"], function.get("arguments"), item["id"])
    held = Fields(item)
    named = (k for k in ("function", "custom", item.get("type")) if isinstance(k, str))
    kind = next((k for k in named if isinstance(item.get(k), dict)), None)
    inner = held if kind is None else held.inner(kind)
    held.drop("type", "function", "tool_call", "invalid_tool_call")
    name = inner.take_text("name", "tool_name")
    arguments = inner.take("arguments", "input", "args", "parameters")
    call_id = held.take_id("id")
    rest = held.rest() if kind is None else held.flat(kind)
    return parts.tool_call(name, arguments, call_id, rest)


def batch(given: Any) -> Any:
    """Return the only list of a list of lists: LangChain's batches of one."""
    lists = batches(given)
    return lists[0] if lists is not None and len(lists) == 1 else given


def batches(given: Any) -> list[list[Any]] | None:
    """Return a list of lists, one for each prompt of a call, or None for anything else."""
    if not isinstance(given, list) or not given:
        return None
    if all(isinstance(one, list) and not is_message(one) for one in given):
        return given
    return None


def numbered(said: list[Message], batch: int) -> list[Message]:
    """Give messages the number of their prompt within the call, from 0."""
    return [{**made, "batch": batch} for made in said]
