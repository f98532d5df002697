"""A call's parameters: ``gen_ai.request.*`` in the types that the convention's registry names.

One table of names on the wire, whatever API they are of, and one of what holds parameters. What does
not fit its type is left where it was, and so is what the tables do not name.

Source: the attribute registry of open-telemetry/semantic-conventions-genai; the API references of
OpenAI, Anthropic, Gemini, Bedrock (Converse, and the bodies of InvokeModel), Cohere, Mistral, Ollama.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from mlflow_otel.conventions import genai
from mlflow_otel.mapping import typed
from mlflow_otel.mapping.typed import Reader

ATTRIBUTES: Final[Mapping[str, tuple[Reader, tuple[str, ...]]]] = {
    genai.REQUEST_TEMPERATURE: (typed.double, ("temperature",)),
    genai.REQUEST_TOP_P: (typed.double, ("top_p", "topP", "p")),
    genai.REQUEST_TOP_K: (typed.whole, ("top_k", "topK", "k")),
    genai.REQUEST_MAX_TOKENS: (
        typed.whole,
        (
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "max_new_tokens",
            "max_tokens_to_sample",
            "max_gen_len",
            "maxTokens",
            "maxTokenCount",
            "maxOutputTokens",
            "max_length",
            "num_predict",
        ),
    ),
    genai.REQUEST_STOP_SEQUENCES: (
        typed.texts,
        ("stop", "stop_sequences", "stopSequences", "stop_sequence"),
    ),
    genai.REQUEST_FREQUENCY_PENALTY: (typed.double, ("frequency_penalty", "frequencyPenalty")),
    genai.REQUEST_PRESENCE_PENALTY: (typed.double, ("presence_penalty", "presencePenalty")),
    genai.REQUEST_SEED: (typed.whole, ("seed", "random_seed", "randomSeed")),
    genai.REQUEST_CHOICE_COUNT: (
        typed.whole,
        ("n", "candidate_count", "candidateCount", "num_generations", "numResults"),
    ),
    genai.REQUEST_STREAM: (typed.boolean, ("stream",)),
    genai.REQUEST_ENCODING_FORMATS: (
        typed.texts,
        ("encoding_format", "encoding_formats", "embedding_types", "embeddingTypes"),
    ),
    genai.EMBEDDINGS_DIMENSION_COUNT: (
        typed.whole,
        ("dimensions", "output_dimensionality", "outputDimensionality", "output_dimension"),
    ),
}
"""Attribute to its type and its names on the wire."""

LATEST: Final[Mapping[str, tuple[Reader, tuple[str, ...]]]] = {
    genai.REQUEST_REASONING_LEVEL: (typed.text, ("reasoning_effort", "effort", "thinking_level")),
    genai.REQUEST_PREVIOUS_RESPONSE_ID: (
        typed.text,
        ("previous_response_id", "previous_interaction_id"),
    ),
}
"""What only the newest version of the conventions has."""
Rows: TypeAlias = Mapping[str, tuple[str, Reader]]


def _by_name(table: Mapping[str, tuple[Reader, tuple[str, ...]]]) -> Rows:
    return {
        name: (attribute, reader) for attribute, (reader, names) in table.items() for name in names
    }


NAMES: Final = _by_name(ATTRIBUTES)
LATEST_NAMES: Final = _by_name({**ATTRIBUTES, **LATEST})

CONTAINERS: Final = frozenset(
    {
        "config",
        "generation_config",
        "generationConfig",
        "inferenceConfig",
        "inference_config",
        "textGenerationConfig",
        "additionalModelRequestFields",
        "parameters",
        "params",
        "options",
        "kwargs",
        "model_kwargs",
        "model_settings",
        "invocation_params",
        "sampling_params",
        "generation_kwargs",
        "settings",
        "optional_params",
        "request",
        "body",
        "payload",
        "model_input",
    }
)
"""What holds parameters: Gemini's config, Bedrock's, watsonx's and Hugging Face's, Ollama's, LlamaIndex's."""

LATEST_CONTAINERS: Final = frozenset({"reasoning", "thinking", "thinking_config", "output_config"})
DEEPEST: Final = 4


class Parameters(NamedTuple):
    """What a call was asked to do.

    Args:
        attributes: By the convention's names, typed.
        given: As they were given, by their names on the wire.
        rest: The inputs less those; misfits are still in it.
    """

    attributes: dict[str, Any]
    given: dict[str, Any]
    rest: dict[str, Any]


def read(inputs: Mapping[str, Any], names: Rows = NAMES, depth: int = 0) -> Parameters:
    """Return the parameters in a call's inputs, by the names of one version of the conventions."""
    attributes: dict[str, Any] = {}
    given: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in inputs.items():
        row = names.get(key)
        if row is not None:
            if value is None:
                continue
            attribute, reader = row
            number = reader(value)
            if number is not None and attributes.setdefault(attribute, number) == number:
                given[key] = value
                continue
        elif isinstance(value, dict) and depth < DEEPEST and _holds(key, names):
            inner = read(value, names, depth + 1)
            fits = {k: v for k, v in inner.attributes.items() if attributes.setdefault(k, v) == v}
            if len(fits) == len(inner.attributes):
                given |= inner.given
                if inner.rest:
                    rest[key] = inner.rest
                continue
        rest[key] = value
    return Parameters(attributes, given, rest)


def _holds(key: str, names: Rows) -> bool:
    return key in CONTAINERS or (names is LATEST_NAMES and key in LATEST_CONTAINERS)


def rest_of(
    rest: Any, inputs: Mapping[str, Any], parameters: Parameters, names: Rows = NAMES
) -> Any:
    """Return the inputs without their messages and parameters.

    Args:
        rest: What the messages left of them.
        inputs: The inputs.
        parameters: What was read of them.
        names: Of one version of the conventions.

    Returns:
        ``rest`` less what left as attributes, and with the parameters that did not fit.
    """
    left = rest
    if isinstance(rest, dict):
        for key, value in rest.items():
            if inputs.get(key) is not value:
                left = read(rest, names).rest
                break
        else:  # read already
            known = parameters.rest
            left = {key: known[key] for key in rest if key in known}
    if left is not None and not isinstance(left, dict):
        return left
    return _joined(left or {}, _misfits(parameters.rest)) or None


def _misfits(rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are still in the rest, those in containers included."""
    misfits: dict[str, Any] = {}
    for key, value in rest.items():
        if key in NAMES:
            misfits[key] = value
        elif key in CONTAINERS and isinstance(value, dict):
            inner = _misfits(value)
            if inner:
                misfits[key] = inner
    return misfits


def _joined(left: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in more.items():
        if key not in left:
            left = {**left, key: value}
        elif isinstance(left[key], dict) and isinstance(value, dict):
            left = {**left, key: _joined(left[key], value)}
    return left
