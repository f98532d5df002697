"""Spans that are added to traces, encoded and sent over OTLP, one request each."""

from __future__ import annotations

import threading
import time
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from mlflow_otel import wording
from mlflow_otel.delivery import transport
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, Group
from mlflow_otel.settings import OtlpSettings
from mlflow_otel.store.changes import ChangeError, LaterSpan
from mlflow_otel.untraced import untraced
from mlflow_otel.version import __version__

PAUSE_SECONDS: Final = 0.2
"""Before a request is tried again."""


class OtlpSender:
    """Sends changes to an OTLP endpoint, and waits for its answer.

    The lock guards the connection. A forked child makes its own.

    Args:
        settings: Where and how.
    """

    def __init__(self, settings: OtlpSettings) -> None:
        self._settings = settings
        self._where = wording.endpoint(settings.endpoint)
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have no connection. Called in a forked child too."""
        self._lock = threading.RLock()
        self._transport: transport.Transport | None = None

    def __call__(self, later: LaterSpan) -> None:
        """Send one; returns when the backend has taken it.

        Raises:
            ChangeError: It was not taken in the time of ``OTEL_EXPORTER_OTLP_TIMEOUT``.
        """
        body = encoded(later)
        until = time.monotonic() + self._settings.timeout
        while True:
            with untraced():
                outcome = self._opened().send(body, max(until - time.monotonic(), 0.1))
            if outcome.result == "accepted":
                return
            left = until - time.monotonic()
            if outcome.result != "retryable" or left < PAUSE_SECONDS * 2:
                said = f"{outcome.status} {outcome.message}".strip()
                raise ChangeError(f"{self._where} did not take the change: {said}")
            time.sleep(PAUSE_SECONDS)

    def _opened(self) -> transport.Transport:
        with self._lock:
            if self._transport is None:
                try:
                    self._transport = transport.open_transport("traces", self._settings)
                except (ValueError, OSError) as error:
                    raise ChangeError(
                        f"{self._where} cannot be asked ({type(error).__name__}): {error}"
                    ) from error
            return self._transport


def encoded(later: LaterSpan) -> bytes:
    """Return the export request with a span."""
    span = later.span
    trace_id = later.trace_id.to_bytes(16, "big")
    message = Span(
        trace_id=trace_id,
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=b"" if span.parent_id is None else span.parent_id.to_bytes(8, "big"),
        name=span.name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
    )
    message.MergeFromString(wire.attributes(b"\x4a", span.attributes))
    for linked_trace, linked_span in span.links:
        message.links.add(
            trace_id=linked_trace.to_bytes(16, "big"), span_id=linked_span.to_bytes(8, "big")
        )
    if span.status == "ERROR":
        failed = Status(code=Status.STATUS_CODE_ERROR, message=span.status_message)
        message.status.CopyFrom(failed)
    holder = ResourceSpans()
    holder.MergeFromString(wire.field(b"\x0a", wire.attributes(b"\x0a", span.resource)))
    scope = ScopeSpans(scope=InstrumentationScope(name=span.scope, version=__version__))
    group = Group(
        holder.SerializeToString(),
        scope.SerializeToString(),
        [wire.field(ITEM, message.SerializeToString())],
    )
    return envelope.request([group])
