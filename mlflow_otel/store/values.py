"""A stored trace in the plain values that a filter string is held against."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from typing import Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import Clause
from mlflow_otel.filtering.matching import AssessmentValues, SpanValues, TraceValues
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.store.model import StoredSpan, StoredTrace

NO_TYPE: Final = "UNKNOWN"
"""MLflow's span type of a span that has none."""
JUDGED: Final = frozenset({"feedback", "expectation"})
_written: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode
"""``json.dumps`` with these options makes an encoder for each value: a search by text writes very many."""


def trace_values(
    stored: StoredTrace,
    spans: Sequence[StoredSpan] = (),
    of_session: Iterable[AssessmentView] = (),
) -> TraceValues:
    """Return a trace's plain values.

    Args:
        stored: The trace.
        spans: Its spans, where a clause is about them.
        of_session: Assessments of the trace's session that were logged on another of its traces.
    """
    return TraceValues(
        attributes={
            "request_id": stored.trace_id,
            "client_request_id": stored.client_request_id,
            "status": stored.state,
            "timestamp_ms": stored.request_time_ms,
            "execution_time_ms": stored.duration_ms,
            "end_time_ms": stored.request_time_ms + stored.duration_ms,
            "experiment_id": stored.experiment_id,
        },
        tags=stored.tags,
        metadata=stored.metadata,
        spans=[_span(span) for span in spans],
        assessments=[_assessment(view) for view in (*stored.assessments, *of_session)],
    )


def _span(stored: StoredSpan) -> SpanValues:
    return SpanValues(
        stored.name,
        type_of(stored),
        stored.span.status,
        stored.attributes,
        functools.partial(content_of, stored),
    )


def type_of(stored: StoredSpan) -> str:
    """Return MLflow's type of a span."""
    return str(stored.attributes.get(keys.SPAN_TYPE) or NO_TYPE)


def content_of(stored: StoredSpan) -> str:
    """Return a span as JSON text: what ``span.content`` and ``trace.text`` are searched in."""
    span = stored.span
    return _written(
        {
            "name": stored.name,
            "attributes": {key: _written(value) for key, value in stored.attributes.items()},
            "events": [{"name": e.name, "attributes": dict(e.attributes)} for e in span.events],
            "status": {"code": span.status, "message": span.status_message},
        }
    )


def _assessment(view: AssessmentView) -> AssessmentValues:
    return AssessmentValues(view.kind, view.name, view.value, view.valid is not False)


def about_spans(clauses: Sequence[Clause]) -> bool:
    """Tell whether a trace's spans are needed to answer."""
    return any(clause.entity == "span" for clause in clauses)


def about_sessions(clauses: Sequence[Clause]) -> bool:
    """Tell whether assessments of a trace's session are needed: they hold for each of its traces."""
    return any(clause.entity in JUDGED for clause in clauses)


def of_session(view: AssessmentView) -> bool:
    """Tell whether an assessment is about the whole session of the trace that it was logged on."""
    return view.kind in JUDGED and keys.METADATA_SESSION in view.metadata
