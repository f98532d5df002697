"""One span, mapped: the steps in order, each free to fail without taking the span with it."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assembly import attributes, events, name_and_kind, name_as_redacted
from mlflow_otel.mapping.draft import Draft
from mlflow_otel.mapping.foreign import ANNOTATIONS, annotated, foreign
from mlflow_otel.mapping.model import Mapped, MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.plan import (
    EVENT_STEPS,
    FIRST_STEPS,
    NUMBER_STEPS,
    OUTLINE_STEPS,
    run,
    understand,
)


def map_span(
    view: SpanView, context: TraceContext, options: MappingOptions, *, counts: bool = False
) -> Mapped:
    """Return what leaves in place of a span.

    Args:
        view: The span's plain values.
        context: What is known of its trace.
        options: How to map.
        counts: Whether to say what is counted of a span of MLflow's.

    Returns:
        Name, kind, attributes and events; ``failures`` names the steps that could not be done, for
        the caller to count. Never raises on account of a value.
    """
    draft = Draft(view, context, options)
    name, kind = view.name, None
    if view.made_by_mlflow:
        failures = understand(draft)
        if view.failed or view.events:
            failures += run(EVENT_STEPS, draft)
        if "genai" in options.conventions:
            name, kind = name_and_kind(draft)
    else:
        failures = run((foreign,), draft)
        if "genai" in options.conventions and not ANNOTATIONS.isdisjoint(view.attributes):
            failures += run((annotated,), draft)
    own, shared = attributes(draft, name)
    if options.redact is not None and name != view.name:
        name = name_as_redacted(draft, own, name)
    left = events(draft) if view.events else ()
    counts = counts and view.made_by_mlflow
    is_counted = counts and (
        genai.OPERATION_NAME in draft.genai or genai.OPERATION_NAME in draft.own
    )
    counted = _counted(draft) if is_counted else {}
    return Mapped(name, kind, own, left, shared, (*failures, *draft.failures), counted)


def outline(view: SpanView) -> dict[str, Any]:
    """Return what is counted of a span: what it is, who answered, tokens, cost, error, first chunk.

    The attributes that ``map_span`` gives it, by the same steps, without what costs: its messages,
    documents and arguments. Never raises on account of a value.
    """
    draft = Draft(view, TraceContext(), MappingOptions())
    run(FIRST_STEPS, draft)
    run([step for key, step in NUMBER_STEPS if key in draft.raw], draft)
    run(OUTLINE_STEPS.get(draft.treated_as, ()), draft)
    run(EVENT_STEPS, draft)
    return _counted(draft)


COUNTED: Final = (
    genai.OPERATION_NAME,
    genai.PROVIDER_NAME,
    genai.REQUEST_MODEL,
    genai.RESPONSE_MODEL,
    genai.TOOL_NAME,
    genai.TOOL_TYPE,
    genai.AGENT_NAME,
    genai.WORKFLOW_NAME,
    genai.USAGE_INPUT_TOKENS,
    genai.USAGE_OUTPUT_TOKENS,
    genai.USAGE_CACHE_READ,
    genai.USAGE_CACHE_WRITE,
    genai.USAGE_REASONING,
    genai.ERROR_TYPE,
    genai.RESPONSE_TIME_TO_FIRST_CHUNK,
    keys.LLM_COST_PREFIX + "total_cost",
)
"""The attributes that metrics are made of."""


def _counted(draft: Draft) -> dict[str, Any]:
    said, own = draft.genai, draft.own
    return {
        key: own[key] if key in own else said[key] for key in COUNTED if key in own or key in said
    }
