"""Feedback by client request ID: MLflow's own calls, which also find the trace."""

from __future__ import annotations

from typing import Any

from mlflow_otel.feedback import mlflow_adapter
from mlflow_otel.feedback.assessments import TraceNotFoundError
from mlflow_otel.instrumentation import current

__all__ = ["TraceNotFoundError", "log_expectation", "log_feedback"]


def log_feedback(
    *,
    client_request_id: str | None = None,
    trace_id: str | None = None,
    name: str = "feedback",
    value: Any = None,
    source: Any = None,
    error: Any = None,
    rationale: str | None = None,
    metadata: dict[str, Any] | None = None,
    span_id: str | None = None,
) -> Any:
    """Log feedback on the trace of a request; ``mlflow.log_feedback`` otherwise.

    The trace is looked for among this process's recent ones (``MLFLOW_OTEL_RECENT_TRACES``), then
    where ``MLFLOW_OTEL_TRACE_LOOKUP`` says, for at most ``MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT``
    seconds. Nothing else here waits for the network. Of several traces the newest is taken, and a
    warning says so. In dual export MLflow's tracking server gets the feedback too.

    Args:
        client_request_id: The application's ID of the request.
        trace_id: The trace, instead: MLflow's ID or OpenTelemetry's.
        name: What is judged.
        value: A number, bool, string, list or dict.
        source: MLflow's ``AssessmentSource``; type CODE when None.
        error: An exception, or MLflow's ``AssessmentError``, instead of a value.
        rationale: Why.
        metadata: Whatever else.
        span_id: The judged span; the whole trace when None.

    Returns:
        MLflow's ``Feedback``, with its ID and trace ID.

    Raises:
        TraceNotFoundError: There is no trace of the request; the message names the places that were asked.
        MlflowException: The feedback is not valid; nothing of it was sent.

    Example:
        >>> import mlflow
        >>> handle = mlflow_otel.instrument()
        >>> with mlflow.start_span("answer"):
        ...     mlflow.update_current_trace(client_request_id="req-1")
        >>> feedback = mlflow_otel.log_feedback(
        ...     client_request_id="req-1", name="response_is_correct", value=False, rationale="It is Paris."
        ... )
        >>> feedback.value
        False
    """
    return _log(
        client_request_id,
        trace_id,
        lambda: mlflow_adapter.feedback(
            name=name,
            value=value,
            source=source,
            error=error,
            rationale=rationale,
            metadata=metadata,
            span_id=span_id,
        ),
    )


def log_expectation(
    *,
    client_request_id: str | None = None,
    trace_id: str | None = None,
    name: str,
    value: Any,
    source: Any = None,
    metadata: dict[str, Any] | None = None,
    span_id: str | None = None,
) -> Any:
    """Log what the answer to a request should have been; ``mlflow.log_expectation`` otherwise.

    The trace is found as by ``log_feedback``.

    Args:
        client_request_id: The application's ID of the request.
        trace_id: The trace, instead: MLflow's ID or OpenTelemetry's.
        name: What is expected.
        value: The expected value: anything that has JSON.
        source: MLflow's ``AssessmentSource``; type HUMAN when None.
        metadata: Whatever else.
        span_id: The span it is about; the whole trace when None.

    Returns:
        MLflow's ``Expectation``, with its ID and trace ID.

    Raises:
        TraceNotFoundError: There is no trace of the request; the message names the places that were asked.
        MlflowException: The expectation is not valid; nothing of it was sent.

    Example:
        >>> import mlflow
        >>> handle = mlflow_otel.instrument()
        >>> with mlflow.start_span("answer"):
        ...     mlflow.update_current_trace(client_request_id="req-1")
        >>> expectation = mlflow_otel.log_expectation(client_request_id="req-1", name="city", value="Paris")
        >>> expectation.value
        'Paris'
    """
    return _log(
        client_request_id,
        trace_id,
        lambda: mlflow_adapter.expectation(
            name=name, value=value, source=source, metadata=metadata, span_id=span_id
        ),
    )


def _log(client_request_id: str | None, trace_id: str | None, make: Any) -> Any:
    if (client_request_id is None) == (trace_id is None):
        raise mlflow_adapter.invalid("Give either client_request_id or trace_id.")
    assessment = make()
    handle = current()
    if trace_id is None:
        trace_id = handle.assessments.find(str(client_request_id))
    if handle.active:
        return mlflow_adapter.client().log_assessment(trace_id, assessment)  # ends in our hooks
    return handle.assessments.log(trace_id, assessment)
