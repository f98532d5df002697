"""What an MLflow server holds of an experiment, as JSON: run where the server's MLflow is."""

from __future__ import annotations

import json
import sys

import mlflow

experiment = sys.argv[1]
found = mlflow.MlflowClient().search_traces(locations=[experiment])
traces = []
for trace in found:
    spans = []
    parents = {
        span.span_id: span.attributes.get("mlflow.span.name", span.name)
        for span in trace.data.spans
    }
    for span in trace.data.spans:
        attributes = span.attributes
        spans.append(
            {
                "name": attributes.get("mlflow.span.name", span.name),
                "parent": parents.get(span.parent_id) if span.parent_id else None,
                "type": span.span_type,
                "inputs": span.inputs,
                "outputs": span.outputs,
                "status": span.status.status_code.value,
                "usage": attributes.get("mlflow.chat.tokenUsage"),
                "model": attributes.get("mlflow.llm.model"),
                "cost": attributes.get("mlflow.llm.cost"),
                "retries": attributes.get("retries"),
                "events": [event.name for event in span.events],
            }
        )
    info = trace.info
    traces.append(
        {
            "state": info.state.value,
            "session": info.trace_metadata.get("mlflow.trace.session"),
            "user": info.trace_metadata.get("mlflow.trace.user"),
            "usage": json.loads(info.trace_metadata.get("mlflow.trace.tokenUsage", "null")),
            "tags": {k: v for k, v in info.tags.items() if not k.startswith("mlflow.")},
            "request_preview": info.request_preview,
            "spans": sorted(spans, key=lambda s: s["name"]),
        }
    )
print(json.dumps(sorted(traces, key=lambda t: t["session"])))
