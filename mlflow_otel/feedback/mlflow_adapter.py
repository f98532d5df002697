"""MLflow's assessments, read and made, of every supported version (``pyproject.toml``), either package."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Final

from mlflow_otel.feedback.assessment_target import parse_span_id, parse_trace_id
from mlflow_otel.mapping.assessment import KINDS, AssessmentView, Kind, Operation

MAX_NAME: Final = 250
"""Characters of an assessment's name: the width of MLflow's database column."""
FUTURE_SECONDS: Final = 300
"""How far another machine's clock may be ahead."""
SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"


class UnknownKindError(Exception):
    """An assessment of a kind that is not known here: a later MLflow's."""


def view_of(assessment: Any, operation: Operation = "create") -> AssessmentView:
    """Return the plain values of one of MLflow's assessments.

    Raises:
        UnknownKindError: It is of none of ``KINDS``.
    """
    kind, value = _kind_and_value(assessment)
    error = getattr(assessment.feedback, "error", None)
    source = assessment.source
    millis = assessment.create_time_ms if operation == "create" else assessment.last_update_time_ms
    metadata = dict(assessment.metadata or {})
    return AssessmentView(
        name=assessment.name,
        kind=kind,
        value=value,
        time=(millis or int(time.time() * 1000)) * 1_000_000,
        rationale=assessment.rationale,
        error_code=getattr(error, "error_code", None),
        error_message=getattr(error, "error_message", None),
        error_stack_trace=getattr(error, "stack_trace", None),
        source_type=source.source_type,
        source_id=source.source_id,
        assessment_id=assessment.assessment_id,
        run_id=assessment.run_id or metadata.pop(SOURCE_RUN, None),
        overrides=assessment.overrides,
        valid=assessment.valid,
        metadata={k: v for k, v in metadata.items() if k != SOURCE_RUN},
        operation=operation,
        span_id=assessment.span_id,
        create_time_ms=assessment.create_time_ms,
    )


def _kind_and_value(assessment: Any) -> tuple[Kind, Any]:
    if assessment.feedback is not None:
        return "feedback", assessment.feedback.value
    if assessment.expectation is not None:
        return "expectation", assessment.expectation.value
    issue = getattr(assessment, "issue", None)
    if issue is not None:
        return "issue", getattr(issue, "issue_name", None)
    raise UnknownKindError(f"{type(assessment).__name__} is none of: {', '.join(KINDS)}")


def invalid(message: str) -> Exception:
    """Return MLflow's exception for a bad argument."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    error: Exception = MlflowException.invalid_parameter_value(message)
    return error


def check(trace_id: object, assessment: Any) -> None:
    """See that an assessment can be sent, as a tracking server would.

    Raises:
        MlflowException: INVALID_PARAMETER_VALUE; the message says what is wrong.
    """
    try:
        parse_trace_id(trace_id)
        if assessment.span_id is not None:
            parse_span_id(assessment.span_id)
        _check_name(assessment.name)
        _check_value(_kind_and_value(assessment)[1])
        _check_time(assessment.create_time_ms)
        _check_time(assessment.last_update_time_ms)
        assessment.to_proto()  # MLflow's own rules
    except (ValueError, TypeError, OverflowError, UnknownKindError) as error:
        raise invalid(f"The assessment was not logged: {error}") from error
    except Exception as error:
        if type(error).__name__ == "MlflowException":
            raise
        raise invalid(f"The assessment was not logged: {error}") from error


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ValueError("its name must be text")
    if len(name) > MAX_NAME:
        raise ValueError(f"its name has {len(name)} characters; {MAX_NAME} are allowed")


def _check_value(value: object) -> None:
    if value is None or type(value) in (bool, int, str):
        return
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"its value has no JSON: {error}") from error
    except (TypeError, RecursionError) as error:
        raise ValueError(
            f"its value must be JSON: a number, bool, string, list or dict, not {type(value).__name__} ({error})"
        ) from error


def _check_time(millis: Any) -> None:
    if millis is not None and not 0 < millis <= (time.time() + FUTURE_SECONDS) * 1000:
        raise ValueError(
            f"its time, {millis} ms since the epoch, is not in the past: see the clock that made it"
        )


def _copy(assessment: Any) -> Any:
    made = object.__new__(type(assessment))
    made.__dict__.update(assessment.__dict__)  # copy.copy, less what it does for all other types
    return made


def created(trace_id: str, assessment: Any) -> Any:
    """Return a copy with an ID, as a tracking server would."""
    made = _copy(assessment)
    made.trace_id = trace_id
    made.assessment_id = assessment.assessment_id or f"a-{secrets.token_hex(16)}"
    return made


def updated(trace_id: str, assessment_id: str, old: Any | None, change: Any) -> Any:
    """Return what an assessment became; without the old one, the change alone.

    Raises:
        MlflowException: The change would make another kind of it.
    """
    if old is not None and _kind_and_value(old)[0] != _kind_and_value(change)[0]:
        raise invalid(
            f"Assessment {assessment_id} is of the kind {_kind_and_value(old)[0]}, which cannot be changed"
        )
    made = _copy(change)
    made.trace_id, made.assessment_id = trace_id, assessment_id
    made.last_update_time_ms = int(time.time() * 1000)
    if old is not None:
        made.create_time_ms, made.source, made.span_id = old.create_time_ms, old.source, old.span_id
        made.rationale = old.rationale if change.rationale is None else change.rationale
        made.metadata = {**(old.metadata or {}), **(change.metadata or {})} or None
    return made


def not_known(assessment_id: str) -> Exception:
    """Return MLflow's exception for an assessment that is not known here."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST  # noqa: PLC0415

    error: Exception = MlflowException(
        f"Assessment {assessment_id} was not logged by this process, and no backend that "
        "MLFLOW_OTEL_TRACE_LOOKUP names has it; a backend has one some seconds after it was logged. Log a "
        "new assessment instead, name a backend, or set MLFLOW_TRACKING_URI and "
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT=true.",
        error_code=RESOURCE_DOES_NOT_EXIST,
    )
    return error


