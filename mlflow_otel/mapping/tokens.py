"""Tokens and cost of one span: ``gen_ai.usage.*``, and what of them has no name there.

MLflow's own counts come first. What they lack fills in from the response's own ``usage``, in the
spelling of whoever wrote it: a row a count, a column a spelling.

Source: the attribute registry of open-telemetry/semantic-conventions-genai; the usage objects of OpenAI
(chat, responses), Anthropic, Gemini, Bedrock, Cohere, DeepSeek, LangChain, LiteLLM, OpenRouter, Pydantic AI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import typed
from mlflow_otel.mapping.values import as_dict, as_list, present

BY_MLFLOW: Final[Mapping[str, str]] = {
    "input_tokens": genai.USAGE_INPUT_TOKENS,
    "output_tokens": genai.USAGE_OUTPUT_TOKENS,
    "cache_read_input_tokens": genai.USAGE_CACHE_READ,
    "cache_creation_input_tokens": genai.USAGE_CACHE_WRITE,
    "reasoning_tokens": genai.USAGE_REASONING,
    "reasoning_output_tokens": genai.USAGE_REASONING,
}
"""MLflow's counts. Others of its leave under ``mlflow.chat.tokenUsage.<key>``."""

TOTAL: Final = keys.TOKEN_USAGE_PREFIX + "total_tokens"
ABOVE_1HR: Final = keys.TOKEN_USAGE_PREFIX + "cache_creation_input_tokens_above_1hr"

SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    genai.USAGE_INPUT_TOKENS: (
        "input_tokens",
        "prompt_tokens",
        "inputTokens",
        "promptTokens",
        "prompt_token_count",
        "promptTokenCount",
        "inputTokenCount",
        "inputTextTokenCount",
        "request_tokens",
        "prompt_eval_count",
        "input_token_count",
        "tokens.input_tokens",
    ),
    genai.USAGE_OUTPUT_TOKENS: (
        "output_tokens",
        "completion_tokens",
        "outputTokens",
        "completionTokens",
        "candidates_token_count",
        "candidatesTokenCount",
        "outputTokenCount",
        "generation_token_count",
        "response_tokens",
        "eval_count",
        "totalOutputTextTokenCount",
        "generated_token_count",
        "tokens.output_tokens",
    ),
    TOTAL: ("total_tokens", "totalTokens", "total_token_count", "totalTokenCount"),
    genai.USAGE_CACHE_READ: (
        "cache_read_input_tokens",
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "input_token_details.cache_read",
        "cached_content_token_count",
        "cachedContentTokenCount",
        "cacheReadInputTokens",
        "cacheReadInputTokenCount",
        "cache_read_tokens",
        "prompt_cache_hit_tokens",
        "cached_input_tokens",
        "cachedInputTokens",
        "cached_tokens",
        "num_cached_tokens",
    ),
    genai.USAGE_CACHE_WRITE: (
        "cache_creation_input_tokens",
        "prompt_tokens_details.cache_creation_tokens",
        "prompt_tokens_details.cache_write_tokens",
        "input_tokens_details.cache_write_tokens",
        "input_token_details.cache_creation",
        "cacheWriteInputTokens",
        "cacheWriteInputTokenCount",
        "cache_write_tokens",
        "cache_write_input_tokens",
    ),
    ABOVE_1HR: (
        "cache_creation.ephemeral_1h_input_tokens",
        "input_token_details.ephemeral_1h_input_tokens",
        "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
        "cache_creation_input_tokens_above_1hr",
    ),
    genai.USAGE_REASONING: (
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "output_tokens_details.thinking_tokens",
        "output_token_details.reasoning",
        "thoughts_token_count",
        "thoughtsTokenCount",
        "reasoning_tokens",
        "reasoningTokens",
        "reasoning_output_tokens",
        "details.reasoning_tokens",
        "thinking_tokens",
    ),
    genai.USAGE_AUDIO_INPUT: (
        "prompt_tokens_details.audio_tokens",
        "input_tokens_details.audio_tokens",
        "input_token_details.audio",
    ),
    genai.USAGE_AUDIO_OUTPUT: (
        "completion_tokens_details.audio_tokens",
        "output_tokens_details.audio_tokens",
        "output_token_details.audio",
    ),
}
"""Attribute to its names in a usage object; the first that is there counts."""

Names: TypeAlias = dict[str, "str | Names"]


def _by_name() -> Names:
    table: Names = {}
    for attribute, spellings in SPELLINGS.items():
        for spelling in spellings:
            *holders, name = spelling.split(".")
            place = table
            for holder in holders:
                place = place.setdefault(holder, {})  # type: ignore[assignment]
            place[name] = attribute
    return table


NAMES: Final = _by_name()

BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": ("cache_read_input_tokens", "cache_creation_input_tokens"),
    "inputTokens": (
        "cacheReadInputTokens",
        "cacheReadInputTokenCount",
        "cacheWriteInputTokens",
        "cacheWriteInputTokenCount",
    ),
    "candidates_token_count": ("thoughts_token_count",),
    "candidatesTokenCount": ("thoughtsTokenCount",),
}
"""Counts that exclude other counts of the same usage (Anthropic, Bedrock, Gemini). The convention's include them."""

HOLDERS: Final = (
    "usage",
    "usage_metadata",
    "usageMetadata",
    "token_usage",
    "models_usage",
    "amazon-bedrock-invocationMetrics",
)
WRAPPERS: Final = (
    "raw",
    "response",
    "body",
    "message",
    "response_metadata",
    "llm_output",
    "meta",
    "metadata",
    "additional_kwargs",
)
"""What holds a usage object, and what holds such a holder."""
COHERE: Final = ("tokens", "billed_units")


