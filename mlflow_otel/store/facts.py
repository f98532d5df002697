"""What charts count of a trace: small enough to keep very many of them.

What is counted of spans stands in columns, plain tuples of plain values: the garbage collector does not
look at these again and again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.backends.model import BackendSpan, BackendTrace, is_later
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.values import as_dict, as_float, as_int, decode
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.values import NO_TYPE

COSTS: Final = ("input_cost", "output_cost", "total_cost")
COST_ATTRIBUTES: Final = tuple(keys.LLM_COST_PREFIX + key for key in COSTS)
MODELS: Final = (keys.LLM_MODEL, genai.REQUEST_MODEL, genai.RESPONSE_MODEL)
PROVIDERS: Final = (keys.LLM_PROVIDER, genai.PROVIDER_NAME)
YES_AND_NO: Final = {"yes": 1.0, "no": 0.0}


SPAN_COLUMNS: Final = ("start", "end", "name", "type", "status", "model", "provider", *COSTS)
"""What charts count of spans: times are nanoseconds; model, provider and costs may be None."""
NO_SPANS: Final[tuple[tuple[Any, ...], ...]] = ((),) * len(SPAN_COLUMNS)


class AssessmentFacts(NamedTuple):
    """What charts count of a valid assessment: its value as JSON, and as a number if it is one."""

    kind: str
    name: str
    value: str
    number: float | None


class TraceFacts(NamedTuple):
    """What charts count of a trace; ``spans`` are the columns of ``SPAN_COLUMNS``."""

    trace_id: str
    otel_trace_id: int
    experiment_id: str
    started_ms: int
    duration_ms: int
    state: str
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    tokens: Mapping[str, int]
    spans: tuple[tuple[Any, ...], ...]
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
        tuple(zip(*[_span(s) for s in held.spans if not is_later(s.attributes)], strict=True))
        or NO_SPANS,
        tuple(
            AssessmentFacts(view.kind, view.name, json.dumps(view.value), number_of(view.value))
            for view in stored.assessments
            if view.valid is not False
        ),
    )


def _span(span: BackendSpan) -> tuple[Any, ...]:
    said = span.attributes
    name = said.get(keys.SPAN_NAME)
    return (
        span.start,
        span.end,
        name if isinstance(name, str) else span.name,
        str(decode(said.get(keys.SPAN_TYPE)) or NO_TYPE),
        span.status,
        _text(said, MODELS),
        _text(said, PROVIDERS),
        *[as_float(said[key]) if key in said else None for key in COST_ATTRIBUTES],
    )


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
