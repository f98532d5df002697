"""Chat inputs and outputs to the GenAI convention's messages: one module a format, one table.

``mlflow.message.format`` names the format. A new one is a module with ``request`` and ``response``, and
a row here. The two sides are apart: one that is not understood is left as it is, the other still maps.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from mlflow_otel.mapping.messages import (
    anthropic,
    autogen,
    bedrock,
    chat,
    completions,
    gemini,
    llamaindex,
    openai,
    pydantic_ai,
    responses,
)
from mlflow_otel.mapping.messages.parts import Part, Unread
from mlflow_otel.mapping.model import Answered, Asked, Conversation
from mlflow_otel.mapping.placeholders import is_handle
from mlflow_otel.mapping.values import as_dict, present

FORMATS: Final[dict[str, tuple[ModuleType, ...]]] = {
    "openai": (responses, openai),
    "openai-agent": (responses, openai),
    "anthropic": (anthropic,),
    "gemini": (gemini,),
    "bedrock": (bedrock,),
    "langchain": (openai, completions),
    "llamaindex": (llamaindex, openai),
    "mistral": (openai,),
    "groq": (openai,),
    "crewai": (openai,),
    "dspy": (openai,),
    "smolagents": (openai,),
    "pydantic_ai": (pydantic_ai,),
    "autogen": (autogen, openai),
    "ag2": (openai,),
}
"""Format to its modules: for each side the first that understands it. Others are told by shape."""


def convert(message_format: Any, inputs: Any, outputs: Any) -> Conversation | None:
    """Return a span's conversation, or None when neither side's shape is known.

    Without a format the shape decides; what cannot be recognised is not guessed at.
    """
    named = FORMATS.get(message_format, ()) if isinstance(message_format, str) else ()
    if not named and _say_nothing(inputs, outputs):
        return None
    failures: list[str] = []
    given = present(inputs) if isinstance(inputs, dict) else inputs
    said = present(outputs) if isinstance(outputs, dict) else outputs
    asked = (
        _asked(named, failures, given)
        or _asked(_asked_by_shape(given, said), failures, given)
        or _asked_in_one(named, failures, given, said)
    )
    said = None if is_handle(said) else said
    answered = _answered(named, failures, said, given) or _answered(
        _answered_by_shape(given, said, asked), failures, said, given
    )
    if asked is None and answered is None and not failures:
        return None
    conversation = Conversation(
        Asked([], rest=inputs) if asked is None else asked,
        Answered([], rest=outputs) if answered is None else answered,
    )
    _settle(conversation, failures)
    if failures:
        conversation.failures = tuple(dict.fromkeys(failures))
    return conversation


def _say_nothing(inputs: Any, outputs: Any) -> bool:
    """Tell quickly that two objects hold no messages. Most inputs and outputs of agents do not."""
    return (
        type(inputs) is dict
        and type(outputs) is dict
        and QUESTIONS.isdisjoint(inputs)
        and ANSWERS.isdisjoint(outputs)
    )


def _asked(modules: tuple[ModuleType, ...], failures: list[str], inputs: Any) -> Asked | None:
    """Return what the first module that understands the inputs makes of them."""
    for module in modules if inputs is not None else ():
        try:
            side: Asked | None = module.request(inputs)
        except Exception as error:
            failures.append(type(error).__name__)
        else:
            if side is not None:
                return side
    return None


def _asked_in_one(
    named: tuple[ModuleType, ...], failures: list[str], inputs: Any, outputs: Any
) -> Asked | None:
    """Return what is made of a request that is one parameter of the function that takes it."""
    for key in ENVELOPES if isinstance(inputs, dict) else ():
        inner = present(as_dict(inputs.get(key)))
        side = inner and (
            _asked(named, failures, inner)
            or _asked(_asked_by_shape(inner, outputs), failures, inner)
        )
        if side:
            side.rest = {**inputs, key: side.rest} if side.rest else _without(inputs, key)
            return side
    return None


def _without(inputs: dict[str, Any], key: str) -> dict[str, Any] | None:
    return {name: value for name, value in inputs.items() if name != key} or None


def _answered(
    modules: tuple[ModuleType, ...], failures: list[str], outputs: Any, inputs: Any
) -> Answered | None:
    """Return what the first module that understands the outputs makes of them."""
    for module in modules if outputs is not None else ():
        try:
            side: Answered | None = module.response(outputs, inputs)
        except Exception as error:
            failures.append(type(error).__name__)
        else:
            if side is not None:
                return side
    return None


def _settle(conversation: Conversation, failures: list[str]) -> None:
    """Turn parts that could not be converted into plain ones, and collect their errors."""
    _settle_parts(conversation.system, failures)
    for made in conversation.inputs:
        _settle_parts(made["parts"], failures)
    for made in conversation.outputs:
        _settle_parts(made["parts"], failures)


def _settle_parts(spoken: list[Part], failures: list[str]) -> None:
    if Unread in map(type, spoken):
        for index, part in enumerate(spoken):
            if type(part) is Unread:
                failures.append(part.failure)
                spoken[index] = dict(part)


def _asked_by_shape(inputs: Any, outputs: Any) -> tuple[ModuleType, ...]:
    if isinstance(inputs, list):
        given = chat.batch(inputs)
        return (openai,) if isinstance(given, list) and all(map(chat.is_message, given)) else ()
    if not isinstance(inputs, dict):
        return ()
    messages = inputs.get("messages")
    if messages is not None:
        if "modelId" in inputs or "inferenceConfig" in inputs:
            return (bedrock,)
        if "system" in inputs:
            return (anthropic, openai)
        if not isinstance(messages, list) or any(map(chat.is_message, chat.batch(messages))):
            blocks = isinstance(messages, list) and any(
                as_dict(m).get("blocks") is not None for m in messages
            )
            return (pydantic_ai, autogen, *((llamaindex,) if blocks else ()), openai)
        return (pydantic_ai, autogen)
    if "contents" in inputs:
        return (gemini,)
    if inputs.get("user_msg") and isinstance(inputs["user_msg"], (str, dict)):
        return (llamaindex,)
    given = inputs.get("input")
    if isinstance(given, list) and any(map(chat.is_message, given)):
        return (responses,)
    if isinstance(given, str) and isinstance(outputs, dict) and "output" in outputs:
        return (responses,)
    return (completions,) if completions.asks(inputs, outputs) else ()


ENVELOPES: Final = ("request", "body", "payload", "model_input")
"""Names of a parameter that is a whole request, as those of MLflow's ``ResponsesAgent.predict`` are."""
QUESTIONS: Final = frozenset(
    {"messages", "contents", "input", "user_msg", *completions.PROMPTS, *ENVELOPES}
)
"""The inputs of every format have one of these keys."""
ANSWERS: Final = frozenset(
    {
        "candidates",
        "output",
        "content",
        "parts",
        "message",
        "choices",
        "generations",
        "replies",
        "result",
        "messages",
        "role",
        "_role",
        "type",
    }
)
"""The outputs of every format have one of these keys."""