def checked_tag(key: str, value: str) -> tuple[str, str]:
    """Return a tag as MLflow keeps it; raises ``MlflowException`` when it is not valid."""
    from mlflow.utils.validation import _validate_trace_tag  # noqa: PLC0415

    pair: tuple[str, str] = _validate_trace_tag(key, value)
    return pair


def no_such_tag(key: str, trace_id: str) -> Exception:
    """Return MLflow's exception for a tag that a trace does not have."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST  # noqa: PLC0415

    error: Exception = MlflowException(
        f"No trace tag with key '{key}' for trace with ID '{trace_id}'",
        error_code=RESOURCE_DOES_NOT_EXIST,
    )
    return error


def feedback(**fields: Any) -> Any:
    """Return MLflow's ``Feedback``."""
    from mlflow.entities import Feedback  # noqa: PLC0415

    return Feedback(**fields)


def expectation(**fields: Any) -> Any:
    """Return MLflow's ``Expectation``."""
    from mlflow.entities import Expectation  # noqa: PLC0415

    return Expectation(**fields)


def to_fields(assessment: Any) -> dict[str, Any]:
    """Return the fields of an assessment's protobuf message, by name."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 (for messages alone)

    return MessageToDict(assessment.to_proto(), preserving_proto_field_name=True)


def from_fields(fields: dict[str, Any]) -> Any:
    """Return the assessment that has these fields, made now where they name no time.

    Raises:
        MlflowException: There is no value among them.
    """
    from google.protobuf.json_format import ParseDict  # noqa: PLC0415
    from mlflow.entities import Assessment  # noqa: PLC0415
    from mlflow.protos.assessments_pb2 import Assessment as Message  # noqa: PLC0415

    message = ParseDict(fields, Message(), ignore_unknown_fields=True)
    for field in ("create_time", "last_update_time"):
        if field not in fields:  # MLflow reads an unset time as 1970
            getattr(message, field).GetCurrentTime()
    return Assessment.from_proto(message)


def client() -> Any:
    """Return MLflow's client for the configured tracking URI."""
    from mlflow.tracing.client import TracingClient  # noqa: PLC0415

    return TracingClient()


def log_on_server(trace_id: str, assessment: Any) -> Any:
    """Log an assessment on the tracking server, which may have yet to get the trace itself."""
    import mlflow  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return client().log_assessment(trace_id, assessment)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise  # it may have been taken: a second try would log it twice
        mlflow.flush_trace_async_logging()
        return client().log_assessment(trace_id, assessment)
