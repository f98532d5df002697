"""A trace of an MLflow server, as scorers see it: MLflow's own, unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.feedback import mlflow_adapter
from mlflow_otel.feedback.assessment_target import AssessmentTarget, parse_span_id, parse_trace_id
from mlflow_otel.filtering.matching import SpanValues, TraceValues
from mlflow_otel.mapping import trace as trace_mapping
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.worker.subjects import PlacedSubject, expectations


class MlflowSubject(PlacedSubject):
    """A trace that MLflow's client gave.

    Args:
        trace: MLflow's ``Trace``.
        context: What is known of it.
        resource: Whose results they are: ``ResourceSpans`` without spans, encoded.
    """

    def __init__(self, trace: Any, context: TraceContext, resource: bytes) -> None:
        self._trace = trace
        self._info = trace.info
        self._context = context
        self._root = next(
            (span for span in trace.data.spans if span.parent_id is None),
            next(iter(trace.data.spans), None),
        )
        self.resource = resource
        self.size = sum(len(str(span.attributes)) for span in trace.data.spans)

    @property
    def trace_id(self) -> str:
        """Its ID."""
        return str(self._info.trace_id)

    @property
    def start(self) -> int:
        """When it began: nanoseconds since the epoch."""
        return int(self._info.request_time or 0) * 1_000_000

    @property
    def session(self) -> str | None:
        """The session that it belongs to."""
        found: str | None = self._info.trace_metadata.get(keys.METADATA_SESSION)
        return found

    @property
    def is_production(self) -> bool:
        """Whether it is an app's own: neither of an evaluation run nor of a scorer."""
        return (
            keys.METADATA_SOURCE_RUN not in self._info.trace_metadata
            and keys.TAG_SOURCE_SCORER not in self._info.tags
        )

    @property
    def said(self) -> Sequence[AssessmentView]:
        """The assessments that the server has of it."""
        found = []
        for one in self._info.assessments or ():
            try:
                found.append(mlflow_adapter.view_of(one))
            except mlflow_adapter.UnknownKindError:
                continue
        return found

    @property
    def location(self) -> tuple[int, int]:
        """OpenTelemetry's ID of the trace, and the span ID of its root (0: not known)."""
        root = 0 if self._root is None else parse_span_id(self._root.span_id)
        return parse_trace_id(self.trace_id), root

    def target(self, options: MappingOptions) -> AssessmentTarget:
        """Return where the results stand: on its root."""
        trace_id, root = self.location
        stamp: Mapping[str, Any] = trace_mapping.stamp(self._context, options)
        return AssessmentTarget(trace_id, root or None, stamp)

    def values(self) -> TraceValues:
        """Return its plain values, as filters see them."""
        info = self._info
        duration = info.execution_duration or 0
        return TraceValues(
            attributes={
                "request_id": info.trace_id,
                "client_request_id": info.client_request_id,
                "status": getattr(info.state, "value", info.state),
                "timestamp_ms": info.request_time,
                "execution_time_ms": duration,
                "end_time_ms": info.request_time + duration,
            },
            tags=info.tags,
            metadata=info.trace_metadata,
            spans=[
                SpanValues(
                    span.name,
                    span.span_type,
                    getattr(span.status.status_code, "value", str(span.status.status_code)),
                    span.attributes,
                )
                for span in self._trace.data.spans
            ],
        )

    def argument(self, name: str) -> Any:
        """Return what a scorer gets by the name of a parameter. The caller may change it."""
        if name == "trace":
            return type(self._trace).from_dict(self._trace.to_dict())
        if name == "expectations":
            return expectations(self.said)
        return None if self._root is None else getattr(self._root, name)
