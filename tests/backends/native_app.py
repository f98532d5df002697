"""One trace of each kind of span; with ``ours`` through mlflow-otel, else by MLflow's own OTLP export."""

from __future__ import annotations

import contextlib
import sys
import time

import mlflow
from mlflow.entities import Document

if sys.argv[1] == "ours":
    import mlflow_otel

    handle = mlflow_otel.instrument()

with mlflow.start_span("agent", span_type="AGENT") as root:
    root.set_inputs({"question": "where?"})
    mlflow.update_current_trace(
        session_id="s-1", user="u-1", client_request_id="req-1", tags={"environment": "prod"}
    )
    with mlflow.start_span("llm", span_type="CHAT_MODEL") as span:
        span.set_inputs({"messages": [{"role": "user", "content": "hi"}], "temperature": 0.5})
        span.set_attribute("mlflow.llm.model", "gpt-4o-mini")
        span.set_attribute("mlflow.llm.provider", "azure_openai")
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        span.set_attribute("mlflow.chat.tokenUsage", {**usage, "cache_read_input_tokens": 1})
        costs = {"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}
        span.set_attribute("mlflow.llm.cost", costs)
        said = {"role": "assistant", "content": "yo"}
        span.set_outputs({"choices": [{"message": said, "finish_reason": "stop"}]})
    with mlflow.start_span("search", span_type="RETRIEVER") as span:
        span.set_inputs({"query": "where?"})
        span.set_outputs([Document("page", {"doc_uri": "u"}, "1")])
    with mlflow.start_span("weather", span_type="TOOL") as span:
        span.set_inputs({"city": "Paris"})
        span.set_outputs("sunny")
        span.set_attribute("custom", {"a": 1})
    with contextlib.suppress(ValueError), mlflow.start_span("bad", span_type="CHAIN"):
        raise ValueError("no")
    with mlflow.start_span("plan", span_type="WORKFLOW") as span:
        span.set_inputs("go")
    root.set_outputs("done")
if sys.argv[1] == "ours":
    handle.force_flush(10_000)
else:
    time.sleep(6)  # MLflow 3.17 has no flush for its OTLP export
