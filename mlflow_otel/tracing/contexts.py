"""What released spans are handed on with: the context of their trace, as it is known by then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from mlflow_otel.accounting import Accounting
from mlflow_otel.export.guards import Guards
from mlflow_otel.export.mapped import BatchContext
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter
from mlflow_otel.tracing.attachments import ATTACHMENTS
from mlflow_otel.tracing.experiment_names import ExperimentNames
from mlflow_otel.tracing.mlflow_adapter import TraceFacts
from mlflow_otel.tracing.recent import RecentTraces
from mlflow_otel.tracing.snapshot import Snapshot
from mlflow_otel.tracing.span_trace import SpanTrace, known


class TraceContexts:
    """Makes the contexts of released spans, and remembers each trace that ended.

    Args:
        settings: The configuration.
        accounting: Gets the failures of whoever reads the spans.
        recent: Gets the traces.
    """

    def __init__(self, settings: Settings, accounting: Accounting, recent: RecentTraces) -> None:
        self._experiment_name = settings.experiment_name
        self._names = ExperimentNames(accounting, has_server=settings.dual_export)
        self._cost = mlflow_adapter.cost if settings.work_out_cost else _no_cost
        self._accounting = accounting
        self._recent_traces = recent
        self._no_facts = TraceFacts(experiment_name=settings.experiment_name)

    def facts(self, info: Any) -> TraceFacts:
        """Return what MLflow's ``TraceInfo`` says now; what holds of every trace when it is None."""
        if info is None:
            return self._no_facts
        return mlflow_adapter.facts(info, self._experiment_name)

    def batch(
        self, guards: Guards, spans: Sequence[ReadableSpan], size: int, trace: SpanTrace | None
    ) -> BatchContext:
        """Return what spans of one trace share.

        Args:
            guards: What is held back before export.
            spans: The spans.
            size: Bytes of the spans.
            trace: Their trace; None when it is not known.
        """
        return BatchContext(
            TraceContext if trace is None else self._context(spans, trace),
            guards.options,
            self._accounting,
            self._cost,
            None if trace is None else trace.entries,
            size,
            keep=guards.keep,
            put_back=ATTACHMENTS.put_back,
        )

    def _context(
        self, spans: Sequence[ReadableSpan], trace: SpanTrace
    ) -> Callable[[], TraceContext]:
        if trace.context is not None and trace.released and trace.root is None:
            return trace.context  # late spans carry the context that their trace was released with
        info = trace.info
        if info is not None and mlflow_adapter.in_use():
            # MLflow's own processor may have registered the trace anew behind ours.
            info = mlflow_adapter.info_of(spans[0].context.trace_id) or info
            trace.info = info
        facts = trace.received if info is None and trace.received else self.facts(info)
        if trace.released and info is not None:
            self._recent_traces.remember(known(spans[0].context.trace_id, trace, facts))
        trace.context = Snapshot(facts, trace.root, spans, self._cost, self._names.learn)
        if trace.released:
            trace.root = None  # what is remembered of traces holds no spans
        return trace.context


def _no_cost(_attributes: Mapping[str, Any]) -> Mapping[str, float]:
    return {}
