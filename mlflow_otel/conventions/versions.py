"""The versions of OpenTelemetry's GenAI conventions that can be written: a row each.

``RELEASED`` is what released dashboards and Jaeger's GenAI tab read, in the names of semantic-conventions
1.41, the last before the move to a repository of its own. ``LATEST`` is that repository's newest (October
2026), asked for with ``OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from mlflow_otel.conventions import genai


class Version(NamedTuple):
    """What differs from version to version.

    Args:
        schema_url: Of the instrumentation scope.
        inference_duration: The metric of how long models took to answer.
        embeddings_duration: The same of embeddings.
        first_chunk: The metric of the time to a streamed call's first chunk.
        token_usage: The histogram of tokens by ``gen_ai.token.type``, or None.
        token_counters: Counters of tokens spent, by the attribute that says how many.
        token_histograms: Histograms of the tokens of each call of a model, likewise.
        embeddings_tokens: The histogram of the tokens of each embedding, or None.
        agent_calls: Histograms of what an agent called itself, by ``model`` and ``tool``.
        added: Attributes that only this version has.
        finish_reason_in_messages: Whether an output message says why it ended, too.
    """

    schema_url: str
    inference_duration: str
    embeddings_duration: str
    first_chunk: str
    token_usage: str | None
    token_counters: Mapping[str, str]
    token_histograms: Mapping[str, str]
    embeddings_tokens: str | None
    agent_calls: Mapping[str, str]
    added: frozenset[str]
    finish_reason_in_messages: bool


RELEASED: Final = Version(
    schema_url=genai.SCHEMA_URL,
    inference_duration=genai.CLIENT_OPERATION_DURATION,
    embeddings_duration=genai.CLIENT_OPERATION_DURATION,
    first_chunk=genai.CLIENT_TIME_TO_FIRST_CHUNK,
    token_usage=genai.CLIENT_TOKEN_USAGE,
    token_counters={},
    token_histograms={},
    embeddings_tokens=None,
    agent_calls={},
    added=frozenset(),
    finish_reason_in_messages=True,
)

LATEST: Final = Version(
    schema_url="https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev",
    inference_duration="gen_ai.client.inference.duration",
    embeddings_duration="gen_ai.client.embeddings.duration",
    first_chunk="gen_ai.client.inference.time_to_first_chunk",
    token_usage=None,
    token_counters={
        genai.USAGE_INPUT_TOKENS: "gen_ai.client.inference.usage.input_tokens",
        genai.USAGE_OUTPUT_TOKENS: "gen_ai.client.inference.usage.output_tokens",
        genai.USAGE_CACHE_READ: "gen_ai.client.inference.usage.cache_read.input_tokens",
        genai.USAGE_CACHE_WRITE: "gen_ai.client.inference.usage.cache_write.input_tokens",
        genai.USAGE_REASONING: "gen_ai.client.inference.usage.reasoning.output_tokens",
    },
    token_histograms={
        genai.USAGE_INPUT_TOKENS: "gen_ai.client.inference.operation.input_tokens",
        genai.USAGE_OUTPUT_TOKENS: "gen_ai.client.inference.operation.output_tokens",
    },
    embeddings_tokens="gen_ai.client.embeddings.operation.input_tokens",
    agent_calls={
        "model": "gen_ai.invoke_agent.inference_calls",
        "tool": "gen_ai.invoke_agent.tool_calls",
    },
    added=frozenset(
        {genai.REQUEST_REASONING_LEVEL, genai.REQUEST_PREVIOUS_RESPONSE_ID, genai.RETRIEVAL_TOP_K}
    ),
    finish_reason_in_messages=False,
)


def version(*, latest: bool) -> Version:
    """Return the version that is written."""
    return LATEST if latest else RELEASED
