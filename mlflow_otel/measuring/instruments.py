"""The metrics: names, units, bucket boundaries.

Source: open-telemetry/semantic-conventions-genai (summer 2026, *Development*), in the boundaries of
OpenTelemetry's own ``opentelemetry-util-genai`` 1.3b0; ``mlflow.*`` is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.conventions.versions import LATEST, RELEASED, Version

SECONDS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
AGENT_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
WORKFLOW_SECONDS: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
TRACE_SECONDS: Final = (*SECONDS, 163.84, 327.68, 655.36)
TOKENS: Final = tuple(4**power for power in range(14))
DOLLARS: Final = (
    0.0001,
    0.0002,
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
)


class Instrument(NamedTuple):
    """One metric: a histogram where it has boundaries, else a counter."""

    name: str
    unit: str
    description: str
    boundaries: tuple[float, ...] = ()


CALLS: Final = tuple(2**power for power in range(8))

INSTRUMENTS: Final = (
    Instrument(LATEST.inference_duration, "s", "How long calls of models took.", SECONDS),
    Instrument(LATEST.embeddings_duration, "s", "How long embeddings took.", SECONDS),
    Instrument(
        LATEST.first_chunk, "s", "From the start of a streamed call to its first chunk.", SECONDS
    ),
    *(
        Instrument(name, "{token}", f"Tokens spent: {attribute.removeprefix(genai.USAGE_PREFIX)}.")
        for attribute, name in LATEST.token_counters.items()
    ),
    *(
        Instrument(
            name,
            "{token}",
            f"Tokens of each call: {attribute.removeprefix(genai.USAGE_PREFIX)}.",
            TOKENS,
        )
        for attribute, name in LATEST.token_histograms.items()
    ),
    Instrument(
        "gen_ai.client.embeddings.operation.input_tokens",
        "{token}",
        "Tokens of each embedding.",
        TOKENS,
    ),
    Instrument(
        LATEST.agent_calls["model"],
        "{inference_call}",
        "Calls of models that each agent made itself.",
        CALLS,
    ),
    Instrument(
        LATEST.agent_calls["tool"],
        "{tool_call}",
        "Calls of tools that each agent made itself.",
        CALLS,
    ),
    Instrument(
        genai.CLIENT_OPERATION_DURATION,
        "s",
        "How long calls of models, embeddings and retrievers took.",
        SECONDS,
    ),
    Instrument(
        genai.CLIENT_TIME_TO_FIRST_CHUNK,
        "s",
        "From the start of a streamed call to its first chunk.",
        SECONDS,
    ),
    Instrument(
        genai.CLIENT_TOKEN_USAGE, "{token}", "Tokens of each call, input and output.", TOKENS
    ),
    Instrument(genai.EXECUTE_TOOL_DURATION, "s", "How long tools ran.", SECONDS),
    Instrument(genai.INVOKE_AGENT_DURATION, "s", "How long agents ran.", AGENT_SECONDS),
    Instrument(genai.INVOKE_WORKFLOW_DURATION, "s", "How long workflows ran.", WORKFLOW_SECONDS),
    Instrument(keys.COST, "{USD}", "Cost of the calls of models, in US dollars."),
    Instrument(keys.TRACE_COUNT, "{trace}", "Traces that ended, by their state."),
    Instrument(keys.TRACE_DURATION, "s", "How long traces took in this process.", TRACE_SECONDS),
    Instrument(keys.TRACE_COST, "{USD}", "Cost of each trace, in US dollars.", DOLLARS),
)

MAX_VALUES: Final = {
    genai.REQUEST_MODEL: 100,
    genai.RESPONSE_MODEL: 100,
    genai.PROVIDER_NAME: 50,
    genai.TOOL_NAME: 100,
    genai.AGENT_NAME: 100,
    genai.WORKFLOW_NAME: 100,
    genai.ERROR_TYPE: 50,
    genai.ENVIRONMENT: 20,
    keys.TRACE_NAME: 100,
}
"""Values that an attribute may take; what comes then counts as ``_OTHER``."""

Record = Callable[[float, dict[str, Any], Context], None]


def _only(version: Version) -> frozenset[str]:
    """Return the metrics that this version has and not every version."""
    names = {version.inference_duration, version.embeddings_duration, version.first_chunk}
    names |= {version.token_usage or "", version.embeddings_tokens or ""}
    return frozenset(
        names.union(
            version.token_counters.values(),
            version.token_histograms.values(),
            version.agent_calls.values(),
        )
    )


def create(meter: Meter, version: Version = RELEASED) -> dict[str, Record]:
    """Return what records a value of each metric of a version of the conventions."""
    made: dict[str, Record] = {}
    other = _only(RELEASED if version is LATEST else LATEST) - {genai.CLIENT_OPERATION_DURATION}
    for name, unit, description, boundaries in INSTRUMENTS:
        if name in other:
            continue
        if boundaries:
            made[name] = meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=boundaries
            ).record
        else:
            made[name] = meter.create_counter(name, unit, description).add
    return made
