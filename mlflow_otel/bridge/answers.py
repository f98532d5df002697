"""Stored traces as MLflow's REST API answers them, in JSON (docs/bridge.md, "Reading")."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.values import dumps
from mlflow_otel.otlp import wire
from mlflow_otel.store.model import StoredSpan, StoredTrace

SPANS_LOCATION: Final = "mlflow.trace.spansLocation"
ARTIFACT_LOCATION: Final = "mlflow.artifactLocation"
SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"
SOURCES: Final = frozenset({"HUMAN", "LLM_JUDGE", "CODE"})
STATES: Final = frozenset({"OK", "ERROR", "IN_PROGRESS"})


def artifacts(experiment_id: str, trace_id: str) -> str:
    """Return where the files of a trace would be."""
    return f"mlflow-artifacts:/{experiment_id}/traces/{trace_id}/artifacts"


def trace_info(stored: StoredTrace) -> dict[str, Any]:
    """Return a ``TraceInfo``."""
    experiment = stored.experiment_id or "0"
    place = artifacts(experiment, stored.trace_id)
    said = {
        "trace_id": stored.trace_id,
        "client_request_id": stored.client_request_id,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": experiment},
        },
        "request_preview": stored.request_preview,
        "response_preview": stored.response_preview,
        "request_time": shown(stored.request_time_ms * 1_000_000),
        "execution_duration": f"{stored.duration_ms / 1000:.3f}s",
        "state": stored.state if stored.state in STATES else "STATE_UNSPECIFIED",
        "trace_metadata": dict(stored.metadata),
        "tags": {**stored.tags, ARTIFACT_LOCATION: place, SPANS_LOCATION: "TRACKING_STORE"},
        "assessments": [assessment(stored.trace_id, view) for view in stored.assessments],
    }
    return {key: value for key, value in said.items() if value is not None}


def trace(stored: StoredTrace) -> dict[str, Any]:
    """Return a trace with its spans, which are OTLP in protobuf's JSON."""
    return {
        "trace_info": trace_info(stored),
        "spans": [
            MessageToDict(_message(span, stored), preserving_proto_field_name=True)
            for span in stored.spans
        ],
    }


def traces_json(stored: StoredTrace) -> dict[str, Any]:
    """Return a trace's spans as the file that Python's client reads: attributes are JSON text."""
    return {"spans": [_file_span(span, stored) for span in stored.spans]}


def assessment(trace_id: str, view: AssessmentView) -> dict[str, Any]:
    """Return an assessment."""
    metadata = {str(key): str(value) for key, value in view.metadata.items()}
    if view.run_id is not None:
        metadata[SOURCE_RUN] = view.run_id
    kind = view.source_type or "CODE"
    said: dict[str, Any] = {
        "assessment_id": view.assessment_id,
        "assessment_name": view.name,
        "trace_id": trace_id,
        "span_id": view.span_id,
        "source": {
            "source_type": kind if kind in SOURCES else "SOURCE_TYPE_UNSPECIFIED",
            "source_id": view.source_id or "default",
        },
        "create_time": shown((view.create_time_ms or 0) * 1_000_000 or view.time),
        "last_update_time": shown(view.time),
        view.kind: _judgement(view),
        "rationale": view.rationale,
        "metadata": metadata or None,
        "overrides": view.overrides,
        "valid": view.valid is not False if view.kind == "feedback" else view.valid,
    }
    return {key: value for key, value in said.items() if value is not None}


def _judgement(view: AssessmentView) -> dict[str, Any]:
    if view.kind == "issue":
        return {"issue_name": str(view.value)}
    if view.kind == "expectation" and isinstance(view.value, (dict, list)):
        written = {"serialization_format": "JSON_FORMAT", "value": dumps(view.value)}
        return {"serialized_value": written}
    said: dict[str, Any] = {"value": _finite(view.value)}
    if view.error_code is not None:
        error = {
            "error_code": view.error_code,
            "error_message": view.error_message,
            "stack_trace": view.error_stack_trace,
        }
        said["error"] = {key: value for key, value in error.items() if value is not None}
    return said


def _finite(value: Any) -> Any:
    """Return a value that protobuf's JSON can carry: what is no number is a text."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def shown(nanoseconds: int) -> str:
    """Return a time as MLflow's API writes it."""
    at = datetime.fromtimestamp(nanoseconds // 1_000_000 / 1000, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _attributes(stored: StoredSpan, trace: StoredTrace) -> Mapping[str, Any]:
    return {**stored.attributes, keys.TRACE_REQUEST_ID: trace.trace_id}


def _message(stored: StoredSpan, trace: StoredTrace) -> Span:
    span = stored.span
    made = Span(
        trace_id=trace.otel_trace_id.to_bytes(16, "big"),
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=b"" if span.parent_id is None else span.parent_id.to_bytes(8, "big"),
        name=stored.name,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        status=Status(
            code=Status.StatusCode.Value(f"STATUS_CODE_{span.status}"),
            message=span.status_message,
        ),
    )
    made.MergeFromString(wire.attributes(b"\x4a", _attributes(stored, trace)))
    for event in span.events:
        added = made.events.add(name=event.name, time_unix_nano=event.time)
        added.MergeFromString(wire.attributes(b"\x1a", event.attributes))
    for trace_id, span_id in span.links:
        made.links.add(trace_id=trace_id.to_bytes(16, "big"), span_id=span_id.to_bytes(8, "big"))
    return made


def _file_span(stored: StoredSpan, trace: StoredTrace) -> dict[str, Any]:
    span = stored.span
    return {
        "trace_id": _encoded(trace.otel_trace_id, 16),
        "span_id": _encoded(span.span_id, 8),
        "parent_span_id": None if span.parent_id is None else _encoded(span.parent_id, 8),
        "name": stored.name,
        "start_time_unix_nano": span.start,
        "end_time_unix_nano": span.end,
        "events": [
            {"name": e.name, "time_unix_nano": e.time, "attributes": dict(e.attributes)}
            for e in span.events
        ],
        "links": [
            {"trace_id": f"tr-{trace_id:032x}", "span_id": f"{span_id:016x}"}
            for trace_id, span_id in span.links
        ],
        "status": {"code": f"STATUS_CODE_{span.status}", "message": span.status_message},
        "attributes": {key: json.dumps(value) for key, value in _attributes(stored, trace).items()},
    }


def _encoded(identity: int, size: int) -> str:
    return base64.b64encode(identity.to_bytes(size, "big")).decode()
