"""What became known of a trace after its spans left: a short span, ``trace update``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import content, trace, trace_update
from mlflow_otel.mapping.model import LATER_SPAN_NANOSECONDS, MappingOptions, TraceContext
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.otlp import wire

NOT_OF_UPDATES: Final = frozenset({keys.TRACE_ENTRY})
"""What marks a trace's entry span, which an update is not."""


def update_span(
    trace_id: int,
    root_id: int | None,
    context: TraceContext,
    removed: Sequence[str],
    options: MappingOptions,
    span_id: bytes = b"",
) -> Span:
    """Return the span that carries what is known of a trace now (docs/bridge.md).

    Args:
        trace_id: OpenTelemetry's ID.
        root_id: The root's span ID, which it is a child of, if it is known.
        context: What is known now.
        removed: Tags that were removed.
        options: How to map.
        span_id: Its ID; a new one when empty.
    """
    now = time.time_ns()
    known = {k: v for k, v in trace.entry(context, options).items() if k not in NOT_OF_UPDATES}
    said = {**known, **trace_update.attributes({}, removed, trace.stamp(context, options))}
    if not options.capture_content:
        said = content.attributes(said, options)
    if options.redact is not None:
        said = redacted(
            str(context.tags.get(keys.TAG_TRACE_NAME) or trace_update.SPAN_NAME),
            said,
            options.redact,
        )
    span = Span(
        trace_id=trace_id.to_bytes(16, "big"),
        span_id=span_id or secrets.token_bytes(8),
        name=trace_update.SPAN_NAME,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=now,
        end_time_unix_nano=now + LATER_SPAN_NANOSECONDS,
    )
    if root_id is not None:
        span.parent_span_id = root_id.to_bytes(8, "big")
    span.MergeFromString(wire.attributes(b"\x4a", said))
    return span
