"""The traces under way: what is known of them before they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import get_current_span

from mlflow_otel.holding.holder import Holder
from mlflow_otel.tracing import baggage, mlflow_adapter
from mlflow_otel.tracing.mlflow_adapter import TraceFacts
from mlflow_otel.tracing.recent import KnownTrace
from mlflow_otel.tracing.span_trace import SpanTrace, known


class UnderWay:
    """Finds traces under way. It has no lock and keeps nothing: the holder has both.

    Args:
        holder: Holds them.
        facts: Reads MLflow's ``TraceInfo``.
        entries: The entries of baggage to tell of (``MLFLOW_OTEL_BAGGAGE``).
    """

    def __init__(
        self,
        holder: Holder[ReadableSpan, SpanTrace],
        facts: Callable[[Any], TraceFacts],
        entries: frozenset[str],
    ) -> None:
        self._holder = holder
        self._facts = facts
        self._entries = entries

    def find(self, trace_id: int) -> KnownTrace | None:
        """Return a trace, by OpenTelemetry's ID; None when there is none."""
        trace = self._holder.get(trace_id)
        if trace is None or trace.info is None:
            return None
        return known(trace_id, trace, self._facts(trace.info))

    def of_request(self, client_request_id: str) -> list[KnownTrace]:
        """Return the traces of a request, the newest first."""
        infos = [(i, t.info) for i, t in self._holder.under_way() if t.info is not None]
        matching = [i for i, info in infos if info.client_request_id == client_request_id]
        found = (self.find(trace_id) for trace_id in reversed(matching))
        return [known for known in found if known is not None]

    def current_baggage(self) -> dict[str, str]:
        """Return the baggage that says what is known of the current trace."""
        current = get_current_span().get_span_context().trace_id
        for trace_id in (current, mlflow_adapter.active_trace_id()):
            found = self.find(trace_id) if trace_id else None
            if found is not None:
                return baggage.of_trace(found.facts, self._entries)
        return {}
