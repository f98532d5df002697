"""The OpenTelemetry pipelines of events and metrics: the app's where it shares its providers, else ours."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import _logs, metrics
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from mlflow_otel.accounting import Accounting
from mlflow_otel.conventions.versions import version
from mlflow_otel.delivery.signal_delivery import SignalDelivery
from mlflow_otel.export.logs import MlflowLogExporter
from mlflow_otel.export.mapped import scope_of
from mlflow_otel.export.metrics import MlflowMetricExporter
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import otel_adapter
from mlflow_otel.tracing.next_processor import SETTLING_SECONDS
from mlflow_otel.waiting import call_with_timeout


class _Pipeline:
    """A provider of ours with the delivery behind it, or the app's provider without one."""

    def __init__(self, provider: Any, delivery: SignalDelivery | None = None) -> None:
        self._provider = provider
        self._delivery = delivery

    def force_flush(self, seconds: float) -> bool:
        """Export what waits. True if everything was accepted in time."""
        until = time.monotonic() + seconds
        flushed = call_with_timeout(
            seconds, lambda: _quietly(self._provider.force_flush, int(seconds * 1000))
        )
        if self._delivery is None:
            return flushed is True
        left = max(until - time.monotonic(), 0.0)
        return flushed is True and self._delivery.force_flush(left)

    def stop_by(self, seconds: float) -> None:
        """Begin to end: what is not delivered in ``seconds`` is spooled, or dropped and counted."""
        if self._delivery is not None:
            self._delivery.stop_by(max(seconds - SETTLING_SECONDS, seconds / 2))

    def shutdown(self, seconds: float) -> None:
        """Export what waits and end, in time. The app's own provider goes on."""
        if self._delivery is not None:
            call_with_timeout(seconds, lambda: _quietly(self._provider.shutdown))

    def stats(self, prefix: str) -> dict[str, int]:
        """Return ``in_flight`` and ``spooled``."""
        if self._delivery is None:
            return {}
        return {
            f"{prefix}in_flight": self._delivery.in_flight,
            f"{prefix}spooled": self._delivery.spooled,
        }


def _quietly(call: Callable[..., Any], *args: Any) -> bool:
    """Tell whether ``call`` succeeded. The SDK's meter provider raises when it is too late."""
    try:
        return call(*args) is not False
    except Exception:
        return False


class Events(_Pipeline):
    """Emits events as log records.

    Args:
        settings: The configuration.
        resource: Of a provider of ours.
        accounting: Gets ``logs.*``.
    """

    def __init__(self, settings: Settings, resource: Resource, accounting: Accounting) -> None:
        self._accounting = accounting.prefixed("logs.")
        self._queue: deque[Any] | None = None
        shared = None if settings.isolated else _logs.get_logger_provider()
        if isinstance(shared, LoggerProvider):
            super().__init__(shared)
        else:
            exporter = MlflowLogExporter(settings, accounting=self._accounting)
            provider, self._queue = otel_adapter.logger_provider(
                resource, exporter, asynchronous=settings.asynchronous
            )
            super().__init__(provider, exporter.delivery)
        scope = scope_of(version(latest=settings.latest_conventions))
        self._logger = self._provider.get_logger(scope.name, scope.version, scope.schema_url)

    def emit(
        self,
        name: str,
        timestamp: int,
        trace_id: int,
        span_id: int,
        flags: int,
        attributes: Mapping[str, Any],
    ) -> None:
        """Emit one event in the trace and span it is about."""
        if self._queue is not None and len(self._queue) == self._queue.maxlen:
            self._accounting.count("dropped")
            self._accounting.warn(
                "dropped.queue_full",
                "Evaluation events are dropped, because too many wait for export. Raise "
                "OTEL_BLRP_MAX_QUEUE_SIZE.",
            )
            return
        otel_adapter.emit_event(
            self._logger, name, timestamp, _context(trace_id, span_id, flags), attributes
        )


def _context(trace_id: int, span_id: int, flags: int) -> Context:
    judged = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(judged), Context())


class Meters(_Pipeline):
    """Has the meter that instruments are made with.

    Args:
        settings: The configuration.
        resource: Of a provider of ours.
        accounting: Gets ``metrics.*``.
    """

    def __init__(self, settings: Settings, resource: Resource, accounting: Accounting) -> None:
        shared = None if settings.isolated else metrics.get_meter_provider()
        if isinstance(shared, MeterProvider):
            super().__init__(shared)
        else:
            exporter = MlflowMetricExporter(settings, accounting=accounting.prefixed("metrics."))
            reader = PeriodicExportingMetricReader(exporter)
            super().__init__(
                MeterProvider([reader], resource, shutdown_on_exit=False), exporter.delivery
            )
        scope = scope_of(version(latest=settings.latest_conventions))
        self.meter = self._provider.get_meter(scope.name, scope.version, scope.schema_url)
        """Ours; the app's provider's where MLflow and OpenTelemetry share providers."""
