"""MLflow's entities of a stored trace, for every supported version (``pyproject.toml``), either package.

Why private: ``mlflow.tracing.otel.translation`` is how MLflow's own server reads the spans of other
libraries (OpenInference, Traceloop, the GenAI conventions). A span that we did not map comes back by
the same rules. ``dump_span_attribute_value`` writes an attribute as MLflow itself does.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.store.experiments import FoundExperiment
from mlflow_otel.store.metrics import Aggregation, Point
from mlflow_otel.store.model import StoredSpan, StoredTrace

EXPERIMENT_TAGS: Final = {"mlflow.experimentKind": "genai_development"}
"""By which MLflow's pages know an experiment of traces."""
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


def invalid(message: str) -> Exception:
    """Return MLflow's exception for a call that cannot be answered as it was made: 400."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    error: Exception = MlflowException.invalid_parameter_value(message)
    return error


def missing(message: str) -> Exception:
    """Return MLflow's exception for what is not there: 404."""
    return _error(message, "RESOURCE_DOES_NOT_EXIST")


def unavailable(message: str) -> Exception:
    """Return MLflow's exception for a backend that cannot be asked: 503."""
    return _error(message, "TEMPORARILY_UNAVAILABLE")


def not_implemented(call: str, why: str) -> Exception:
    """Return MLflow's exception for a call that this store does not answer: 501."""
    return _error(f"{call} is not possible on this store: {why}.", "NOT_IMPLEMENTED")


def _error(message: str, code: str) -> Exception:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.protos import databricks_pb2  # noqa: PLC0415

    error: Exception = MlflowException(message, error_code=databricks_pb2.ErrorCode.Value(code))
    return error


def checked_tag(key: str, value: str) -> tuple[str, str]:
    """Return a tag as MLflow keeps it; raises ``MlflowException`` when it is not valid."""
    from mlflow.utils.validation import _validate_trace_tag  # noqa: PLC0415

    pair: tuple[str, str] = _validate_trace_tag(key, value)
    return pair


def changed(
    known: Any,
    *,
    name: str | None,
    expectation: Any,
    feedback: Any,
    rationale: str | None,
    metadata: dict[str, str] | None,
    millis: int,
) -> Any:
    """Return an assessment after a change, as MLflow's SQL store makes it.

    Raises:
        MlflowException: The change would make another kind of it.
    """
    import copy  # noqa: PLC0415

    if expectation is not None and feedback is not None:
        raise invalid("Cannot specify both `expectation` and `feedback` parameters.")
    if (expectation is not None and known.expectation is None) or (
        feedback is not None and known.feedback is None
    ):
        raise invalid("A feedback cannot become an expectation, nor an expectation a feedback.")
    made = copy.copy(known)
    made.name = known.name if name is None else name
    made.expectation = known.expectation if expectation is None else expectation
    made.feedback = known.feedback if feedback is None else feedback
    made.rationale = known.rationale if rationale is None else rationale
    made.metadata = {**(known.metadata or {}), **(metadata or {})} or None
    made.last_update_time_ms = millis
    return made


def completed_session(session_id: str, first: int, last: int) -> Any:
    """Return MLflow's ``CompletedSession``, which the package ``mlflow`` has."""
    try:
        from mlflow.genai.scorers.online.entities import CompletedSession  # noqa: PLC0415
    except ImportError as error:
        why = "it needs the package mlflow, and mlflow-tracing is installed"
        raise not_implemented("find_completed_sessions", why) from error
    return CompletedSession(session_id, first, last)


def correlation(joint: int, first: int, second: int, total: int) -> Any:
    """Return MLflow's ``TraceFilterCorrelationResult``."""
    from mlflow.store.analytics import trace_correlation  # noqa: PLC0415
    from mlflow.tracing.analysis import TraceFilterCorrelationResult  # noqa: PLC0415

    told = trace_correlation.calculate_npmi_from_counts(joint, first, second, total)
    return TraceFilterCorrelationResult(
        npmi=told.npmi,
        npmi_smoothed=told.npmi_smoothed,
        filter1_count=first,
        filter2_count=second,
        joint_count=joint,
        total_count=total,
    )


def aggregation(asked: Any) -> Aggregation:
    """Return MLflow's ``MetricAggregation`` in plain values."""
    return Aggregation(
        asked.aggregation_type.value, str(asked), float(asked.percentile_value or 0.0)
    )


def points(metric: str, found: Sequence[Point]) -> Any:
    """Return MLflow's list of ``MetricDataPoint``."""
    from mlflow.entities.trace_metrics import MetricDataPoint  # noqa: PLC0415
    from mlflow.store.entities.paged_list import PagedList  # noqa: PLC0415

    return PagedList(
        [MetricDataPoint(metric, dict(one.dimensions), dict(one.values)) for one in found], None
    )


def paged(items: list[Any], token: str | None = None) -> Any:
    """Return a page of MLflow's entities."""
    from mlflow.store.entities.paged_list import PagedList  # noqa: PLC0415

    return PagedList(items, token)


def experiment(found: FoundExperiment) -> Any:
    """Return MLflow's ``Experiment``."""
    from mlflow.entities import Experiment, ExperimentTag, LifecycleStage  # noqa: PLC0415

    return Experiment(
        found.experiment_id,
        found.name,
        "",
        LifecycleStage.ACTIVE,
        tags=[ExperimentTag(key, value) for key, value in EXPERIMENT_TAGS.items()],
        creation_time=found.newest_ms or None,
        last_update_time=found.newest_ms or None,
    )
