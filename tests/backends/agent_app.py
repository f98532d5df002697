"""One app for the comparison: traced by MLflow alone, or through us. Nothing in it is random."""

from __future__ import annotations

import sys

import mlflow


@mlflow.trace(span_type="RETRIEVER")
def search(query):
    return [
        {"page_content": "Shoes go back.", "metadata": {"doc_uri": "help/returns"}, "id": "d-1"}
    ]


@mlflow.trace(span_type="TOOL")
def weather(city):
    return {"city": city, "degrees": 21}


@mlflow.trace(span_type="CHAT_MODEL")
def chat(model, messages, temperature):
    span = mlflow.get_current_active_span()
    usage = {
        "input_tokens": 82,
        "output_tokens": 17,
        "total_tokens": 99,
        "cache_read_input_tokens": 64,
    }
    span.set_attributes(
        {
            "mlflow.chat.tokenUsage": usage,
            "mlflow.llm.model": model,
            "mlflow.llm.provider": "openai",
            "mlflow.message.format": "openai",
        }
    )
    message = {"role": "assistant", "content": "Sunny, „21°“."}
    return {"id": "c-1", "model": model, "choices": [{"message": message, "finish_reason": "stop"}]}


@mlflow.trace(span_type="CHAIN")
def parse(text):
    return (
        f'{{"text": "{text}"}}'  # MLflow's server makes an object of such a string, however it came
    )


@mlflow.trace(span_type="AGENT")
def ask(question):
    search(question)
    weather("Paris")
    chat("gpt-4o-mini", [{"role": "user", "content": question}], 0.2)
    with mlflow.start_span("plain") as span:
        span.set_inputs({"numbers": [1, 2.5, None], "flag": True})
        span.set_outputs("done")
        span.set_attribute("retries", 3)
    parse("x")
    mlflow.update_current_trace(
        client_request_id="req-1",
        tags={"team": "shop", "environment": "test"},
        metadata={"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"},
    )
    return "ok"


@mlflow.trace(span_type="AGENT")
def fail(question):
    mlflow.update_current_trace(
        metadata={"mlflow.trace.session": "s-2", "mlflow.trace.user": "u-1"}
    )
    raise TimeoutError("too slow")


if sys.argv[1] == "ours":
    import mlflow_otel

    handle = mlflow_otel.instrument()
ask("How do I return my shoes?")
try:
    fail("When?")
except TimeoutError:
    pass
if sys.argv[1] == "ours":
    handle.force_flush()
mlflow.flush_trace_async_logging()
