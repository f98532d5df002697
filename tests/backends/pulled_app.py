"""What happens on a tracking server after it was pulled: a new trace, and changes of an old one."""

from __future__ import annotations

import sys

import mlflow
from mlflow.entities import AssessmentSource

if __name__ == "__main__":
    old = sys.argv[1]
    mlflow.set_experiment("reading-app")
    with mlflow.start_span("later") as span:
        span.set_inputs({"q": "later"})
    mlflow.flush_trace_async_logging()
    mlflow.set_trace_tag(old, "changed", "yes")
    source = AssessmentSource("HUMAN", "bob")
    mlflow.log_feedback(trace_id=old, name="afterwards", value=False, source=source)
