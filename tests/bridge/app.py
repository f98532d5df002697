"""An app that traces with MLflow: what it does is the same whoever takes its spans."""

from __future__ import annotations

import os

import mlflow

if os.environ.get("WITH_INSTRUMENT"):
    import mlflow_otel

    mlflow_otel.instrument()


@mlflow.trace(span_type="RETRIEVER")
def look(query):
    return [{"page_content": "a", "metadata": {"n": 1, "share": 1.0}, "id": "7"}]


@mlflow.trace(span_type="CHAT_MODEL")
def chat(messages, model, temperature):
    span = mlflow.get_current_active_span()
    span.set_attribute(
        "mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    )
    said = {"role": "assistant", "content": "hellö"}
    return {
        "choices": [{"message": said, "finish_reason": "stop"}],
        "model": "gpt-x-1",
        "id": "r-1",
    }


@mlflow.trace(span_type="TOOL")
def tool(number):
    raise ValueError("no such number")


@mlflow.trace
def plain(text):
    span = mlflow.get_current_active_span()
    values = {
        "text": "20",
        "json text": '{"a": 1}',
        "number": 20,
        "share": 0.5,
        "flag": True,
        "list": ["a", "b"],
        "mixed": [1, "b", None],
        "object": {"a": {"b": [1, 2]}},
        "empty": "",
        "nothing": None,
        "odd": 'a "quoted" \\ word',
    }
    for key, value in values.items():
        span.set_attribute(key, value)
    span.add_event(mlflow.entities.SpanEvent("seen", attributes={"n": 1, "of": "20"}))


@mlflow.trace(span_type="AGENT")
def agent(question):
    look(question)
    chat([{"role": "user", "content": question}], model="gpt-x", temperature=0.5)
    try:
        tool(1)
    except ValueError:
        pass
    plain("20")
    mlflow.update_current_trace(
        session_id="s-1",
        user="u-1",
        tags={"env": "prod", "environment": "test"},
        metadata={"team": "x"},
        client_request_id="req-1",
    )
    return "done"


if __name__ == "__main__":
    mlflow.set_experiment("chat-app")
    agent("hi")
    print(mlflow.get_last_active_trace_id())
    mlflow.flush_trace_async_logging()
    if os.environ.get("WITH_INSTRUMENT"):
        mlflow_otel.uninstrument()
