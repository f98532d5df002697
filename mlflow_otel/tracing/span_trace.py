"""What ``MlflowSpanProcessor`` remembers of one trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from mlflow_otel.holding.held_trace import HeldTrace
from mlflow_otel.tracing.mlflow_adapter import TraceFacts
from mlflow_otel.tracing.recent import KnownTrace
from mlflow_otel.tracing.scorer_calls import ScorerCall
from mlflow_otel.tracing.snapshot import Snapshot


@dataclass(slots=True)
class SpanTrace(HeldTrace[ReadableSpan]):
    """What is remembered of one trace in this process, besides its held spans.

    Args:
        info: MLflow's ``TraceInfo``, which the app may change at any time, or None.
        registered: Whether the trace was registered with MLflow here.
        root: The local root that ended last, until the trace is released.
        root_id: Its span ID.
        roots: Span IDs of the local roots, in the order they started.
        entries: Span IDs of the local roots and of the topmost of MLflow's spans below them.
        mlflow_spans: Span IDs of MLflow's spans, once there is one.
        context: What the trace was released with.
        assessed: How many of its assessments were reported.
        sampled: Whether its spans are exported.
        scorer: The scorer that made the trace, if one did.
        received: What a calling service said of it, where MLflow has no ``TraceInfo`` of it.
    """

    info: Any = None
    registered: bool = False
    root: ReadableSpan | None = None
    root_id: int | None = None
    roots: tuple[int, ...] = ()  # a tuple: most traces have one
    entries: list[int] = field(default_factory=list)
    mlflow_spans: set[int] | None = None
    context: Snapshot | None = None
    assessed: int = 0
    sampled: bool | None = None  # until its first span was seen
    scorer: ScorerCall | None = None
    received: TraceFacts | None = None


def known(trace_id: int, trace: SpanTrace, facts: TraceFacts) -> KnownTrace:
    """Return what is known of a trace, for feedback to find it."""
    root = min(trace.roots, default=None) if trace.root_id is None else trace.root_id
    return KnownTrace(trace_id, facts, root, trace.sampled is not False)


def find_root(trace: SpanTrace, spans: dict[int, ReadableSpan]) -> None:
    """Remember the local root that ended last, if one is among the spans."""
    roots = trace.roots
    last = next(reversed(spans))
    if last in roots:  # in most traces the root ends last
        trace.root, trace.root_id = spans[last], last
        return
    for span_id in reversed(roots):
        if span_id in spans:
            trace.root, trace.root_id = spans[span_id], span_id
            return


def ended_root(trace: SpanTrace) -> ReadableSpan | None:
    """Return the local root of one of MLflow's traces, if the trace is released whole now."""
    return trace.root if trace.released and trace.info is not None else None
