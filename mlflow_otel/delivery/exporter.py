"""``MlflowSpanExporter``: spans, mapped, to an OTLP endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery import split
from mlflow_otel.delivery.encode import Group, encode_spans
from mlflow_otel.delivery.mapped import MappedSpan, Passage, made_by_mlflow
from mlflow_otel.delivery.observability import observe
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.sender import Sender
from mlflow_otel.delivery.spool import open_spool
from mlflow_otel.delivery.transport import Outcome, Transport, load, open_transport
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.settings import Settings

SHUTDOWN_SECONDS: Final = 5.0
SMALLEST_LIMIT: Final = 4096
CAUSES: Final = {
    "stopped": "shutdown",
    "spool_bounds": "spool_bounds",
    "spool_corrupt": "spool_corrupt",
}
"""Causes of loss by our own words of an outcome; a server's are rejected or unreachable."""


class MlflowSpanExporter(SpanExporter):
    """Exports spans over OTLP, gRPC or HTTP/protobuf, as ``OTEL_EXPORTER_OTLP_*`` say.

    Spans that ``MlflowSpanProcessor`` passed on carry their trace's session, user, tags and the
    rest; MLflow spans from another processor are mapped by what they hold themselves. Nothing here
    raises: what cannot be sent is counted and warned about, once a minute a cause.

    Requests are cut below ``MLFLOW_OTEL_MAX_REQUEST_BYTES``, and below what a server refuses as too
    large; a span too large by itself has its largest values truncated. Up to
    ``MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS`` requests are in flight, each retried as the OTLP
    specification says for up to ``MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT`` seconds without holding
    up the others. With ``MLFLOW_ENABLE_ASYNC_TRACE_LOGGING=false`` each is sent in the calling
    thread, within ``OTEL_EXPORTER_OTLP_TIMEOUT``.

    With ``MLFLOW_OTEL_SPOOL_DIR`` set, what the backend does not take at the first try is written
    there and sent when it is back, by this process or the next: see ``spool`` and ``backlog``.

    Args:
        settings: The configuration; from the environment when None.
        transport: Sends the bytes; opened by the settings when None.
        accounting: Gets the counters ``exported``, ``retried``, ``truncated``, ``dropped``,
            ``dropped.*`` by cause, ``rejected_by_server``, and of what other processes left in the
            spool ``recovered.exported``, ``recovered.dropped``, ``recovered.rejected_by_server``.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        transport: Transport | None = None,
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        found = Settings.from_environment(accounting=accounting) if settings is None else settings
        self._settings = found
        self._alone = Passage(options=mapping_options(found), accounting=accounting)
        self._accounting = accounting
        self._limit = found.max_request_bytes
        self._stopped = False
        self._encoding = 0
        load(found.traces.protocol)
        self._sender = Sender(
            lambda: transport or open_transport("traces", found.traces, found.max_workers + 1),
            compression=found.traces.compression,
            workers=found.max_workers,
            timeout=found.traces.timeout,
            retry_timeout=found.retry_timeout,
            accounting=accounting,
            done=self._done,
            spool=open_spool(found, "traces", accounting),
            tried=self._tried,
        )
        self._observer = observe(self, accounting, found.traces) if found.internal_metrics else None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take ``spans`` for delivery; they are exported or counted as dropped from here on.

        Returns:
            SUCCESS when taken (or, when exporting in the calling thread, accepted by the server).
        """
        if self._stopped:
            self._lost("dropped.already_shutdown", len(spans), "the exporter is shut down")
            return SpanExportResult.FAILURE
        self._encoding = len(spans)
        try:
            groups = encode_spans(map(self._mapped, spans), self._accounting)
            self._encoding = sum(len(group.spans) for group in groups)
            taken = self._hand_over(groups) if groups else not spans
        except Exception as error:
            self._lost("dropped.error", self._encoding, f"{type(error).__name__}: {error}")
            return SpanExportResult.FAILURE
        finally:
            self._encoding = 0
        return SpanExportResult.SUCCESS if taken else SpanExportResult.FAILURE

    def _mapped(self, span: ReadableSpan) -> ReadableSpan:
        if isinstance(span, MappedSpan) or not made_by_mlflow(span):
            return span
        return MappedSpan(span, self._alone)

    def _hand_over(self, groups: list[Group]) -> bool:
        taken = True
        for request in split.cut(groups, self._limit, self._accounting.count):
            self._encoding -= request.spans
            if not self._settings.asynchronous:
                taken &= self._sender.send_now(request, retry=False)
            elif not self._sender.submit(request):
                taken = False
                self._lost("dropped.shutdown", request.spans, "there was no time left to send them")
        return taken

    def _done(self, request: Request, outcome: Outcome) -> bool:
        if outcome.result == "accepted":
            self._account(request, outcome)
            return True
        if outcome.too_large and len(request.body) > SMALLEST_LIMIT:
            return self._smaller(request)
        cause = CAUSES.get(outcome.status, "unreachable" if outcome.unanswered else "rejected")
        self._lost(
            f"dropped.{cause}", request.spans, f"{outcome.status} {outcome.message}".strip(),
            recovered=request.recovered,
        )  # fmt: skip
        return False

    def _smaller(self, request: Request) -> bool:
        """Halve a request that the server found too large, and remember."""
        self._limit = min(self._limit, max(len(request.body) // 2, SMALLEST_LIMIT))
        self._accounting.warn(
            "request_too_large",
            "%s refused a request of %d bytes: requests are cut at %d from here on. "
            "MLFLOW_OTEL_MAX_REQUEST_BYTES sets this.",
            self._settings.traces.endpoint, len(request.body), self._limit,
        )  # fmt: skip
        parts = split.cut(
            split.parse(request.body), self._limit, self._accounting.count, recovered=request.recovered
        )  # fmt: skip
        retry = self._settings.asynchronous
        sent = [self._sender.send_now(part, retry=retry) for part in parts]
        return all(sent)

    def _account(self, request: Request, outcome: Outcome) -> None:
        rejected = 0
        try:
            answer = ExportTraceServiceResponse.FromString(outcome.response)
            rejected = min(max(answer.partial_success.rejected_spans, 0), request.spans)
            said = answer.partial_success.error_message
        except Exception:
            said = ""  # an accepted request whose answer is not ours to read is accepted
        origin = "recovered." if request.recovered else ""
        self._accounting.count(f"{origin}exported", request.spans - rejected)
        if rejected:
            self._accounting.count(f"{origin}rejected_by_server", rejected)
        if rejected or said:
            self._accounting.warn(
                "partial_success", "The OTLP endpoint %s rejected %d of %d spans: %s",
                self._settings.traces.endpoint, rejected, request.spans, said or "no reason given",
            )  # fmt: skip

    def _tried(self, seconds: float, outcome: Outcome) -> None:
        if self._observer is not None:
            self._observer.tried(seconds, outcome)

    def _lost(self, cause: str, number: int, why: str, *, recovered: bool = False) -> None:
        self._accounting.count("recovered.dropped" if recovered else "dropped", number)
        cause = f"recovered.{cause}" if recovered else cause
        self._accounting.warn(
            cause,
            "%d spans could not be exported to %s: %s. Check the endpoint with `mlflow-otel doctor`.",
            number, self._settings.traces.endpoint, why, number=number,
        )  # fmt: skip

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait for what is in flight; True if all taken since the last flush was accepted in time."""
        return self._sender.flush(timeout_millis / 1000)

    @property
    def in_flight(self) -> int:
        """Spans taken and neither exported, dropped nor spooled yet."""
        return self._encoding + self._sender.in_flight

    @property
    def spooled(self) -> int:
        """Spans of this process that are left to the spool; it is emptied in the background."""
        return self._sender.spooled

    def stop_by(self, seconds: float) -> None:
        """Begin to end: whatever is not delivered in ``seconds`` is given up and counted."""
        self._sender.stop(seconds)

    def shutdown(self) -> None:
        """Give what is in flight up to 5 seconds, close the connection; later spans are dropped.

        With a spool what did not arrive by then is in it.
        """
        self._stopped = True
        self._sender.stop(SHUTDOWN_SECONDS)
        self._sender.close()


def mapping_options(settings: Settings) -> MappingOptions:
    """Return how the settings say to map."""
    return MappingOptions(
        conventions=settings.conventions,
        capture_content=settings.capture_content,
        promote_tags=settings.promote_tags,
        keep_chunk_events=settings.keep_chunk_events,
    )
