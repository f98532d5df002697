"""An app that traces with MLflow and knows nothing of what is behind MLFLOW_TRACKING_URI."""

from __future__ import annotations

import json
import sys
import time

import mlflow

TRACES, PAUSE = int(sys.argv[1]), float(sys.argv[2])


@mlflow.trace(span_type="AGENT")
def answer(number):
    mlflow.update_current_trace(
        session_id="s-1", tags={"number": str(number)}, client_request_id=f"{sys.argv[3]}-{number}"
    )
    with mlflow.start_span("look up", span_type="TOOL") as span:
        span.set_inputs({"number": number})
        with mlflow.start_span("read"):
            pass
    return f"It is {number}."


if __name__ == "__main__":
    mlflow.set_experiment("through-kafka")
    made, judged, tagged = [], {}, []
    for number in range(TRACES):
        answer(number)
        made.append(mlflow.get_last_active_trace_id())
        if number % 20 == 10:
            trace_id = made[number - 10]
            judged[trace_id] = mlflow.log_feedback(
                trace_id=trace_id, name="good", value=True
            ).assessment_id
            mlflow.set_trace_tag(trace_id, "later", "yes")
            tagged.append(trace_id)
        time.sleep(PAUSE)
    mlflow.flush_trace_async_logging()
    print(json.dumps({"made": made, "judged": judged, "tagged": tagged}))
