"""What a response says of itself: ``gen_ai.response.*``, whatever the API calls it.

For the calls whose answer is no message (text completions, the bodies of InvokeModel), and for what a
message format did not read. Source: the API references of OpenAI, Anthropic, Bedrock, Cohere, Ollama.
"""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.mapping import typed
from mlflow_otel.mapping.messages import chat, parts
from mlflow_otel.mapping.values import as_dict, as_list

NAMES: Final = {
    genai.RESPONSE_ID: ("id", "response_id", "responseId", "generation_id"),
    genai.RESPONSE_MODEL: ("model", "model_version", "modelVersion", "model_name"),
}
ATTRIBUTES: Final = frozenset({*NAMES, genai.RESPONSE_FINISH_REASONS})
REASONS: Final = (
    "finish_reason",
    "stop_reason",
    "stopReason",
    "finishReason",
    "completionReason",
    "done_reason",
)
ANSWERS: Final = (
    "choices",
    "candidates",
    "results",
    "outputs",
    "generations",
    "completions",
)
WRAPPERS: Final = ("raw", "response")
SPEAKERS: Final = ("replies", "messages", "generations")
"""Lists of messages, or of what holds one."""
NOTES: Final = ("response_metadata", "meta")
"""Where LangChain and Haystack put a response's model in a message."""


def attributes(outputs: Any) -> dict[str, Any]:
    """Return the response's attributes that its outputs say."""
    collected: dict[str, Any] = {}
    answer = as_dict(outputs)
    for held in (answer, *(as_dict(answer.get(wrapper)) for wrapper in WRAPPERS)):
        if not held:
            continue
        for attribute, names in NAMES.items():
            if attribute not in collected:
                said = next((held[n] for n in names if typed.text(held.get(n))), None)
                if said is not None:
                    collected[attribute] = said
        if genai.RESPONSE_FINISH_REASONS not in collected:
            reasons = _reasons(held)
            if reasons:
                collected[genai.RESPONSE_FINISH_REASONS] = reasons
    if genai.RESPONSE_MODEL not in collected and (model := _noted(answer)):
        collected[genai.RESPONSE_MODEL] = model
    return collected


def _noted(answer: dict[str, Any]) -> str | None:
    """Return the model that the notes of a response's messages name."""
    for speaker in SPEAKERS:
        for item in map(as_dict, as_list(chat.batch(answer.get(speaker)))):
            for message in (item, as_dict(item.get("message"))):
                for notes in (as_dict(message.get(place)) for place in NOTES):
                    said = next(
                        (notes[n] for n in ("model", "model_name") if typed.text(notes.get(n))),
                        None,
                    )
                    if said is not None:
                        return str(said)
    return None


def _reasons(held: dict[str, Any]) -> list[str]:
    answers = next((held[name] for name in ANSWERS if isinstance(held.get(name), list)), None)
    reasons = []
    for answer in [held] if answers is None else map(as_dict, as_list(answers)):
        said = next((answer[name] for name in REASONS if answer.get(name)), None)
        reason = parts.finish_reason(said)
        if reason is not None:
            reasons.append(reason)
    return reasons
