"""Text completions: a prompt in, a text out, under the names of each maker.

OpenAI's ``/v1/completions``; the bodies of Bedrock's InvokeModel (Llama, Titan, Mistral, Cohere, AI21,
Claude 2), whose envelope is opened before; Ollama's ``generate``. Sources: their API references.
"""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields, carry
from mlflow_otel.mapping.messages.parts import Message
from mlflow_otel.mapping.model import Answered, Asked
from mlflow_otel.mapping.values import as_dict, as_list

PROMPTS_ALONE: Final = ("prompt", "inputText", "prompts")
PROMPTS: Final = (*PROMPTS_ALONE, "message", "inputs", "input")
"""Names of a prompt. The last three can mean something else, so they need a text as the answer."""
TEXTS: Final = ("generation", "completion", "text", "outputText", "response", "generated_text")
LISTS: Final = ("results", "outputs", "generations", "completions", "choices")
REASONS: Final = ("stop_reason", "finish_reason", "completionReason", "done_reason")


def asks(inputs: Any, outputs: Any) -> bool:
    """Tell whether a prompt was asked."""
    given = as_dict(inputs)
    if any(_is_text(given.get(key)) for key in PROMPTS_ALONE):
        return True
    return any(_is_text(given.get(key)) for key in PROMPTS) and _answers(outputs) is not None


def answers(outputs: Any) -> bool:
    """Tell whether a text, or a list of them, was answered."""
    return _answers(outputs) is not None


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they have no prompt."""
    if isinstance(inputs, list) and _is_text(inputs):  # LangChain's prompts
        return Asked(chat.talk(inputs))
    held = Fields(inputs)
    key = next((key for key in PROMPTS if _is_text(held.get(key))), None)
    if key is None:
        return None
    prompt = held.take(key)
    said: list[Message] = []
    history = held.get("chat_history")
    if isinstance(history, list) and history and all(isinstance(item, dict) for item in history):
        said = [_turn(item) for item in held.take("chat_history")]  # Cohere
    preamble = held.take_text("preamble", "system")
    said += chat.talk([prompt] if isinstance(prompt, str) else prompt)
    held.take_text("model", "modelId")
    return sides.asked(
        said,
        held,
        system=[parts.text(preamble)] if preamble else [],
        tools=sides.tools(held),
    )


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they have no text."""
    del inputs
    held = Fields(outputs)
    key = _answers(outputs)
    if key is None:
        return None
    if key == WHOLE or key in LISTS:
        given = outputs if key == WHOLE else held.take(key)
        said = [_answer(item) for item in given]
        return sides.answered(said, held, identity=("id", "response_id", "generation_id"))
    thought = held.take_text("thinking")  # Ollama
    said = [parts.reasoning(thought)] if thought else []
    said += items.part_list(held.take(key))
    said += [parts.safely(chat.call, item) for item in held.take_list("tool_calls")]  # Cohere
    made = sides.reply(said)
    reason = parts.finish_reason(held.take_text(*REASONS))
    if reason:
        made["finish_reason"] = reason
    return sides.answered([made], held, identity=("id", "response_id", "generation_id"))


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, str) for item in value)
    return isinstance(value, str)


WHOLE: Final = ""


def _answers(outputs: Any) -> str | None:
    """Return the key under which an answer has its text, or texts; ``WHOLE`` for a list of answers."""
    if isinstance(outputs, list):  # Hugging Face
        named = outputs and all("generated_text" in as_dict(item) for item in outputs)
        return WHOLE if named and all(map(_text_of, outputs)) else None
    answer = as_dict(outputs)
    for key in LISTS:
        said = as_list(answer.get(key))
        if said and all(_text_of(item) is not None for item in said):
            return key
    return next((key for key in TEXTS if isinstance(answer.get(key), str)), None)


def _text_of(item: Any) -> str | None:
    held = as_dict(item)
    held = as_dict(held.get("data")) or held  # AI21
    return next((held[key] for key in TEXTS if isinstance(held.get(key), str)), None)


def _answer(item: dict[str, Any]) -> Message:
    held = Fields(item)
    place = held.inner("data") if isinstance(as_dict(item.get("data")).get("text"), str) else held
    made = sides.reply(items.part_list(place.take_text(*TEXTS)))
    said = held.take_text(*REASONS)
    if said is None:
        said = held.inner("finishReason").take_text("reason")
    reason = parts.finish_reason(said)
    if reason:
        made["finish_reason"] = reason
    return carry(made, held.rest(), chat.RESERVED)


def _turn(item: dict[str, Any]) -> Message:
    held = Fields(item)
    words = held.take_text("message")
    made = chat.message(held.rest())
    if words:
        made["parts"].insert(0, parts.text(words))
    return made
