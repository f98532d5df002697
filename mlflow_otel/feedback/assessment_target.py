"""What an assessment judges: a trace, or one span of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mlflow_otel.backends.model import TraceSummary
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import trace
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.tracing.recent import KnownTrace
from mlflow_otel.tracing.snapshot import known_context

TRACE_ID: Final = re.compile(r"(?:tr-|trace:/.+/)?([0-9a-f]{32})")
"""MLflow's IDs (``tr-…``, and ``trace:/<location>/…`` of Databricks) and OpenTelemetry's."""
SPAN_ID: Final = re.compile(r"[0-9a-f]{16}")


class AssessmentTarget(NamedTuple):
    """The trace or span that an assessment judges.

    Args:
        trace_id: OpenTelemetry's ID.
        span_id: The judged span: the one named, else the local root, else None when it is not known.
        stamp: What every span of the trace carries.
        sampled: Whether the trace was exported.
    """

    trace_id: int
    span_id: int | None
    stamp: Mapping[str, Any]
    sampled: bool = True


def parse_trace_id(text: object) -> int:
    """Return OpenTelemetry's trace ID.

    Raises:
        ValueError: ``text`` is no trace ID.
    """
    match = TRACE_ID.fullmatch(text) if isinstance(text, str) else None
    number = int(match.group(1), 16) if match else 0
    if not number:
        raise ValueError(
            f"{_shown(text)} is no trace ID: give MLflow's (tr- and 32 hex digits) or OpenTelemetry's"
        )
    return number


def parse_span_id(text: object) -> int:
    """Return OpenTelemetry's span ID.

    Raises:
        ValueError: ``text`` is no span ID.
    """
    number = int(text, 16) if isinstance(text, str) and SPAN_ID.fullmatch(text) else 0
    if not number:
        raise ValueError(f"{_shown(text)} is no span ID: give its 16 hex digits")
    return number


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def mlflow_trace_id(trace_id: int) -> str:
    """Return MLflow's ID of a trace."""
    return f"tr-{trace_id:032x}"


def context_of(trace_here: KnownTrace) -> TraceContext:
    """Return what this process knows of one of its traces."""
    context = known_context(trace_here.facts)
    if context.trace_id is None:
        context = replace(context, trace_id=mlflow_trace_id(trace_here.trace_id))
    return context


def target_in_process(
    trace_here: KnownTrace, span_id: int | None, options: MappingOptions
) -> AssessmentTarget:
    """Return the target of an assessment of a trace of this process."""
    stamp = trace.stamp(context_of(trace_here), options)
    target_span = trace_here.root if span_id is None else span_id
    return AssessmentTarget(trace_here.trace_id, target_span, stamp, trace_here.sampled)


def target_in_backend(
    summary: TraceSummary, span_id: int | None, options: MappingOptions
) -> AssessmentTarget:
    """Return the target of an assessment of a trace that a backend has."""
    held = trace.stamp_in(summary.attributes, options)
    stamp = {**target_by_id(summary.trace_id, None).stamp, **held}
    return AssessmentTarget(summary.trace_id, summary.root if span_id is None else span_id, stamp)


def target_by_id(trace_id: int, span_id: int | None, *, sampled: bool = True) -> AssessmentTarget:
    """Return the target when only the trace's ID is known: the trace is another process's, or old."""
    return AssessmentTarget(trace_id, span_id, {keys.TRACE_ID: mlflow_trace_id(trace_id)}, sampled)
