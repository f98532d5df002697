"""A span that is added to a trace which was sent before: an evaluation, or a late change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, TraceFlags

from mlflow_otel.conventions.versions import Version
from mlflow_otel.export.mapped import scope_of
from mlflow_otel.feedback.assessment_target import AssessmentTarget
from mlflow_otel.mapping.model import LATER_SPAN_NANOSECONDS

_ids: Final = RandomIdGenerator()


def later_span(
    name: str,
    target: AssessmentTarget,
    attributes: Mapping[str, Any],
    moment: int,
    resource: Resource,
    version: Version,
    status: Status | None = None,
) -> ReadableSpan:
    """Return a span for a moment, child of the span that it is about and linked to it.

    Args:
        name: Its name.
        target: The trace and span that it is about.
        attributes: Its attributes.
        moment: Nanoseconds since the epoch.
        resource: Whose span it is.
        version: Of the GenAI conventions; the scope names it.
        status: Unset when None.
    """
    sampled = TraceFlags(TraceFlags.SAMPLED)
    over = target.span_id and SpanContext(target.trace_id, target.span_id, True, sampled)
    return ReadableSpan(
        name=name,
        context=SpanContext(target.trace_id, _ids.generate_span_id(), False, sampled),
        parent=over or None,
        resource=resource,
        attributes=attributes,
        links=(Link(over),) if over else (),
        kind=SpanKind.INTERNAL,
        status=status or Status(),
        start_time=moment,
        end_time=moment + LATER_SPAN_NANOSECONDS,
        instrumentation_scope=scope_of(version),
    )
