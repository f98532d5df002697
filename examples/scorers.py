"""Scorers for `mlflow-otel score`, or for an app: plain functions, which need no further package.

mlflow-otel score --scorers examples.scorers:SCORERS
"""

from __future__ import annotations

from typing import Any

from mlflow.entities import Feedback, SpanStatusCode, Trace

import mlflow_otel


def all_steps_ok(trace: Trace) -> bool:
    """Tell whether no step failed."""
    return all(span.status.status_code is not SpanStatusCode.ERROR for span in trace.data.spans)


def answered(outputs: Any) -> Feedback:
    """Tell whether there is an answer, and how long it is."""
    text = "" if outputs is None else str(outputs)
    return Feedback(value=bool(text.strip()), rationale=f"{len(text)} characters.")


SCORERS = [
    all_steps_ok,
    (answered, mlflow_otel.ScorerSamplingConfig(sample_rate=0.5, filter_string="status = 'OK'")),
]
