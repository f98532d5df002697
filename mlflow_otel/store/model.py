"""A trace as MLflow knows it, in plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mlflow_otel.backends.model import BackendSpan
from mlflow_otel.mapping.assessment import AssessmentView


class StoredSpan(NamedTuple):
    """A span with what MLflow wrote on it.

    Args:
        span: As the backend holds it.
        name: MLflow's name of it.
        attributes: MLflow's, decoded.
    """

    span: BackendSpan
    name: str
    attributes: Mapping[str, Any]


class StoredTrace(NamedTuple):
    """A trace; the fields are those of MLflow's ``TraceInfo``.

    Args:
        otel_trace_id: OpenTelemetry's ID.
        trace_id: MLflow's ID.
        experiment_id: Of the experiment, or None.
        experiment_name: Its name, or None.
        service: The resource's ``service.name``, or an empty text.
        request_time_ms: When it began, in milliseconds since the epoch.
        duration_ms: How long it took, in milliseconds.
        state: ``OK``, ``ERROR`` or ``IN_PROGRESS``.
        client_request_id: The application's ID of the request.
        request_preview: Short form of the request.
        response_preview: Short form of the response.
        metadata: MLflow's trace metadata.
        tags: MLflow's tags, with late changes.
        assessments: As they are now, by the time they were made.
        spans: By start time, without those that were added later.
    """

    otel_trace_id: int
    trace_id: str
    experiment_id: str | None
    experiment_name: str | None
    service: str
    request_time_ms: int
    duration_ms: int
    state: str
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    metadata: Mapping[str, str] = MappingProxyType({})
    tags: Mapping[str, str] = MappingProxyType({})
    assessments: Sequence[AssessmentView] = ()
    spans: Sequence[StoredSpan] = ()
