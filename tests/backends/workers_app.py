"""An app that sends traces as fast as MLflow's client takes them; prints the spans that it made."""

from __future__ import annotations

import json
import sys

import mlflow


@mlflow.trace(span_type="AGENT")
def answer(question):
    span = mlflow.get_current_active_span()
    ids = [span.span_id]
    for number in range(4):
        with mlflow.start_span(f"step {number}") as inner:
            inner.set_inputs({"question": question})
            ids.append(inner.span_id)
    mlflow.update_current_trace(session_id="s-1")
    return span.trace_id, ids


if __name__ == "__main__":
    mlflow.set_experiment("under load")
    made = []
    for number in range(int(sys.argv[1])):
        trace_id, ids = answer(number)
        made += [[trace_id.removeprefix("tr-"), span_id] for span_id in ids]
    mlflow.flush_trace_async_logging()
    print(json.dumps(made))
