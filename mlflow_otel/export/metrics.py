"""Metrics to an OTLP endpoint: encoded by the stock encoder, delivered as spans are."""

from __future__ import annotations

import os
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.signal_delivery import SignalDelivery
from mlflow_otel.delivery.transport import Transport
from mlflow_otel.otlp import envelope
from mlflow_otel.otlp.envelope import Group
from mlflow_otel.settings import Settings

DELTA: Final[dict[str, tuple[type, ...]]] = {
    "cumulative": (),
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}
"""Instruments of delta temporality by preference, as the OTLP metrics exporter's specification has it."""
AGGREGATIONS: Final[dict[str, type[Aggregation]]] = {
    "explicit_bucket_histogram": ExplicitBucketHistogramAggregation,
    "base2_exponential_bucket_histogram": ExponentialBucketHistogramAggregation,
}


class MlflowMetricExporter(MetricExporter):
    """Exports metrics over OTLP, as ``OTEL_EXPORTER_OTLP_[METRICS_]*`` say; see ``SignalDelivery``.

    A backend that takes no metrics turns this off, with one warning. Stands behind the SDK's
    ``PeriodicExportingMetricReader``.

    Args:
        settings: The configuration.
        transport: Sends the bytes; opened by the settings when None.
        accounting: Gets ``SignalDelivery``'s counters; what is counted is metrics, not their data points.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: Transport | None = None,
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        super().__init__(
            preferred_temporality=dict.fromkeys(
                DELTA[settings.metrics_temporality], AggregationTemporality.DELTA
            ),
            preferred_aggregation={Histogram: AGGREGATIONS[settings.histogram_aggregation]()},
        )
        self._pid = os.getpid()
        self.delivery = SignalDelivery(
            "metrics", settings, transport=transport, accounting=accounting, optional=True
        )

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 (its own bound holds)
        **_kwargs: Any,
    ) -> MetricExportResult:
        """Take metrics for delivery. Each is exported, or counted as dropped.

        A forked child exports none: the SDK goes on there with what the parent counted, and the
        parent reports that.
        """
        if os.getpid() != self._pid:
            return MetricExportResult.SUCCESS
        groups = _encode(metrics_data)
        taken = self.delivery.deliver(lambda: groups, sum(len(group.items) for group in groups))
        return MetricExportResult.SUCCESS if taken else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Wait for what is in flight; True if all taken since the last flush was accepted in time."""
        return self.delivery.force_flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:  # noqa: ARG002
        """Give what is in flight up to 5 seconds and close the connection."""
        self.delivery.shutdown()


def _encode(metrics_data: MetricsData) -> list[Group]:
    groups = envelope.parse(encode_metrics(metrics_data).SerializeToString(), "metrics")
    return [group for group in groups if group.items]