class Usage(NamedTuple):
    """What a response says that it used.

    Args:
        attributes: What MLflow's counts lack, by attribute.
        holder: The name of the usage object where the outputs hold it themselves, else None.
        left: What of it has no attribute.
    """

    attributes: dict[str, Any]
    holder: str | None
    left: dict[str, Any]


def of_mlflow(usage: Any) -> dict[str, Any]:
    """Return the attributes for MLflow's ``mlflow.chat.tokenUsage``."""
    if not isinstance(usage, dict):
        return {} if usage is None else {keys.CHAT_TOKEN_USAGE: usage}
    attributes: dict[str, Any] = {}
    for name, value in usage.items():
        number = typed.whole(value)
        attribute = None if number is None else BY_MLFLOW.get(name)
        if attribute is not None and attribute not in attributes:
            attributes[attribute] = number
        elif value is not None:
            attributes[keys.TOKEN_USAGE_PREFIX + str(name)] = value if number is None else number
    return attributes


def of_response(outputs: Any, known: Mapping[str, Any]) -> Usage | None:
    """Return what a response's own usage adds to what is known.

    Args:
        outputs: The call's outputs.
        known: The attributes that are known.

    Returns:
        None when there is no usage object.
    """
    place = _find(outputs)
    if place is None:
        return None
    holder, usage = place
    attributes: dict[str, Any] = {}
    left = _read(usage, NAMES, known, attributes)
    for item in as_list(usage.get("cacheDetails")):  # Bedrock's, by time to live
        number = typed.whole(as_dict(item).get("inputTokens"))
        if number is not None and item.get("ttl") == "1h" and ABOVE_1HR not in known:
            attributes[ABOVE_1HR] = number
    counts = [
        typed.whole(as_dict(item).get("tokenCount")) for item in as_list(usage.get("results"))
    ]
    if counts and None not in counts and genai.USAGE_OUTPUT_TOKENS not in known:  # Titan's
        attributes.setdefault(genai.USAGE_OUTPUT_TOKENS, sum(filter(None, counts)))
    return Usage(attributes, holder, left if holder else {})


def of_cost(cost: Any) -> dict[str, Any]:
    """Return ``mlflow.llm.cost.*`` (USD) for MLflow's ``mlflow.llm.cost``."""
    attributes: dict[str, Any] = {}
    for name, value in as_dict(cost).items():
        number = typed.double(value)
        if value is not None:
            attributes[keys.LLM_COST_PREFIX + str(name)] = value if number is None else number
    return attributes


def _find(outputs: Any) -> tuple[str | None, dict[str, Any]] | None:
    if not isinstance(outputs, dict):
        return None
    for holder in HOLDERS:
        if _says_something(outputs.get(holder)):
            return holder, outputs[holder]
    for wrapper in WRAPPERS:
        held = outputs.get(wrapper)
        if not isinstance(held, dict):
            continue
        for holder in (*HOLDERS, *COHERE):
            if _says_something(held.get(holder)):
                return None, held[holder]
        if not FLAT.isdisjoint(present(held)):
            return None, held
    if not FLAT.isdisjoint(present(outputs)):
        return None, outputs
    return _of_only_answer(outputs)


ANSWERS: Final = ("generations", "replies")
"""Where LangChain and Haystack put answers that say themselves what they used."""


def _of_only_answer(outputs: dict[str, Any]) -> tuple[None, dict[str, Any]] | None:
    """Return the usage of a response's only answer. Of several answers each may state the whole call's."""
    for name in ANSWERS:
        answers = outputs.get(name)
        while isinstance(answers, list) and len(answers) == 1:
            answers = answers[0]
        if not isinstance(answers, dict):
            continue
        for held in (answers, as_dict(answers.get("message"))):
            for place in (
                held,
                *(as_dict(held.get(notes)) for notes in NOTES),
                as_dict(held.get("kwargs")),
            ):
                for holder in HOLDERS:
                    if _says_something(place.get(holder)):
                        return None, place[holder]
    return None


def _says_something(usage: Any) -> bool:
    return isinstance(usage, dict) and bool(present(usage))


NOTES: Final = ("response_metadata", "meta")


FLAT: Final = frozenset(
    {
        "prompt_token_count",
        "generation_token_count",
        "inputTextTokenCount",
        "prompt_eval_count",
        "eval_count",
        "prompt_tokens",
        "completion_tokens",
    }
)
"""Counts that stand in the answer itself: Llama's and Titan's bodies, Ollama's answers, LlamaIndex's."""


def _read(
    usage: Mapping[str, Any], names: Names, known: Mapping[str, Any], attributes: dict[str, Any]
) -> dict[str, Any]:
    """Put counts that are not known yet into ``attributes``. Return the fields that have no attribute."""
    left: dict[str, Any] = {}
    for name, value in usage.items():
        if value is None:
            continue
        attribute = names.get(name)
        if isinstance(attribute, str):
            number = typed.whole(value)
            if number is not None:
                if attribute not in known and attribute not in attributes:
                    together = typed.whole(number + _beside(usage, name))
                    attributes[attribute] = number if together is None else together
                if number == known.get(attribute, attributes.get(attribute)):
                    continue
        inner = value
        if isinstance(value, dict):
            inner = _read(
                value, {} if isinstance(attribute, str) else attribute or {}, known, attributes
            )
            if not inner:
                continue
        left[name] = inner
    return left


def _beside(usage: Mapping[str, Any], name: str) -> int:
    return sum(typed.whole(usage.get(other)) or 0 for other in BESIDE.get(name, ()))
