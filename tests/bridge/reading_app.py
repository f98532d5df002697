"""An app that traces with MLflow and reads its traces back with MLflow's own calls, at once."""

from __future__ import annotations

import json

import mlflow
from mlflow.entities import AssessmentSource


@mlflow.trace(span_type="CHAT_MODEL", attributes={"n": 20, "text": "20"})
def chat(messages):
    return {"choices": [{"message": {"role": "assistant", "content": "hellö"}}]}


@mlflow.trace(span_type="AGENT")
def agent(question, session):
    chat([{"role": "user", "content": question}])
    mlflow.update_current_trace(
        session_id=session, tags={"env": "prod"}, client_request_id=question
    )
    if question == "fail":
        raise ValueError("no")
    return "done"


def seen(trace):
    return {
        "name": trace.info.tags["mlflow.traceName"],
        "state": str(trace.info.state.value),
        "session": trace.info.trace_metadata["mlflow.trace.session"],
        "request": trace.info.client_request_id,
        "env": trace.info.tags.get("env"),
        "late": trace.info.tags.get("late"),
        "spans": {
            span.name: [span.span_type, span.inputs, span.outputs, span.parent_id is None]
            for span in trace.data.spans
        },
        "n": [span.attributes.get("n") for span in trace.data.spans],
        "assessments": [
            [a.name, a.value, a.rationale, a.source.source_id, a.valid]
            for a in trace.info.assessments
        ],
    }


if __name__ == "__main__":
    experiment = mlflow.set_experiment("reading-app").experiment_id
    for question, session in (("one", "s-1"), ("two", "s-2"), ("fail", "s-1")):
        try:
            agent(question, session)
        except ValueError:
            pass
    mlflow.flush_trace_async_logging()
    found = mlflow.search_traces(
        locations=[experiment],
        filter_string="metadata.`mlflow.trace.session` = 's-1'",
        order_by=["timestamp_ms ASC"],
        return_type="list",
    )
    one = found[0].info.trace_id
    mlflow.set_trace_tag(one, "late", "1")
    mlflow.delete_trace_tag(one, "env")
    source = AssessmentSource("HUMAN", "ann")
    first = mlflow.log_feedback(trace_id=one, name="good", value=0.5, rationale="so", source=source)
    mlflow.override_feedback(trace_id=one, assessment_id=first.assessment_id, value=True)
    mlflow.log_expectation(trace_id=one, name="answer", value={"a": [1, 2]}, source=source)
    print(
        json.dumps(
            {
                "found": [seen(trace) for trace in found],
                "one": seen(mlflow.get_trace(one)),
                "failed": len(
                    mlflow.search_traces(
                        locations=[experiment],
                        filter_string="status = 'ERROR'",
                        return_type="list",
                    )
                ),
                "judged": len(
                    mlflow.search_traces(
                        locations=[experiment],
                        filter_string="feedback.good = 'true'",
                        return_type="list",
                    )
                ),
                "pages": len(
                    mlflow.search_traces(locations=[experiment], max_results=2, return_type="list")
                ),
                "missing": mlflow.get_trace("tr-" + "1" * 32) is None,
            }
        )
    )
