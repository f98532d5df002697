"""What became known of a trace after its spans left: a span of no length, ``trace update``."""

from __future__ import annotations

import secrets
import time
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import content, trace
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.otlp import wire

NAME: Final = "trace update"


def update_span(
    trace_id: int, root_id: int | None, context: TraceContext, options: MappingOptions
) -> Span:
    """Return the span that carries what is known of a trace now (docs/bridge.md).

    Args:
        trace_id: OpenTelemetry's ID.
        root_id: The root's span ID, which it is a child of, if it is known.
        context: What is known now.
        options: How to map.
    """
    now = time.time_ns()
    said = {**trace.stamp(context, options), **trace.entry(context, options)}
    if not options.capture_content:
        said = content.attributes(said, options)
    if options.redact is not None:
        said = redacted(str(context.tags.get(keys.TAG_TRACE_NAME) or NAME), said, options.redact)
    span = Span(
        trace_id=trace_id.to_bytes(16, "big"),
        span_id=secrets.token_bytes(8),
        name=NAME,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=now,
        end_time_unix_nano=now,
    )
    if root_id is not None:
        span.parent_span_id = root_id.to_bytes(8, "big")
    span.MergeFromString(wire.attributes(b"\x4a", said))
    return span
