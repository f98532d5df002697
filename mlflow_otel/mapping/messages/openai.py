"""Chat completions, and the many libraries that speak them, each in a dialect of its own.

OpenAI, Groq, Mistral, LiteLLM, LangChain and LangGraph, CrewAI, AG2, DSPy's LM, smolagents, Haystack,
Strands, Semantic Kernel. Source: the API reference of ``/v1/chat/completions``; ``langchain_core`` 1.x.
"""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import blocks, chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Message
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.values import as_dict, as_list, present


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they are no messages."""
    held = Fields(inputs)
    given = inputs if isinstance(inputs, list) else held.get("messages")
    said = _talks(given, spoken=isinstance(inputs, list))
    if said is None:
        return None
    held.take("messages")
    held.take_text("model")
    return sides.asked(said, held, tools=sides.tools(held, "tools", "functions"))


def _talks(given: Any, *, spoken: bool) -> list[Message] | None:
    """Return the messages of a talk, or of a list of talks, or None when they are not messages.

    Args:
        given: The talk.
        spoken: Whether one of its items must say who speaks.
    """
    if type(given) is list and type(given[0] if given else None) is not list:  # most talks
        return _talk(given, spoken=spoken)
    if isinstance(given, (str, dict)) and given:
        return _talk([given], spoken=spoken)
    talks = chat.batches(given)
    if talks is None:
        return _talk(given, spoken=spoken)
    made = [_talk(talk, spoken=False) for talk in talks]
    if spoken and not any(chat.is_message(item) for talk in talks for item in talk):
        return None
    if len(made) == 1:
        return made[0]
    numbered = (chat.numbered(talk, index) for index, talk in enumerate(made) if talk is not None)
    return None if None in made else [one for talk in numbered for one in talk]


def _talk(given: Any, *, spoken: bool) -> list[Message] | None:
    if not chat.is_talk(given) or (spoken and not any(map(chat.is_message, given))):
        return None
    return chat.talk(given)


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they are no answer of a chat."""
    if isinstance(outputs, str):
        return Answered([{"role": "assistant", "parts": [parts.text(outputs)]}])
    if isinstance(outputs, list):
        return _list(outputs)
    if not isinstance(outputs, dict):
        return None
    held = Fields(outputs)
    audio = as_dict(as_dict(inputs).get("audio")).get("format")
    for key in ("choices", "generations"):
        lists = _lists(outputs.get(key))
        if lists:
            held.take(key)
            held.drop("object", "chat.completion", "chat.completion.chunk", "text_completion")
            held.drop("type", "LLMResult")
            answers = []
            for batch, choices in enumerate(lists):
                said = [_choice(choice, index, audio) for index, choice in enumerate(choices)]
                answers += said if len(lists) == 1 else chat.numbered(said, batch)
            return _replies(held, answers)
    for key in ("replies", "messages"):  # Haystack; agents, Semantic Kernel
        given = outputs.get(key)
        replies = [given] if isinstance(given, dict) else as_list(given)
        if replies and all(isinstance(i, str) or chat.is_message(i) for i in replies):
            held.take(key)
            return _replies(held, chat.talk(replies, "assistant"))
    if chat.is_message(outputs):
        return _replies(Fields(None), [chat.message(outputs, audio)])
    if chat.is_message(outputs.get("message")):  # Ollama, Cohere
        made = chat.message(held.take("message"), audio)
        reason = parts.finish_reason(held.take_text("done_reason", "finish_reason"))
        return _replies(held, [{**made, **({"finish_reason": reason} if reason else {})}])
    return None


OBJECTS: Final = frozenset({dict})


def _lists(given: Any) -> list[list[Any]]:
    """Return the choices, one list for each prompt of the call. Returns an empty list for anything else."""
    if not isinstance(given, list) or not given:
        return []
    if OBJECTS.issuperset(map(type, given)):
        return [given]
    lists = chat.batches(given)
    if lists is None or not lists[0]:
        return []
    return lists if all(OBJECTS.issuperset(map(type, one)) for one in lists) else []


