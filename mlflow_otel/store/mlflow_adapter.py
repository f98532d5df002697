"""MLflow's entities of a stored trace, for every supported version (``pyproject.toml``), either package.

Why private: ``mlflow.tracing.otel.translation`` is how MLflow's own server reads the spans of other
libraries (OpenInference, Traceloop, the GenAI conventions). A span that we did not map comes back by
the same rules. ``dump_span_attribute_value`` writes an attribute as MLflow itself does.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.store.model import StoredSpan, StoredTrace

SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"
STATUS: Final = "STATUS_CODE_"


def trace_info(stored: StoredTrace) -> Any:
    """Return MLflow's ``TraceInfo``."""
    from mlflow.entities.trace_info import TraceInfo, TraceLocation, TraceState  # noqa: PLC0415

    known = {state.value for state in TraceState}
    return TraceInfo(
        trace_id=stored.trace_id,
        trace_location=TraceLocation.from_experiment_id(stored.experiment_id),
        request_time=stored.request_time_ms,
        state=TraceState(stored.state if stored.state in known else "STATE_UNSPECIFIED"),
        request_preview=stored.request_preview,
        response_preview=stored.response_preview,
        client_request_id=stored.client_request_id,
        execution_duration=stored.duration_ms,
        trace_metadata=dict(stored.metadata),
        tags=dict(stored.tags),
        assessments=[assessment(stored.trace_id, view) for view in stored.assessments],
    )


def trace(stored: StoredTrace) -> Any:
    """Return MLflow's ``Trace``, with its spans."""
    from mlflow.entities.trace import Trace  # noqa: PLC0415
    from mlflow.entities.trace_data import TraceData  # noqa: PLC0415

    spans = [_span(span, stored) for span in stored.spans]
    return Trace(trace_info(stored), TraceData(spans))


def assessment(trace_id: str, view: AssessmentView) -> Any:
    """Return MLflow's ``Feedback``, ``Expectation`` or ``IssueReference``."""
    from mlflow.entities import AssessmentError, AssessmentSource, Expectation  # noqa: PLC0415
    from mlflow.entities.assessment import Feedback, IssueReference  # noqa: PLC0415

    metadata = dict(view.metadata)
    if view.run_id is not None:
        metadata[SOURCE_RUN] = view.run_id
    common: dict[str, Any] = {
        "trace_id": trace_id,
        "source": AssessmentSource(view.source_type or "CODE", view.source_id or "default"),
        "metadata": metadata or None,
        "span_id": view.span_id,
        "create_time_ms": view.create_time_ms,
        "last_update_time_ms": view.time // 1_000_000,
    }
    made: Any
    if view.kind == "issue":
        made = IssueReference(
            issue_id=view.name, issue_name=str(view.value), rationale=view.rationale, **common
        )
    elif view.kind == "expectation":
        made = Expectation(name=view.name, value=view.value, **common)
        made.rationale = view.rationale
    else:
        error = None
        if view.error_code is not None:
            error = AssessmentError(view.error_code, view.error_message, view.error_stack_trace)
        made = Feedback(
            name=view.name,
            value=view.value,
            error=error,
            rationale=view.rationale,
            overrides=view.overrides,
            valid=view.valid is not False,
            **common,
        )
    made.assessment_id = view.assessment_id
    return made


def _span(stored: StoredSpan, trace: StoredTrace) -> Any:
    from mlflow.entities.span import Span  # noqa: PLC0415
    from mlflow.tracing.otel.translation import translate_span_when_storing  # noqa: PLC0415
    from mlflow.tracing.utils import dump_span_attribute_value  # noqa: PLC0415

    attributes = {k: dump_span_attribute_value(v) for k, v in stored.attributes.items()}
    attributes[keys.TRACE_REQUEST_ID] = dump_span_attribute_value(trace.trace_id)
    priced = keys.LLM_COST in attributes
    # A span without a cost stays so: MLflow would fetch its price catalog in the middle of a read.
    attributes.setdefault(keys.LLM_COST, "null")
    span = stored.span
    said = translate_span_when_storing(
        Span.from_dict(
            {
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
                "status": {"code": STATUS + span.status, "message": span.status_message},
                "attributes": attributes,
                "links": [
                    {"trace_id": f"tr-{trace_id:032x}", "span_id": f"{span_id:016x}"}
                    for trace_id, span_id in span.links
                ],
            }
        )
    )
    if not priced:
        said["attributes"].pop(keys.LLM_COST, None)
    return Span.from_dict(said)


def _encoded(identity: int, size: int) -> str:
    return base64.b64encode(identity.to_bytes(size, "big")).decode()
