"""Received requests as plain spans, log records and metric points. They are kept in memory, bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

EVENT_NAME: Final = 12  # of LogRecord's fields
MAX_RECORDS: Final = 100_000
MAX_BYTES: Final = 256 * 1024 * 1024


class Store:
    """The newest received records of each signal. The oldest requests go first.

    Args:
        limit: How many records of each signal are kept.
        listener: Called with the signal and the records of each request, in the receiving thread.
        max_bytes: Bytes of the requests of each signal whose records are kept, as encoded; in memory
            they take several times as much.
    """

    def __init__(
        self,
        limit: int = MAX_RECORDS,
        listener: Callable[[str, list[dict[str, Any]]], object] = lambda _signal, _records: None,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._limit = limit
        self._max_bytes = max_bytes
        self._kept: dict[str, _Kept] = {signal: _Kept() for signal in READERS}
        self.requests = 0

    def add(self, signal: str, body: bytes) -> None:
        """Keep the records of one request; raises ``DecodeError`` when it is no OTLP."""
        message, read = READERS[signal]
        records = deque(read(message.FromString(body)), self._limit)
        with self._lock:
            self.requests += 1
            self._kept[signal].add(records, len(body), self._limit, self._max_bytes)
        self._listener(signal, list(records))

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans that are kept, in the order of arrival."""
        return self._all("traces")

    def logs(self) -> list[dict[str, Any]]:
        """Return the log records that are kept, in the order of arrival."""
        return self._all("logs")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the metric points that are kept, in the order of arrival."""
        return self._all("metrics")

    def _all(self, signal: str) -> list[dict[str, Any]]:
        with self._lock:
            return [record for records, _ in self._kept[signal].requests for record in records]


class _Kept:
    """The requests of one signal: the records of each, and its bytes."""

    def __init__(self) -> None:
        self.requests: deque[tuple[deque[dict[str, Any]], int]] = deque()
        self._number = 0
        self._bytes = 0

    def add(self, records: deque[dict[str, Any]], size: int, limit: int, max_bytes: int) -> None:
        """Keep a request's records; forget the oldest requests beyond the limits."""
        self.requests.append((records, size))
        self._number += len(records)
        self._bytes += size
        while len(self.requests) > 1 and (self._number > limit or self._bytes > max_bytes):
            oldest, gone = self.requests.popleft()
            self._number -= len(oldest)
            self._bytes -= gone


def plain_spans(request: ExportTraceServiceRequest) -> Iterator[dict[str, Any]]:
    """Return a request's spans as plain values, each with its resource and scope."""
    for holder in request.resource_spans:
        resource = attributes(holder.resource.attributes)
        for group in holder.scope_spans:
            scope = {
                "name": group.scope.name,
                "version": group.scope.version,
                "schema_url": group.schema_url,
            }
            for span in group.spans:
                yield {
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    "start_time": span.start_time_unix_nano,
                    "end_time": span.end_time_unix_nano,
                    "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    "status_message": span.status.message,
                    "attributes": attributes(span.attributes),
                    "events": [
                        {
                            "name": e.name,
                            "time": e.time_unix_nano,
                            "attributes": attributes(e.attributes),
                        }
                        for e in span.events
                    ],
                    "links": [
                        {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()}
                        for link in span.links
                    ],
                    "resource": resource,
                    "scope": scope,
                }


def plain_logs(request: ExportLogsServiceRequest) -> Iterator[dict[str, Any]]:
    """Return a request's log records as plain values, each with its resource and scope."""
    for holder in request.resource_logs:
        resource = attributes(holder.resource.attributes)
        for group in holder.scope_logs:
            for record in group.log_records:
                yield {
                    "trace_id": record.trace_id.hex(),
                    "span_id": record.span_id.hex(),
                    "event_name": _event_name(record),
                    "time": record.time_unix_nano,
                    "severity": record.severity_number,
                    "flags": record.flags,
                    "body": value(record.body),
                    "attributes": attributes(record.attributes),
                    "resource": resource,
                    "scope": {"name": group.scope.name, "version": group.scope.version},
                }


def _event_name(record: Any) -> str:
    """Return a log record's ``event_name``, a field that opentelemetry-proto has since 1.35."""
    if hasattr(record, "event_name"):
        return str(record.event_name)
    texts = (field.data for field in UnknownFieldSet(record) if field.field_number == EVENT_NAME)  # type: ignore[attr-defined]
    return next((data.decode() for data in texts), "")


def plain_metrics(request: ExportMetricsServiceRequest) -> Iterator[dict[str, Any]]:
    """Return a request's sums and histograms as plain points, each with its resource."""
    for holder in request.resource_metrics:
        resource = attributes(holder.resource.attributes)
        for group in holder.scope_metrics:
            for metric in group.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    plain = {
                        "name": metric.name,
                        "unit": metric.unit,
                        "attributes": attributes(point.attributes),
                        "resource": resource,
                    }
                    if kind in {"sum", "gauge"}:
                        plain["value"] = getattr(point, point.WhichOneof("value") or "as_int")
                    else:
                        plain["count"], plain["sum"] = point.count, point.sum
                    yield plain


READERS: Final[dict[str, tuple[Any, Any]]] = {
    "traces": (ExportTraceServiceRequest, plain_spans),
    "logs": (ExportLogsServiceRequest, plain_logs),
    "metrics": (ExportMetricsServiceRequest, plain_metrics),
}


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return OTLP attributes as a plain mapping."""
    return {pair.key: value(pair.value) for pair in pairs}


def value(any_value: AnyValue) -> Any:
    """Return an OTLP value as a plain one; bytes as hex."""
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return attributes(any_value.kvlist_value.values)
    content = getattr(any_value, kind)
    return content.hex() if isinstance(content, bytes) else content
