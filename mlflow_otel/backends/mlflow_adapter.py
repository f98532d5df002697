"""All of MLflow that asking an MLflow server touches, of every supported version, either package.

Why private: ``mlflow-tracing`` has no ``MlflowClient``; ``TracingClient`` is what MLflow's own
``search_traces`` and ``get_trace`` stand on, and takes a server's URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlflow_otel.backends.model import BackendSpan, SpanEvent
from mlflow_otel.mapping.model import TraceContext

MAX_RESULTS: Final = 500
"""What MLflow's server gives in one answer, at most."""


def search(
    url: str, experiments: Sequence[str], filter_string: str, limit: int
) -> list[tuple[TraceContext, int]]:
    """Return the traces that match, the newest first: what is known of each, and when it began.

    Args:
        url: The server.
        experiments: IDs of those that are searched.
        filter_string: In MLflow's own grammar.
        limit: How many, at most.
    """
    traces = _client(url).search_traces(
        locations=list(experiments),
        filter_string=filter_string,
        max_results=min(limit, MAX_RESULTS),
        order_by=["timestamp_ms DESC"],
        include_spans=False,
    )
    return [(_context(trace.info), _started(trace.info)) for trace in traces]


def get(url: str, trace_id: str) -> tuple[TraceContext, int, list[BackendSpan]] | None:
    """Return a trace: what is known of it, when it began, its spans. None when there is none."""
    found = entity(url, trace_id)
    if found is None:
        return None
    trace, context = found
    return context, _started(trace.info), [_span(span) for span in trace.data.spans]


def entity(url: str, trace_id: str) -> tuple[Any, TraceContext] | None:
    """Return a trace as MLflow's own ``Trace``, and what is known of it. None when there is none."""
    try:
        trace = _client(url).get_trace(trace_id)
    except Exception as error:
        if getattr(error, "error_code", None) in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
            return None
        raise
    return None if trace is None else (trace, _context(trace.info))


def experiments(url: str) -> dict[str, str]:
    """Return the IDs of the server's experiments by name, a thousand of them at most."""
    held = _client(url).store.search_experiments(max_results=1000)
    return {experiment.name: str(experiment.experiment_id) for experiment in held}


def _client(url: str) -> Any:
    from mlflow.tracing.client import TracingClient  # noqa: PLC0415

    return TracingClient(url)


def _started(info: Any) -> int:
    return int(getattr(info, "request_time", 0) or 0) * 1_000_000


def _context(info: Any) -> TraceContext:
    location = getattr(info.trace_location, "mlflow_experiment", None)
    return TraceContext(
        trace_id=info.trace_id,
        client_request_id=info.client_request_id,
        tags=dict(info.tags or {}),
        metadata=dict(info.trace_metadata or {}),
        experiment_id=getattr(location, "experiment_id", None),
        state=getattr(info.state, "value", info.state),
        request_preview=info.request_preview,
        response_preview=info.response_preview,
    )


def _span(span: Any) -> BackendSpan:
    events = (
        SpanEvent(e.name, int(getattr(e, "timestamp", 0) or 0), dict(e.attributes or {}))
        for e in span.events or ()
    )
    attributes: Mapping[str, Any] = span.attributes
    return BackendSpan(
        span_id=int(span.span_id, 16),
        parent_id=int(span.parent_id, 16) if span.parent_id else None,
        name=span.name,
        start=span.start_time_ns or 0,
        end=span.end_time_ns or 0,
        attributes=dict(attributes),
        status=getattr(span.status.status_code, "value", str(span.status.status_code)),
        status_message=span.status.description or "",
        events=tuple(events),
    )
