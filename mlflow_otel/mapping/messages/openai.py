"""Chat completions, and the many libraries that speak them, each in a dialect of its own.

OpenAI, Groq, Mistral, LiteLLM, LangChain and LangGraph, CrewAI, AG2, DSPy's LM, smolagents, Haystack,
Strands, Semantic Kernel. Source: the API reference of ``/v1/chat/completions``; ``langchain_core`` 1.x.
"""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Message
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.values import as_dict, as_list


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they are no messages."""
    held = Fields(inputs)
    given = chat.batch(inputs if isinstance(inputs, list) else held.get("messages"))
    if isinstance(given, (str, dict)) and given:
        given = [given]
    if not isinstance(given, list) or not {dict, str}.issuperset(
        type(item) for item in given if not chat.is_message(item)
    ):
        return None
    if isinstance(inputs, list) and not any(map(chat.is_message, given)):
        return None
    held.take("messages")
    held.take_text("model")
    return sides.asked(chat.talk(given), held, tools=sides.tools(held))


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
    for key in ("replies", "messages"):  # Haystack; agents, Semantic Kernel
        said = outputs.get(key)
        if isinstance(said, dict):
            said = [said]
        if (
            isinstance(said, list)
            and said
            and all(isinstance(i, str) or chat.is_message(i) for i in said)
        ):
            held.take(key)
            return _replies(held, chat.talk(said, "assistant"))
    for key in ("choices", "generations"):
        said = _flat(outputs.get(key))
        if said and all(isinstance(choice, dict) for choice in said):
            held.take(key)
            held.drop("object", "chat.completion", "chat.completion.chunk", "text_completion")
            held.drop("type", "LLMResult")
            found = [_choice(choice, index, audio) for index, choice in enumerate(said)]
            return _replies(held, found)
    if chat.is_message(outputs):
        return _replies(Fields(None), [chat.message(outputs, audio)])
    if chat.is_message(outputs.get("message")):  # Ollama
        made = chat.message(held.take("message"), audio)
        reason = parts.finish_reason(held.take_text("done_reason"))
        return _replies(held, [{**made, **({"finish_reason": reason} if reason else {})}])
    return None


def _list(outputs: list[Any]) -> Answered | None:
    if not outputs:
        return None
    if all(isinstance(item, str) for item in outputs):  # DSPy's LM
        return Answered([{"role": "assistant", "parts": [parts.text(item)]} for item in outputs])
    if all(isinstance(item, dict) for item in outputs):
        return _replies(Fields(None), chat.talk(outputs, "assistant"))
    return None


def _flat(given: Any) -> list[Any]:
    """Return LangChain's generations of a batch of one as a list of them."""
    return as_list(chat.batch(given))


def _choice(choice: dict[str, Any], index: int, audio: Any) -> Message:
    held = Fields(choice)
    given = held.take("message", "delta")
    if isinstance(given, dict):
        made = chat.message(
            given if chat.is_message(given) else carry({"role": "assistant"}, given), audio
        )
        said = [part["content"] for part in made["parts"] if part["type"] == "text"]
        held.drop("text", "", *said, "".join(said), "\n".join(said))  # LangChain says it twice
    else:
        if given is not None:
            held.put("message", given)
        made = {"role": "assistant", "parts": items.part_list(held.take("text"))}
    reason = held.take_text("finish_reason") or held.inner("generation_info").take_text(
        "finish_reason"
    )
    if reason:
        made["finish_reason"] = parts.finish_reason(reason)
    if type(held.get("index")) is int:
        held.drop("index", index)
    held.drop("type", "ChatGeneration", "Generation")
    return carry(made, held.rest(), chat.RESERVED)


def _replies(held: Fields, said: list[Message]) -> Answered:
    """Return the side; what the response does not say of itself may stand in its messages' notes."""
    known: dict[str, str | None] = {"id": None, "model": None}
    for made in said:
        for place in NOTES:
            if not isinstance(made.get(place), dict):
                continue
            notes = Fields(made[place])
            reason = notes.take_text("finish_reason", "stop_reason", "stopReason")
            if reason is not None and not made.get("finish_reason"):
                made["finish_reason"] = parts.finish_reason(reason)
            for name, keys in (("id", ("id",)), ("model", ("model", "model_name"))):
                if known[name] is None:
                    known[name] = notes.take_text(*keys)
            if known["model"]:
                for key in ("model", "model_name"):
                    notes.drop(key, known["model"])
            made[place] = notes.rest()
            if not made[place]:
                del made[place]
    found = sides.answered(said, held)
    found.response_id = found.response_id or known["id"]
    found.response_model = found.response_model or known["model"]
    return found


NOTES = ("response_metadata", "meta")
"""Where LangChain and Haystack put what a provider says of its response."""
