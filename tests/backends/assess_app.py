"""Assessments in dual export, as an app and an evaluation log them; prints what the server then has."""

from __future__ import annotations

import json
import subprocess
import sys

import mlflow
from mlflow.genai.scorers import scorer

import mlflow_otel

handle = mlflow_otel.instrument()


@mlflow.trace
def chat(question):
    mlflow.update_current_trace(client_request_id=question)
    if question == "first":
        mlflow.log_feedback(trace_id=mlflow.get_active_trace_id(), name="inside", value=1)
    return "Paris"


@scorer
def is_short(outputs):
    return len(outputs) < 10


def main():
    chat("first")
    trace_id = mlflow.get_last_active_trace_id()
    mlflow.flush_trace_async_logging()
    mlflow.log_feedback(trace_id=trace_id, name="after", value=True)
    mlflow.log_expectation(trace_id=trace_id, name="wanted", value="Paris")
    by_request = (
        "import mlflow_otel; mlflow_otel.instrument();"
        "mlflow_otel.log_feedback(client_request_id='first', name='by_request', value=0.5)"
    )
    subprocess.run([sys.executable, "-c", by_request], check=True, timeout=100)
    data = [{"inputs": {"question": "second"}, "expectations": {"expected_response": "Paris"}}]
    mlflow.genai.evaluate(data=data, predict_fn=chat, scorers=[is_short])
    assert handle.force_flush(20_000)
    found = []
    for trace in mlflow.search_traces(return_type="list"):
        found += [(trace.info.trace_id, a.name) for a in trace.info.assessments]
    print(json.dumps(found))


main()
