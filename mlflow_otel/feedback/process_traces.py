"""This process's recent traces, as a trace backend is asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from mlflow_otel.backends.model import (
    BackendSpan,
    BackendTrace,
    Condition,
    SpanEvent,
    TraceSummary,
    trace_of,
)
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.feedback.assessment_target import context_of
from mlflow_otel.mapping import trace
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.mapping.values import Json
from mlflow_otel.tracing.recent import KnownTrace, RecentTraces
from mlflow_otel.tracing.recent_spans import RecentSpans


class RecentProcessTraces:
    """What is remembered of this process's traces, in the words of OTLP.

    Args:
        recent: The traces.
        options: Which tags are promoted.
        spans: Their spans, as far as they are kept.
        settle: Called before spans are read: what is on its way to them arrives.
    """

    def __init__(
        self,
        recent: RecentTraces,
        options: MappingOptions,
        spans: RecentSpans | None = None,
        settle: Callable[[], object] = lambda: None,
    ) -> None:
        self._recent = recent
        self._options = options
        self._spans = spans or RecentSpans()
        self._settle = settle

    def summaries(self, conditions: Sequence[Condition]) -> Iterable[TraceSummary]:
        """Return the traces that may meet the conditions, the newest first."""
        asked = dict(conditions)
        request = asked.get(keys.TRACE_CLIENT_REQUEST_ID)
        known = self._recent.newest() if request is None else self._recent.of_request(request)
        return map(self._summary, known)

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace with the spans that are kept, or None when none is."""
        self._settle()
        spans = [backend_span(span) for span in self._spans.get(trace_id)]
        return trace_of(trace_id, spans) if spans else None

    def all(self) -> Iterable[BackendTrace]:
        """Return every trace of which spans are kept."""
        found = (self.get(trace_id) for trace_id in self._spans.ids())
        return (trace for trace in found if trace is not None)

    def services(self) -> Iterable[str]:
        """Return nothing: a trace may leave under another name than this process's."""
        return ()

    def _summary(self, known: KnownTrace) -> TraceSummary:
        context = context_of(known)
        stamp = trace.stamp(context, self._options)
        attributes = {**stamp, **trace.entry(context, self._options)}
        return TraceSummary(known.trace_id, known.root, known.facts.started, attributes)


def backend_span(span: ReadableSpan) -> BackendSpan:
    """Return a span that left, as a backend holds it."""
    context, parent, scope = span.context, span.parent, span.instrumentation_scope
    assert context is not None  # noqa: S101 (an ended span has one)
    start = span.start_time or 0
    return BackendSpan(
        span_id=context.span_id,
        parent_id=None if parent is None else parent.span_id,
        name=span.name,
        start=start,
        end=span.end_time or start,
        attributes=_plain(span.attributes),
        kind=span.kind.name,
        status=span.status.status_code.name,
        status_message=span.status.description or "",
        events=tuple(SpanEvent(e.name, e.timestamp, _plain(e.attributes)) for e in span.events),
        links=tuple((link.context.trace_id, link.context.span_id) for link in span.links),
        resource=_plain(span.resource.attributes),
        scope="" if scope is None else scope.name,
    )


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, Json) else value
        for key, value in (attributes or {}).items()
    }
