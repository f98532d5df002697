"""Traces that came over OTLP, kept in memory within bounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.backends.bounded import BoundedTraces
from mlflow_otel.backends.model import BackendSpan
from mlflow_otel.backends.otlp_message import ReadsAttributes, backend_span

OVERHEAD_BYTES: Final = 1000
"""What a span takes up besides its encoded bytes."""
ID_BYTES: Final = (16, 8)
"""Of a trace's ID and of a span's."""


class _Encoded(NamedTuple):
    """Spans of one trace, resource and scope as they came."""

    resource: Mapping[str, Any]
    scope: str
    encoded: Sequence[bytes]
    read: ReadsAttributes

    def spans(self) -> Iterator[BackendSpan]:
        """Yield the spans."""
        for one in self.encoded:
            yield backend_span(Span.FromString(one), self.resource, self.scope, self.read)


class ReceivedTraces(BoundedTraces):
    """Takes what an OTLP receiver receives: traces are kept, logs and metrics are not.

    Args:
        read: Reads OTLP attributes.
        max_bytes: Of the spans as they came; in memory they take several times as much once somebody
            looked at them.
        forgets: Called when traces were forgotten.
    """

    def __init__(
        self, read: ReadsAttributes, max_bytes: int, forgets: Callable[[], object]
    ) -> None:
        super().__init__(max_bytes, forgets=forgets)
        self._attributes = read

    def add(self, signal: str, body: bytes) -> None:
        """Take one request.

        Args:
            signal: ``traces``, ``logs`` or ``metrics``.
            body: The encoded export request.

        Raises:
            DecodeError: It is no OTLP.
        """
        if signal != "traces":
            return
        for holder in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = self._attributes(holder.resource.attributes)
            for group in holder.scope_spans:
                by_trace: defaultdict[int, list[bytes]] = defaultdict(list)
                for span in group.spans:
                    if (len(span.trace_id), len(span.span_id)) == ID_BYTES:
                        identity = int.from_bytes(span.trace_id, "big")
                        by_trace[identity].append(span.SerializeToString())
                for identity, encoded in by_trace.items():
                    size = sum(len(one) + OVERHEAD_BYTES for one in encoded)
                    piece = _Encoded(resource, group.scope.name, encoded, self._attributes)
                    self.keep(identity, piece, size)
