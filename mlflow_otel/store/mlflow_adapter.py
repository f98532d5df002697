"""MLflow's entities of a stored trace, for every supported version (``pyproject.toml``), either package.

Why private: ``mlflow.tracing.otel.translation`` is how MLflow's own server reads the spans of other
libraries (OpenInference, Traceloop, the GenAI conventions). A span that we did not map comes back by
the same rules. ``dump_span_attribute_value`` writes an attribute as MLflow itself does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from typing_extensions import assert_never

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.store.experiments import FoundExperiment
from mlflow_otel.store.metrics import Aggregation, Point
from mlflow_otel.store.model import StoredSpan, StoredTrace

EXPERIMENT_TAGS: Final = {"mlflow.experimentKind": "genai_development"}
"""By which MLflow's pages know an experiment of traces."""
SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"
STATUS: Final = "STATUS_CODE_"
UNKNOWN_TYPE: Final = "UNKNOWN"
OTHERS_AGENT: Final = "gemini-cli"
"""The name by which MLflow tells spans of the Gemini CLI."""
BEGINNINGS: Final = ("{", "[", '"')
"""How JSON begins that holds more than one word."""
SAYS_NO_MORE: Final = frozenset(
    {
        genai.SESSION_ID,
        genai.USER_ID,
        genai.CONVERSATION_ID,
        genai.OPERATION_NAME,
        genai.AGENT_NAME,
        genai.TOOL_NAME,
        genai.TOOL_TYPE,
        genai.TOOL_CALL_ARGUMENTS,
        genai.TOOL_CALL_RESULT,
    }
)
"""Keys of which MLflow's translation makes nothing on a span that has a type, inputs and outputs."""


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
    elif view.kind == "feedback":
        error = None
        if view.error_code is not None:
            error = AssessmentError(view.error_code, view.error_message, view.error_stack_trace)
        made = Feedback(
            name=view.name,
            value=view.value,
            error=error,
            rationale=view.rationale,
            overrides=view.overrides,
            **common,
        )
    else:
        assert_never(view.kind)
    made.assessment_id = view.assessment_id
    made.valid = view.valid is not False
    return made


def _span(stored: StoredSpan, trace: StoredTrace) -> Any:
    from mlflow.entities.span import Span  # noqa: PLC0415
    from mlflow.tracing.utils import dump_span_attribute_value  # noqa: PLC0415

    known = is_known(stored.attributes)
    write = _written if known else dump_span_attribute_value
    attributes = {k: write(v) for k, v in stored.attributes.items()}
    attributes[keys.TRACE_REQUEST_ID] = dump_span_attribute_value(trace.trace_id)
    span = stored.span
    said = {
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
    return Span.from_dict(said if known else _translated(said))


def is_known(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a span is wholly MLflow's, so that its translation would find nothing.

    That takes most of the time in which a trace is rebuilt, and most spans are such.
    """
    kind = attributes.get(keys.SPAN_TYPE)
    return (
        isinstance(kind, str)
        and kind != UNKNOWN_TYPE
        and keys.SPAN_INPUTS in attributes
        and keys.SPAN_OUTPUTS in attributes
        and attributes.get(genai.AGENT_NAME) != OTHERS_AGENT
        and all(key.startswith(keys.RESERVED_PREFIX) or key in SAYS_NO_MORE for key in attributes)
    )


def _translated(said: dict[str, Any]) -> dict[str, Any]:
    """Return a span with what MLflow reads off the attributes of other libraries."""
    from mlflow.entities.span import Span  # noqa: PLC0415
    from mlflow.tracing.otel import translation  # noqa: PLC0415

    unwrapped = getattr(translation, "strip_otlp_double_encoding", None)
    if unwrapped is not None:  # from 3.18 on; before, the translation itself did this
        said = {**said, "attributes": unwrapped(said["attributes"])}
    attributes = said["attributes"]
    priced = keys.LLM_COST in attributes
    # A span without a cost stays so: MLflow would fetch its price catalog in the middle of a read.
    attributes.setdefault(keys.LLM_COST, "null")
    found: dict[str, Any] = translation.translate_span_when_storing(Span.from_dict(said))
    if not priced:
        found["attributes"].pop(keys.LLM_COST, None)
    return found


def _written(value: Any) -> str:
    """Return a value as MLflow writes it; text that is JSON by itself stays so, as in the translation."""
    from mlflow.tracing.utils import dump_span_attribute_value  # noqa: PLC0415

    if isinstance(value, str) and value.lstrip()[:1] in BEGINNINGS:
        try:
            if isinstance(json.loads(value), (str, dict, list)):
                return value
        except (ValueError, RecursionError):
            pass
    return str(dump_span_attribute_value(value))


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


def changed(
    known: Any,
    *,
    name: str | None,
    expectation: Any,
    feedback: Any,
    rationale: str | None,
    metadata: dict[str, str] | None,
    valid: bool | None,
    millis: int,
) -> Any:
    """Return an assessment after a change, as MLflow's SQL store makes it.

    A new value comes as MLflow's value, or, from MLflow's server, as a whole assessment that has it.

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
    made.expectation = _value_in(expectation, "expectation") or known.expectation
    made.feedback = _value_in(feedback, "feedback") or known.feedback
    made.valid = known.valid if valid is None else valid
    made.rationale = known.rationale if rationale is None else rationale
    made.metadata = {**(known.metadata or {}), **(metadata or {})} or None
    made.last_update_time_ms = millis
    return made


def _value_in(given: Any, kind: str) -> Any:
    return getattr(given, kind, given)


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
