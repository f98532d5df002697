"""Requests that leave nothing behind, for ``mlflow-otel doctor``: an endpoint says whether it takes a signal."""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.delivery.compress import compress
from mlflow_otel.delivery.transport import Outcome, open_transport
from mlflow_otel.settings import OtlpSettings, Signal

PROBE_SECONDS: Final = 5.0
EMPTY: Final = b""
"""An empty request of any signal. The OTLP specification has servers take it; nothing is stored."""
WITHOUT_SPANS: Final = b"\x0a\x00"
"""A resource without spans. MLflow's server refuses a request without a resource, and takes this one."""
SPAN_NAME: Final = "mlflow-otel doctor"
REFUSED_EMPTY: Final = frozenset({"400", "422", "INVALID_ARGUMENT"})


class Tried(NamedTuple):
    """What came back.

    Args:
        outcome: Of the last request that was sent.
        sent: What that request had in it.
    """

    outcome: Outcome
    sent: bytes

    @property
    def left_behind(self) -> bool:
        """Whether the backend has a span of ours now."""
        return self.outcome.result == "accepted" and self.sent not in {EMPTY, WITHOUT_SPANS}


def try_signal(signal: Signal, settings: OtlpSettings) -> Tried:
    """Send a request without content; for traces one with a span only where it is refused for that.

    Args:
        signal: The signal.
        settings: Where it goes.

    Raises:
        ValueError: The endpoint cannot be used.
        OSError: A certificate file cannot be read.
    """
    requests = (EMPTY, WITHOUT_SPANS) if signal == "traces" else (EMPTY,)
    for request in requests:
        outcome = send(signal, settings, request)
        if signal != "traces" or outcome.status not in REFUSED_EMPTY:
            return Tried(outcome, request)
    request = _span()
    return Tried(send(signal, settings, request), request)


def send(signal: Signal, settings: OtlpSettings, request: bytes) -> Outcome:
    """Send a request once.

    Args:
        signal: The signal.
        settings: Where it goes.
        request: Its encoded message.
    """
    transport = open_transport(signal, settings)
    try:
        body = compress(request, settings.compression)
        return transport.send(body, min(settings.timeout, PROBE_SECONDS))
    finally:
        transport.close()


def _span() -> bytes:
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    name = holder.resource.attributes.add(key="service.name")
    name.value.string_value = "mlflow-otel-doctor"
    group = holder.scope_spans.add()
    group.scope.name = "mlflow_otel.doctor"
    span = group.spans.add(name=SPAN_NAME, trace_id=os.urandom(16), span_id=os.urandom(8), kind=1)
    span.start_time_unix_nano = time.time_ns()
    span.end_time_unix_nano = span.start_time_unix_nano + 1
    return request.SerializeToString()
