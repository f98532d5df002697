"""An app that uses what needs a tracking server: an experiment, a run, an evaluation, feedback on a trace."""

from __future__ import annotations

import json

import mlflow
from mlflow.entities import Feedback
from mlflow.genai.scorers import scorer


@mlflow.trace(span_type="AGENT")
def answer(question):
    mlflow.update_current_trace(session_id="s-1", tags={"env": "prod"})
    with mlflow.start_span("look up", span_type="TOOL") as span:
        span.set_inputs({"question": question})
    return f"so: {question}"


@scorer
def polite(outputs):
    return outputs.startswith("so")


if __name__ == "__main__":
    experiment = mlflow.set_experiment("tee-app")
    answer("why")
    trace_id = mlflow.get_last_active_trace_id()
    mlflow.flush_trace_async_logging()
    judged = mlflow.log_feedback(trace_id=trace_id, name="correct", value=True)
    mlflow.update_assessment(trace_id, judged.assessment_id, Feedback(name="correct", value=False))
    mlflow.set_trace_tag(trace_id, "later", "yes")
    with mlflow.start_run() as run:
        mlflow.log_metric("share", 0.5)
    found = mlflow.genai.evaluate(
        data=[{"inputs": {"question": "how"}}, {"inputs": {"question": "who"}}],
        predict_fn=answer,
        scorers=[polite],
    )
    traces = mlflow.search_traces(return_type="list")
    said = {
        "experiment": experiment.experiment_id,
        "trace": trace_id,
        "assessment": judged.assessment_id,
        "run": run.info.run_id,
        "evaluation": found.run_id,
        "metrics": found.metrics,
        "traces": {t.info.trace_id: len(t.data.spans) for t in traces},
        "of the run": len(mlflow.search_traces(run_id=found.run_id, return_type="list")),
    }
    print(json.dumps(said))
