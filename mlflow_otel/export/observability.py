"""The counters as OpenTelemetry metrics, by the SDK's own names where it has them.

Follows https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/ (Development). The counters are read
when a metric reader collects. So a span costs nothing more, and a request one histogram value.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol
from urllib.parse import urlsplit

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter_provider

from mlflow_otel import wording
from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery.transport import Outcome
from mlflow_otel.settings import OtlpSettings
from mlflow_otel.version import __version__

SPANS: Final = "{span}"
DROPPED: Final = "dropped."
QUEUE_CAUSES: Final = frozenset({"queue_full", "already_shutdown"})
"""Causes of loss before the exporter; the SDK counts them for its processor."""

COUNTERS: Final[dict[str, tuple[str, str, str]]] = {
    "retried": ("mlflow_otel.exporter.retries", "{request}", "Requests tried again."),
    "truncated": ("mlflow_otel.exporter.span.truncated", SPANS, "Spans cut to fit a request."),
    "spool.written": ("mlflow_otel.exporter.span.spooled", SPANS, "Spans written to the spool."),
    "recovered.exported": (
        "mlflow_otel.exporter.span.recovered",
        SPANS,
        "Spans of other processes, exported from the spool.",
    ),
}
"""Counter to metric, for what the convention has no name for."""


class Exporter(Protocol):
    """What is observed."""

    @property
    def in_flight(self) -> int:
        """Spans taken and not done."""
        ...


class Observer:
    """Observes the exporters that count in one ``Accounting``.

    Args:
        exporter: The first of them.
        accounting: Its counters.
        settings: Where it sends.
        provider: Takes the metrics; the global one when None.
    """

    def __init__(
        self,
        exporter: Exporter,
        accounting: Accounting,
        settings: OtlpSettings,
        provider: MeterProvider | None = None,
    ) -> None:
        self._accounting = accounting
        self._exporters = weakref.WeakSet({exporter})
        grpc = settings.protocol == "grpc"
        kind = "otlp_grpc_span_exporter" if grpc else "otlp_http_span_exporter"
        self._status = "rpc.response.status_code" if grpc else "http.response.status_code"
        endpoint = settings.endpoint if "://" in settings.endpoint else f"//{settings.endpoint}"
        parts = urlsplit(endpoint)
        self._where: dict[str, str | int] = {
            "otel.component.type": kind,
            "otel.component.name": f"{kind}/mlflow_otel",
            "server.address": parts.hostname or wording.endpoint(settings.endpoint),
        }
        if parts.port:
            self._where["server.port"] = parts.port
        self._processor: dict[str, str | int] = {
            "otel.component.type": "mlflow_otel.tracing.processor.MlflowSpanProcessor",
            "otel.component.name": "mlflow_otel.tracing.processor.MlflowSpanProcessor/0",
        }
        meter = (provider or get_meter_provider()).get_meter("mlflow_otel", __version__)
        self._duration = meter.create_histogram(
            "otel.sdk.exporter.operation.duration", "s", "Duration of one export request."
        )
        for name, unit, text, read in (
            (
                "otel.sdk.exporter.span.exported",
                SPANS,
                "Spans exported, or lost by cause.",
                self._exported,
            ),
            (
                "otel.sdk.processor.span.processed",
                SPANS,
                "Spans lost before the exporter.",
                self._lost_before,
            ),
            *((*row, self._counter(key)) for key, row in COUNTERS.items()),
        ):
            meter.create_observable_counter(name, [_reading(read)], unit, text)
        meter.create_observable_up_down_counter(
            "otel.sdk.exporter.span.inflight",
            [_reading(self._in_flight)],
            SPANS,
            "Spans taken and not yet exported.",
        )

    def add(self, exporter: Exporter) -> None:
        """Observe another exporter."""
        self._exporters.add(exporter)

    def tried(self, seconds: float, outcome: Outcome) -> None:
        """Record one try of a request."""
        attributes = {**self._where, self._status: outcome.status}
        if outcome.result != "accepted":
            attributes["error.type"] = outcome.status
        self._duration.record(seconds, attributes)

    def _exported(self) -> Iterator[Observation]:
        counts = self._accounting.snapshot()
        yield Observation(counts.get("exported", 0), self._where)
        causes = {
            key.removeprefix(DROPPED): number
            for key, number in counts.items()
            if key.startswith(DROPPED) and key.removeprefix(DROPPED) not in QUEUE_CAUSES
        }
        for cause, number in {
            **causes,
            "rejected": counts.get("rejected_by_server", 0) + causes.get("rejected", 0),
        }.items():
            if number:
                yield Observation(number, {**self._where, "error.type": cause})

    def _lost_before(self) -> Iterator[Observation]:
        counts = self._accounting.snapshot()
        for cause in QUEUE_CAUSES:
            number = counts.get(DROPPED + cause, 0)
            if number:
                yield Observation(number, {**self._processor, "error.type": cause})

    def _counter(self, key: str) -> Callable[[], Iterator[Observation]]:
        def read() -> Iterator[Observation]:
            yield Observation(self._accounting.snapshot().get(key, 0), self._where)

        return read

    def _in_flight(self) -> Iterator[Observation]:
        yield Observation(sum(exporter.in_flight for exporter in self._exporters), self._where)


def _reading(
    read: Callable[[], Iterator[Observation]],
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: list(read())


_observers: Final[weakref.WeakKeyDictionary[Accounting, Observer]] = weakref.WeakKeyDictionary()


def observe(exporter: Exporter, accounting: Accounting, settings: OtlpSettings) -> Observer:
    """Return the observer of an exporter's counters, with the exporter added to it."""
    observer = _observers.get(accounting)
    if observer is None:
        observer = _observers[accounting] = Observer(exporter, accounting, settings)
    else:
        observer.add(exporter)
    return observer
