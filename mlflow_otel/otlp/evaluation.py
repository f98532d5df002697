"""An assessment as OTLP: the event and the span that it leaves as, encoded."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from mlflow_otel.conventions import genai
from mlflow_otel.mapping import assessment
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.otlp import wire
from mlflow_otel.otlp.envelope import ITEM, Group
from mlflow_otel.version import __version__

EVENT_NAME: Final = b"\x62"
"""Tag of ``LogRecord.event_name``, which opentelemetry-proto has since 1.35."""


class Evaluation:
    """An assessment as it leaves: the same attributes as ``log_feedback`` writes.

    Args:
        view: The assessment.
        stamp: What every span of the judged trace carries.
        trace_id: OpenTelemetry's ID of the judged trace.
        span_id: The judged span's, or the root's; None where it is not known.
        resource: ``ResourceSpans`` without spans, encoded: whose trace it is.
        options: How to map.
        own_id: Of the evaluation span, 8 bytes; a new one when empty.
    """

    def __init__(
        self,
        view: AssessmentView,
        stamp: Mapping[str, Any],
        trace_id: int,
        span_id: int | None,
        resource: bytes,
        options: MappingOptions,
        own_id: bytes = b"",
    ) -> None:
        self._view = view
        self._own_id = own_id
        self._trace_id = trace_id.to_bytes(16, "big")
        self._span_id = b"" if span_id is None else span_id.to_bytes(8, "big")
        self._resource = resource
        self._options = options
        self._event = assessment.event_attributes(view, stamp, options)
        self._scope = InstrumentationScope(name="mlflow_otel", version=__version__)

    def event(self) -> list[Group]:
        """Return the ``gen_ai.evaluation.result`` event."""
        record = LogRecord(
            time_unix_nano=self._view.time,
            observed_time_unix_nano=self._view.time,
            trace_id=self._trace_id,
            span_id=self._span_id,
            flags=1,
        )
        name = genai.EVALUATION_RESULT_EVENT
        record.MergeFromString(wire.attributes(b"\x32", self._redacted(name, self._event)))
        record.MergeFromString(wire.string(EVENT_NAME, name))
        holder = ResourceLogs(resource=ResourceSpans.FromString(self._resource).resource)
        scope = ScopeLogs(scope=self._scope, schema_url=self._options.version.schema_url)
        return [_group(holder, scope, record)]

    def span(self) -> list[Group]:
        """Return the evaluation span, for backends that take no logs."""
        made = assessment.evaluation_span(self._view, self._event, self._options)
        span = Span(
            trace_id=self._trace_id,
            span_id=self._own_id or secrets.token_bytes(8),
            parent_span_id=self._span_id,
            name=made.name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=made.start,
            end_time_unix_nano=made.end,
        )
        span.MergeFromString(wire.attributes(b"\x4a", self._redacted(made.name, made.attributes)))
        if self._span_id:
            span.links.add(trace_id=self._trace_id, span_id=self._span_id)
        if made.error is not None:
            span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=made.error))
        holder = ResourceSpans.FromString(self._resource)
        scope = ScopeSpans(scope=self._scope, schema_url=self._options.version.schema_url)
        return [_group(holder, scope, span)]

    def _redacted(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        redact = self._options.redact
        return values if redact is None else redacted(name, values, redact)


def _group(resource: Any, scope: Any, item: Any) -> Group:
    encoded = wire.field(ITEM, item.SerializeToString())
    return Group(resource.SerializeToString(), scope.SerializeToString(), [encoded])