def _list(outputs: list[Any]) -> Answered | None:
    if not outputs:
        return None
    if all(isinstance(item, str) for item in outputs):  # DSPy's LM
        return Answered([{"role": "assistant", "parts": [parts.text(item)]} for item in outputs])
    if all(isinstance(item, dict) and _says(item) for item in outputs):
        return _replies(Fields(None), chat.talk([_said(item) for item in outputs], "assistant"))
    return None


def _says(item: dict[str, Any]) -> bool:
    """Tell whether an object is a message, a content item or a block."""
    kind = item.get("type")
    if isinstance(kind, str):
        return not kind.startswith("response.")  # an event of a stream
    return chat.is_message(item) or isinstance(item.get("text"), str) or blocks.is_block(item)


BESIDE_TEXT: Final = frozenset({"tool_calls", "reasoning_content", "citations", "logprobs"})


def _said(item: dict[str, Any]) -> dict[str, Any]:
    """Return an answer of DSPy's LM (a text with further fields) as a message."""
    held = present(item)
    if "type" in held or "content" in held or BESIDE_TEXT.isdisjoint(held) or "text" not in held:
        return item
    if chat.is_message(item):
        return item
    return {
        "role": "assistant",
        "content": held["text"],
        **{k: v for k, v in held.items() if k != "text"},
    }


PLAIN: Final = frozenset({"index", "message", "finish_reason"})


def _choice(choice: dict[str, Any], index: int, audio: Any) -> Message:
    given = choice.get("message")
    if (  # most choices are a message and why it ends
        choice.keys() == PLAIN
        and chat.is_message(given)
        and type(choice["index"]) is int
        and choice["index"] == index
        and isinstance(choice["finish_reason"], str)
        and choice["finish_reason"]
    ):
        made = chat.message(given, audio)
        made["finish_reason"] = parts.finish_reason(choice["finish_reason"])
        return made
    held = Fields(choice)
    given = held.take("message", "delta")
    if isinstance(given, dict):
        made = chat.message(
            given if chat.is_message(given) else carry({"role": "assistant"}, given), audio
        )
        if "text" in held:  # LangChain says it twice
            said = [part["content"] for part in made["parts"] if part["type"] == "text"]
            held.drop("text", "", *said, "".join(said), "\n".join(said))
    else:
        if given is not None:
            held.put("message", given)
        made = {"role": "assistant", "parts": items.part_list(held.take("text"))}
    reason = held.take_text("finish_reason")
    if not reason and "generation_info" in held:
        reason = held.inner("generation_info").take_text("finish_reason")
    if reason:
        made["finish_reason"] = parts.finish_reason(reason)
    if type(held.get("index")) is int:
        held.drop("index", index)
    held.drop("type", "ChatGeneration", "Generation")
    return carry(made, held.rest(), chat.RESERVED)


def _replies(held: Fields, said: list[Message]) -> Answered:
    """Return the outputs' side. The ID, model and reasons may stand in the notes of its messages."""
    side = sides.answered(said, held)
    noted = [made for made in said if not NOTES.isdisjoint(made)]
    if not noted:
        return side
    for made in noted:
        for place in sorted(NOTES & made.keys()):
            if isinstance(made[place], dict):
                _note(Fields(made.pop(place)), place, made, side)
    side.finish_reasons = [made["finish_reason"] for made in said if made.get("finish_reason")]
    return side


def _note(notes: Fields, place: str, made: Message, side: Answered) -> None:
    """Take the response's ID, model and finish reason out of a message's notes. Other notes stay."""
    for key in ("finish_reason", "stop_reason", "stopReason"):
        reason = parts.finish_reason(notes.get(key))
        if reason is not None and made.setdefault("finish_reason", reason) == reason:
            notes.take(key)
    if side.response_id is None:
        side.response_id = notes.take_text("id")
    for key in ("model", "model_name"):
        if side.response_model is None:
            side.response_model = notes.take_text(key)
        notes.drop(key, side.response_model)
    rest = notes.rest()
    if rest:
        made[place] = rest


NOTES: Final = frozenset({"response_metadata", "meta"})
"""Where LangChain and Haystack put the response's ID, model and finish reason."""
