"""Resource and scope around encoded items: the same three levels, and numbers, for every signal.

``ResourceSpans``, ``ResourceLogs`` and ``ResourceMetrics`` have one layout (``resource`` 1, the scopes'
holders 2, ``schema_url`` 3). So have the holders (``scope`` 1, the items 2, ``schema_url`` 3). So the same
code builds, cuts and parses all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from mlflow_otel.otlp import wire
from mlflow_otel.settings import Signal

ITEM: Final = b"\x12"
"""Tag of a scope's items, and of a resource's scopes."""


@dataclass(slots=True)
class Group:
    """Encoded items of one resource and scope.

    Args:
        resource: What the resource's holder says besides.
        scope: What the scope's holder says besides.
        items: Spans, log records or metrics, each as a field of its scope's holder, tag and length
            in front.
    """

    resource: bytes
    scope: bytes
    items: list[bytes] = field(default_factory=list)


class Shape(NamedTuple):
    """The messages of a signal.

    Args:
        request: The whole.
        resource: A resource's holder.
        scope: A scope's holder.
        response: The answer.
        rejected: The answer's field with the number that the server rejected.
        noun: What is counted.
    """

    request: Any
    resource: Any
    scope: Any
    response: Any
    rejected: str
    noun: str


SHAPES: Final[dict[Signal, Shape]] = {
    "traces": Shape(
        trace_service.ExportTraceServiceRequest,
        trace_pb2.ResourceSpans,
        trace_pb2.ScopeSpans,
        trace_service.ExportTraceServiceResponse,
        "rejected_spans",
        "spans",
    ),
    "logs": Shape(
        logs_service.ExportLogsServiceRequest,
        logs_pb2.ResourceLogs,
        logs_pb2.ScopeLogs,
        logs_service.ExportLogsServiceResponse,
        "rejected_log_records",
        "log records",
    ),
    "metrics": Shape(
        metrics_service.ExportMetricsServiceRequest,
        metrics_pb2.ResourceMetrics,
        metrics_pb2.ScopeMetrics,
        metrics_service.ExportMetricsServiceResponse,
        "rejected_data_points",
        "metrics",
    ),
}


def request(groups: Iterable[Group]) -> bytes:
    """Return the export request with ``groups``. Their bytes are copied once."""
    pieces: list[bytes] = []
    for group in groups:
        size = len(group.scope) + sum(map(len, group.items))
        items = ITEM + wire.varint(size)
        holder = b"\x0a" + wire.varint(len(group.resource) + len(items) + size)
        pieces += (holder, group.resource, items, group.scope, *group.items)
    return b"".join(pieces)


def parse(body: bytes, signal: Signal) -> list[Group]:
    """Return a request's items as they were before they were put together."""
    shape = SHAPES[signal]
    groups = []
    for holder in _repeated(shape.request.FromString(body), 1):
        resource = shape.resource(resource=holder.resource, schema_url=holder.schema_url)
        for found in _repeated(holder, 2):
            scope = shape.scope(scope=found.scope, schema_url=found.schema_url)
            items = [wire.field(ITEM, item.SerializeToString()) for item in _repeated(found, 2)]
            groups.append(Group(resource.SerializeToString(), scope.SerializeToString(), items))
    return groups


def item(encoded: bytes, signal: Signal) -> Any:
    """Return one item as a message."""
    (found,) = _repeated(SHAPES[signal].scope.FromString(encoded), 2)
    return found


def _repeated(message: Message, number: int) -> Any:
    return getattr(message, message.DESCRIPTOR.fields_by_number[number].name)


def resource(described: Any) -> bytes:
    """Return what a resource's holder says of the SDK's resource."""
    body = wire.field(b"\x0a", wire.attributes(b"\x0a", described.attributes))
    return body + wire.string(b"\x1a", described.schema_url)


def scope(described: Any) -> bytes:
    """Return what a scope's holder says of the SDK's instrumentation scope, if there is one."""
    if described is None:
        return b""
    named = wire.string(b"\x0a", described.name) + wire.string(b"\x12", described.version)
    body = wire.field(b"\x0a", named + wire.attributes(b"\x1a", described.attributes))
    return body + wire.string(b"\x1a", described.schema_url)
