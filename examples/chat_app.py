r"""MLflow's production-monitoring app, seen whole in OpenTelemetry: ``POST /chat`` and ``POST /chat_feedback``.

    pip install 'mlflow-otel[tracing]' fastapi uvicorn
    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 OTEL_SERVICE_NAME=chat uvicorn chat_app:app

In another terminal, a question and what its user thinks of the answer:

    curl http://localhost:8000/chat -H 'Content-Type: application/json' -d '{"message": "Hello"}' \
        -H 'X-Request-ID: req-1' -H 'X-Session-ID: s-1' -H 'X-User-ID: ann'
    curl 'http://localhost:8000/chat_feedback?client_request_id=req-1' \
        -H 'Content-Type: application/json' -H 'X-User-ID: ann' -d '{"is_correct": true}'

``X-Request-ID``, ``X-Session-ID`` and ``X-User-ID`` end up on every span of the request's trace; one that is
absent stays absent. With the request ID alone a user's feedback ends up in that trace, as an evaluation.
With ``--workers 2`` another process may get the feedback than the one that answered, and so it is long
after: ``MLFLOW_OTEL_TRACE_LOOKUP=jaeger+http://localhost:16686`` says where else traces are found.

chat_app_flask.py is the same in Flask.
"""

from __future__ import annotations

import os
from typing import Any

import mlflow
from fastapi import FastAPI, HTTPException, Request
from mlflow.entities import AssessmentSource
from pydantic import BaseModel

import mlflow_otel

mlflow_otel.instrument()  # the one line


app = FastAPI()
ENVIRONMENT = {
    "environment": "production",
    "app_version": os.environ.get("APP_VERSION", "1.0.0"),
    "deployment_id": os.environ.get("DEPLOYMENT_ID", "local"),
    "region": os.environ.get("REGION", "eu-west-1"),
}


class ChatRequest(BaseModel):
    """What a client sends."""

    message: str


@mlflow.trace(span_type="CHAT_MODEL")
def answer(messages: list[dict[str, Any]], model: str) -> dict[str, Any]:
    """Stand in for a model provider's client; its autologging would write the same."""
    span = mlflow.get_current_active_span()
    if span is not None:
        span.set_attributes(
            {
                "mlflow.llm.model": model,
                "mlflow.llm.provider": "openai",
                "mlflow.chat.tokenUsage": {
                    "input_tokens": 12,
                    "output_tokens": 5,
                    "total_tokens": 17,
                },
                "mlflow.llm.cost": {
                    "input_cost": 1.8e-06,
                    "output_cost": 3e-06,
                    "total_cost": 4.8e-06,
                },
            }
        )
    said = f"You said: {messages[-1]['content']}"
    return {
        "choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]
    }


@mlflow.trace(span_type="AGENT")
def reply(message: str) -> str:
    """Answer one message."""
    made = answer([{"role": "user", "content": message}], "gpt-4o-mini")
    return str(made["choices"][0]["message"]["content"])


def known(**values: str | None) -> dict[str, str]:
    """Return what a request said: without a header there is no session, rather than an empty one."""
    return {key: value for key, value in values.items() if value}


@app.post("/chat")
@mlflow.trace(name="chat")
def chat(request: Request, chat_request: ChatRequest) -> dict[str, str]:
    """Answer, in the older style of MLflow's guide: session and user as tags."""
    headers = request.headers
    said = {
        "mlflow.trace.session": headers.get("X-Session-ID"),
        "mlflow.trace.user": headers.get("X-User-ID"),
    }
    mlflow.update_current_trace(
        client_request_id=headers.get("X-Request-ID"), tags={**known(**said), **ENVIRONMENT}
    )
    return {"response": reply(chat_request.message)}


@app.post("/v2/chat")
@mlflow.trace(name="chat")
def chat_v2(request: Request, chat_request: ChatRequest) -> dict[str, str]:
    """Answer, in the newer style: session and user by arguments of their own."""
    headers = request.headers
    said = reply(chat_request.message)
    mlflow.update_current_trace(  # the last line of a request is soon enough
        **known(
            client_request_id=headers.get("X-Request-ID"),
            session_id=headers.get("X-Session-ID"),
            user=headers.get("X-User-ID"),
        ),
        tags=ENVIRONMENT,
    )
    return {"response": said}


class Feedback(BaseModel):
    """What a user says of an answer."""

    is_correct: bool
    comment: str | None = None


@app.post("/chat_feedback")
def chat_feedback(
    request: Request, feedback: Feedback, client_request_id: str
) -> dict[str, str | None]:
    """Log a user's verdict on the trace of their request: an evaluation in it, no server, no scan."""
    try:
        logged = mlflow_otel.log_feedback(
            client_request_id=client_request_id,
            name="response_is_correct",
            value=feedback.is_correct,
            source=AssessmentSource("HUMAN", request.headers.get("X-User-ID") or "anonymous"),
            rationale=feedback.comment,
        )
    except mlflow_otel.TraceNotFoundError as error:
        raise HTTPException(404, str(error)) from error
    return {"status": "logged", "trace_id": logged.trace_id, "assessment_id": logged.assessment_id}
