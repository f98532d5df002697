"""Received requests as plain spans, kept in memory, bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

MAX_SPANS: Final = 100_000


class SpanStore:
    """The newest received spans, oldest forgotten first.

    Args:
        limit: How many are kept.
    """

    def __init__(self, limit: int = MAX_SPANS) -> None:
        self._lock = threading.Lock()
        self._spans: deque[dict[str, Any]] = deque(maxlen=limit)
        self.requests = 0

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of one request."""
        found = list(plain_spans(request))
        with self._lock:
            self.requests += 1
            self._spans.extend(found)

    def spans(self) -> list[dict[str, Any]]:
        """Return what is kept, in the order of arrival."""
        with self._lock:
            return list(self._spans)


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
    found = getattr(any_value, kind)
    return found.hex() if isinstance(found, bytes) else found
