"""A span that came as an OTLP message, as a backend would give it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.backends.model import BackendSpan, SpanEvent
from mlflow_otel.backends.otlp_json import KINDS, STATUSES

ReadsAttributes: TypeAlias = Callable[[Iterable[KeyValue]], Mapping[str, Any]]


def backend_span(
    span: Span, resource: Mapping[str, Any], scope: str, read: ReadsAttributes
) -> BackendSpan:
    """Return a span as a backend would give it.

    Args:
        span: The message.
        resource: The attributes of its resource.
        scope: The name of its instrumentation scope.
        read: Reads OTLP attributes.
    """
    kind, status = span.kind, span.status.code
    return BackendSpan(
        span_id=int.from_bytes(span.span_id, "big"),
        parent_id=int.from_bytes(span.parent_span_id, "big") or None,
        name=span.name,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=read(span.attributes),
        kind=KINDS[kind] if kind < len(KINDS) else "",
        status=STATUSES[status] if status < len(STATUSES) else "UNSET",
        status_message=span.status.message,
        events=tuple(SpanEvent(e.name, e.time_unix_nano, read(e.attributes)) for e in span.events),
        links=tuple(
            (int.from_bytes(link.trace_id, "big"), int.from_bytes(link.span_id, "big"))
            for link in span.links
        ),
        resource=resource,
        scope=scope,
    )
