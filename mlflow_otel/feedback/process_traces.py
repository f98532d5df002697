"""This process's recent traces, as a trace backend is asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlflow_otel.backends.model import BackendTrace, Condition, TraceSummary
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.feedback.assessment_target import context_of
from mlflow_otel.mapping import trace
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.tracing.recent import KnownTrace, RecentTraces


class RecentProcessTraces:
    """What ``RecentTraces`` remembers, in the words of OTLP. Spans are not remembered.

    Args:
        recent: The traces.
        options: Which tags are promoted.
    """

    def __init__(self, recent: RecentTraces, options: MappingOptions) -> None:
        self._recent = recent
        self._options = options

    def summaries(self, conditions: Sequence[Condition]) -> Iterable[TraceSummary]:
        """Return the traces that may meet the conditions, the newest first."""
        asked = dict(conditions)
        request = asked.get(keys.TRACE_CLIENT_REQUEST_ID)
        known = self._recent.newest() if request is None else self._recent.of_request(request)
        return map(self._summary, known)

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace without spans, or None."""
        known = self._recent.get(trace_id)
        return None if known is None else BackendTrace(self._summary(known), ())

    def all(self) -> Iterable[BackendTrace]:
        """Return every trace that ended and is remembered, the newest first, without spans."""
        return (BackendTrace(self._summary(known), ()) for known in self._recent.newest())

    def services(self) -> Iterable[str]:
        """Return nothing: a trace may leave under another name than this process's."""
        return ()

    def _summary(self, known: KnownTrace) -> TraceSummary:
        context = context_of(known)
        stamp = trace.stamp(context, self._options)
        attributes = {**stamp, **trace.entry(context, self._options)}
        return TraceSummary(known.trace_id, known.root, known.facts.started, attributes)
