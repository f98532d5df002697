r"""chat_app.py in Flask: ``POST /chat`` and ``POST /chat_feedback``.

    pip install 'mlflow-otel[tracing]' flask
    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 OTEL_SERVICE_NAME=chat flask --app chat_app_flask run

In another terminal, a question and what its user thinks of the answer:

    curl http://localhost:5000/chat -H 'Content-Type: application/json' -d '{"message": "Hello"}' \
        -H 'X-Request-ID: req-1' -H 'X-Session-ID: s-1' -H 'X-User-ID: ann'
    curl 'http://localhost:5000/chat_feedback?client_request_id=req-1' \
        -H 'Content-Type: application/json' -H 'X-User-ID: ann' -d '{"is_correct": true}'

Under gunicorn, or behind a load balancer, another process may get the feedback than the one that answered:
``MLFLOW_OTEL_TRACE_LOOKUP=jaeger+http://localhost:16686`` says where else traces are found.
"""

from __future__ import annotations

from typing import Any

import mlflow
from flask import Flask, request
from mlflow.entities import AssessmentSource

import mlflow_otel

mlflow_otel.instrument()  # the one line

app = Flask(__name__)


@mlflow.trace(span_type="AGENT")
def reply(message: str) -> str:
    """Stand in for what an app does with a message."""
    return f"You said: {message}"


@app.post("/chat")
@mlflow.trace(name="chat")
def chat() -> dict[str, str]:
    """Answer; what the request's headers say is on every span of its trace."""
    headers = request.headers
    said = {
        "client_request_id": headers.get("X-Request-ID"),
        "session_id": headers.get("X-Session-ID"),
        "user": headers.get("X-User-ID"),
    }
    mlflow.update_current_trace(**{key: value for key, value in said.items() if value})
    body: dict[str, Any] = request.get_json()
    return {"response": reply(body["message"])}


@app.post("/chat_feedback")
def chat_feedback() -> tuple[dict[str, Any], int]:
    """Log a user's verdict on the trace of their request."""
    body: dict[str, Any] = request.get_json()
    try:
        logged = mlflow_otel.log_feedback(
            client_request_id=request.args["client_request_id"],
            name="response_is_correct",
            value=body["is_correct"],
            source=AssessmentSource("HUMAN", request.headers.get("X-User-ID") or "anonymous"),
            rationale=body.get("comment"),
        )
    except mlflow_otel.TraceNotFoundError as error:
        return {"detail": str(error)}, 404
    return {"status": "logged", "trace_id": logged.trace_id}, 200
