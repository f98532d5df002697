"""Marks what a scorer calls: its traced calls are not scored, and leave only if asked for.

The mark is a context variable: it is there in the thread that runs a scorer, and in what that thread
hands its context to. A thread that a scorer starts without its context has none.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple

from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanContext, TraceFlags

from mlflow_otel.conventions import mlflow as keys


class ScorerCall(NamedTuple):
    """A scorer at work.

    Args:
        scorer: Its name.
        trace_id: OpenTelemetry's ID of the trace that it judges.
        span_id: The span ID of that trace's local root.
    """

    scorer: str
    trace_id: int
    span_id: int


current: Final[ContextVar[ScorerCall | None]] = ContextVar("mlflow_otel_scorer", default=None)
"""The scorer that this code is called by, or None."""


def mark(span: Span, call: ScorerCall) -> None:
    """Write on the root of a scorer's own trace which scorer it is, and link it to the judged trace."""
    span.set_attribute(keys.SCORER_NAME, call.scorer)
    judged = SpanContext(call.trace_id, call.span_id, True, TraceFlags(TraceFlags.SAMPLED))
    span.add_link(judged)