def _answered_by_shape(inputs: Any, outputs: Any, asked: Asked | None) -> tuple[ModuleType, ...]:
    if isinstance(outputs, str):
        return (openai,) if asked is not None else ()
    if isinstance(outputs, list):
        if asked is not None and completions.answers(outputs):
            return (completions,)
        speak = any(map(chat.is_message, outputs))
        return (openai,) if speak or asked is not None else ()
    if asked is not None and completions.asks(inputs, outputs) and completions.answers(outputs):
        return (completions,)
    if not isinstance(outputs, dict) or ANSWERS.isdisjoint(outputs):
        return ()
    if "candidates" in outputs:
        return (gemini,)
    output = outputs.get("output")
    if isinstance(output, dict) and "message" in output:
        return (bedrock,)
    if isinstance(output, list) and all(map(_stands_alone, output)):
        return (responses,)
    if isinstance(output, str) and asked is not None:
        return (responses,)
    if "stop_reason" in outputs and "content" in outputs:
        return (anthropic,)
    if outputs.get("kind") == "response" and outputs.get("parts") is not None:
        return (pydantic_ai,)
    message = as_dict(outputs.get("message"))
    if message.get("blocks") is not None or llamaindex.is_agents_answer(outputs):
        return (llamaindex,)
    return (openai,)


def _stands_alone(item: Any) -> bool:
    return chat.is_message(item) or (isinstance(item, dict) and isinstance(item.get("type"), str))
