"""What charts count of a trace: small enough to keep very many of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from mlflow_otel.backends.model import BackendSpan, BackendTrace, is_later
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.values import as_dict, as_float, as_int, decode
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.values import NO_TYPE

COSTS: Final = ("input_cost", "output_cost", "total_cost")
COST_ATTRIBUTES: Final = tuple((key, keys.LLM_COST_PREFIX + key) for key in COSTS)
NO_COSTS: Final[Mapping[str, float]] = MappingProxyType({})
MODELS: Final = (keys.LLM_MODEL, genai.REQUEST_MODEL, genai.RESPONSE_MODEL)
PROVIDERS: Final = (keys.LLM_PROVIDER, genai.PROVIDER_NAME)
YES_AND_NO: Final = {"yes": 1.0, "no": 0.0}


class SpanFacts(NamedTuple):
    """What charts count of a span; times are nanoseconds."""

    start: int
    end: int
    name: str
    type: str
    status: str
    model: str | None
    provider: str | None
    costs: Mapping[str, float]


class AssessmentFacts(NamedTuple):
    """What charts count of a valid assessment: its value as JSON, and as a number if it is one."""

    kind: str
    name: str
    value: str
    number: float | None


class TraceFacts(NamedTuple):
    """What charts count of a trace."""

    trace_id: str
    otel_trace_id: int
    experiment_id: str
    started_ms: int
    duration_ms: int
    state: str
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    tokens: Mapping[str, int]
    spans: tuple[SpanFacts, ...]
    assessments: tuple[AssessmentFacts, ...]


def facts_of(held: BackendTrace, stored: StoredTrace) -> TraceFacts:
    """Return what charts count of a trace.

    Args:
        held: As the backend has it.
        stored: As MLflow knows it; spans are not needed.
    """
    usage = as_dict(decode(stored.metadata.get(keys.METADATA_TOKEN_USAGE)))
    return TraceFacts(
        stored.trace_id,
        stored.otel_trace_id,
        stored.experiment_id or "",
        stored.request_time_ms,
        stored.duration_ms,
        stored.state,
        stored.tags,
        stored.metadata,
        {key: number for key, value in usage.items() if (number := as_int(value)) is not None},
        tuple(_span(span) for span in held.spans if not is_later(span.attributes)),
        tuple(
            AssessmentFacts(view.kind, view.name, json.dumps(view.value), number_of(view.value))
            for view in stored.assessments
            if view.valid is not False
        ),
    )


def _span(span: BackendSpan) -> SpanFacts:
    said = span.attributes
    name = said.get(keys.SPAN_NAME)
    return SpanFacts(
        span.start,
        span.end,
        name if isinstance(name, str) else span.name,
        str(decode(said.get(keys.SPAN_TYPE)) or NO_TYPE),
        span.status,
        _text(said, MODELS),
        _text(said, PROVIDERS),
        _costs(said),
    )


def _costs(said: Mapping[str, Any]) -> Mapping[str, float]:
    costs = None
    for key, attribute in COST_ATTRIBUTES:
        cost = as_float(said[attribute]) if attribute in said else None
        if cost is not None:
            costs = {**(costs or {}), key: cost}
    return NO_COSTS if costs is None else costs


def _text(said: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        if name in said:
            value = decode(said[name])
            if isinstance(value, str):
                return value
    return None


def number_of(value: object) -> float | None:
    """Return an assessment's value as the number that is averaged, as MLflow's server makes it."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        try:
            return float(value) if math.isfinite(value) else None
        except OverflowError:
            return None
    return YES_AND_NO.get(value.strip().lower()) if isinstance(value, str) else None
