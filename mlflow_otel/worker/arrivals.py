"""OTLP requests, read: the spans that came, each with its resource and scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from mlflow_otel.backends.model import BackendSpan, is_later
from mlflow_otel.backends.otlp_message import backend_span
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.receiver.records import attributes

OVERHEAD_BYTES: Final = 1000
"""What a held span takes up besides its encoded bytes."""
LATER: Final = frozenset({genai.EVALUATION_NAME, keys.TRACE_UPDATE})


class Source:
    """The resource that spans come from.

    Args:
        holder: The message that has it.
    """

    __slots__ = ("_attributes", "encoded", "resource")

    def __init__(self, holder: ResourceSpans) -> None:
        self.resource = holder.resource
        only = ResourceSpans(resource=holder.resource, schema_url=holder.schema_url)
        self.encoded = only.SerializeToString()
        """``ResourceSpans`` without spans."""
        self._attributes: Mapping[str, Any] | None = None

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The resource's attributes."""
        if self._attributes is None:
            self._attributes = attributes(self.resource.attributes)
        return self._attributes


class Arrival(NamedTuple):
    """A span that came.

    Args:
        span: The message.
        source: Where it comes from.
        scope: The name of its instrumentation scope.
    """

    span: Span
    source: Source
    scope: str

    @property
    def trace_id(self) -> int:
        """The trace's ID."""
        return int.from_bytes(self.span.trace_id, "big")

    @property
    def span_id(self) -> int:
        """The span's ID."""
        return int.from_bytes(self.span.span_id, "big")

    @property
    def size(self) -> int:
        """Bytes that it takes up while it is held."""
        return self.span.ByteSize() + OVERHEAD_BYTES

    @property
    def is_root(self) -> bool:
        """Whether it has no parent."""
        return not any(self.span.parent_span_id)

    @property
    def is_later(self) -> bool:
        """Whether it was added to its trace after that ended: an evaluation, or a late change."""
        return any(pair.key in LATER for pair in self.span.attributes)

    def read(self) -> BackendSpan:
        """Return the span as a backend would give it."""
        return backend_span(self.span, self.source.attributes, self.scope, attributes)


def arrivals(body: bytes) -> Iterator[Arrival]:
    """Return the spans of an export request.

    Raises:
        DecodeError: It is none.
    """
    for holder in ExportTraceServiceRequest.FromString(body).resource_spans:
        source = Source(holder)
        for group in holder.scope_spans:
            for span in group.spans:
                yield Arrival(span, source, group.scope.name)


def is_whole(span: Span) -> bool:
    """Tell whether a span has the IDs that OTLP wants."""
    return (
        len(span.trace_id) == 16
        and len(span.span_id) == 8
        and any(span.trace_id)
        and any(span.span_id)
    )


def first_of(spans: Iterable[BackendSpan]) -> BackendSpan | None:
    """Return the span that a trace began with: one without a parent, else the earliest of its own."""
    own = [span for span in spans if not is_later(span.attributes)]
    roots = (span for span in own if span.parent_id is None)
    return next(roots, own[0] if own else None)
