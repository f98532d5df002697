"""``MlflowSpanExporter``: spans, mapped, to an OTLP endpoint."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.encode import encode_spans
from mlflow_otel.delivery.mapped import MappedSpan, made_by_mlflow
from mlflow_otel.delivery.transport import Outcome, Transport, open_transport
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.settings import Settings

FIRST_BACKOFF_SECONDS: Final = 0.5
TRIES: Final = 3


class MlflowSpanExporter(SpanExporter):
    """Exports spans over OTLP, gRPC or HTTP/protobuf, as ``OTEL_EXPORTER_OTLP_*`` say.

    Spans that ``MlflowSpanProcessor`` passed on carry their trace's session, user, tags and the
    rest; MLflow spans from another processor are mapped by what they hold themselves. Nothing here
    raises: what cannot be sent is counted and warned about, once a minute a cause.

    Each request gets ``OTEL_EXPORTER_OTLP_TIMEOUT`` seconds in all, a few tries with exponential
    backoff and jitter for retryable answers among them (OTLP specification, *Retry*).

    Args:
        settings: The configuration; from the environment when None.
        transport: Sends the bytes; opened by the settings when None. Yours to close.
        accounting: Gets the counters ``exported``, ``rejected_by_server``, ``dropped.*``.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        transport: Transport | None = None,
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        self._settings = (
            Settings.from_environment(accounting=accounting) if settings is None else settings
        )
        self._options = mapping_options(self._settings)
        self._accounting = accounting
        self._given = transport
        self._transport = transport
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        if hasattr(os, "register_at_fork"):
            # gRPC channels and sockets do not survive a fork: the child opens its own.
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        if self._given is None:
            self._transport = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans`` and wait for the answer; SUCCESS only if the server accepted them."""
        if self._stop.is_set():
            self._lost("dropped.already_shutdown", len(spans), "the exporter is shut down")
            return SpanExportResult.FAILURE
        try:
            mapped = [self._mapped(span) for span in spans]
            request = encode_spans(mapped, self._accounting)
            number = sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)
            if number == 0:
                return SpanExportResult.SUCCESS if not spans else SpanExportResult.FAILURE
            outcome = self._deliver(request.SerializeToString())
        except Exception as error:
            self._lost("dropped.error", len(spans), f"{type(error).__name__}: {error}")
            return SpanExportResult.FAILURE
        if outcome.result != "accepted":
            kind = "dropped.unreachable" if outcome.result == "retryable" else "dropped.rejected"
            self._lost(kind, number, f"{outcome.status} {outcome.message}".strip())
            return SpanExportResult.FAILURE
        self._account(outcome, number)
        return SpanExportResult.SUCCESS

    def _mapped(self, span: ReadableSpan) -> ReadableSpan:
        if isinstance(span, MappedSpan) or not made_by_mlflow(span):
            return span
        return MappedSpan(
            span, options=self._options, entry=span.parent is None, accounting=self._accounting
        )

    def _deliver(self, request: bytes) -> Outcome:
        transport = self._open()
        deadline = time.monotonic() + self._settings.traces.timeout
        for attempt in range(TRIES):
            outcome = transport.send(request, max(deadline - time.monotonic(), 0.001))
            pause = FIRST_BACKOFF_SECONDS * 2**attempt * random.uniform(0.8, 1.2)  # noqa: S311
            last = attempt + 1 == TRIES or time.monotonic() + pause >= deadline
            if outcome.result != "retryable" or last or self._stop.wait(pause):
                return outcome
            self._accounting.count("retried")
        raise AssertionError("unreachable")

    def _open(self) -> Transport:
        with self._lock:
            if self._transport is None:
                self._transport = open_transport("traces", self._settings.traces)
            return self._transport

    def _account(self, outcome: Outcome, number: int) -> None:
        rejected = 0
        try:
            answer = ExportTraceServiceResponse.FromString(outcome.response)
            rejected = min(max(answer.partial_success.rejected_spans, 0), number)
            said = answer.partial_success.error_message
        except Exception:
            said = ""  # an accepted request whose answer is not ours to read is accepted
        self._accounting.count("exported", number - rejected)
        if rejected:
            self._accounting.count("rejected_by_server", rejected)
        if rejected or said:
            self._accounting.warn(
                "partial_success", "The OTLP endpoint %s rejected %d of %d spans: %s",
                self._settings.traces.endpoint, rejected, number, said or "no reason given",
            )  # fmt: skip

    def _lost(self, cause: str, number: int, why: str) -> None:
        self._accounting.count("dropped", number)
        self._accounting.warn(
            cause,
            "%d spans could not be exported to %s: %s. Check the endpoint with `mlflow-otel doctor`.",
            number, self._settings.traces.endpoint, why,
        )  # fmt: skip

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held here: ``export`` returns when its spans are sent or counted as lost."""
        return timeout_millis >= 0

    def shutdown(self) -> None:
        """Stop: a retry under way ends now, the connection is closed, later spans are dropped."""
        self._stop.set()
        with self._lock:
            if self._transport is not None and self._given is None:
                self._transport.close()


def mapping_options(settings: Settings) -> MappingOptions:
    """Return how the settings say to map."""
    return MappingOptions(
        conventions=settings.conventions,
        capture_content=settings.capture_content,
        promote_tags=settings.promote_tags,
        keep_chunk_events=settings.keep_chunk_events,
    )
