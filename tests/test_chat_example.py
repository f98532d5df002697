"""The production case: the example app under uvicorn, hit over HTTP, exported over both transports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(environ, requests, cwd, then=lambda _base: None):
    """Run the app until ``requests`` (paths) are answered; then stop it as a supervisor does.

    ``then`` is called with the app's URL before that.
    """
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--port",
        str(port),
        "--app-dir",
        str(EXAMPLES),
        "chat_app:app",
    ]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    app = subprocess.Popen(command, env={**kept, **environ}, cwd=cwd, stderr=subprocess.PIPE)
    try:
        base = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                httpx.get(base + "/docs")
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        for index, path in enumerate(requests):
            headers = {
                "X-Request-ID": f"req-{index}",
                "X-Session-ID": f"s-{index % 2}",
                "X-User-ID": f"u-{index % 2}",
            }
            answer = httpx.post(base + path, json={"message": f"Hello {index}"}, headers=headers)
            assert answer.json() == {"response": f"You said: Hello {index}"}
        then(base)
    finally:
        app.terminate()
        _, said = app.communicate(timeout=30)
    return said.decode()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_every_span_carries_session_user_and_request_id(receiver, protocol, tmp_path):
    endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    said = serve(environ, ["/chat", "/v2/chat"] * 5, tmp_path)
    spans = receiver.store.spans()
    assert "Traceback" not in said
    assert len(spans) == 30  # exit flushes: chat, reply and answer of ten requests
    by_request = {}
    for span in spans:
        found = span["attributes"]
        by_request.setdefault(found["mlflow.trace.client_request_id"], []).append(found)
    assert sorted(by_request) == [f"req-{i}" for i in range(10)]
    for request, several in by_request.items():
        index = int(request.removeprefix("req-")) % 2
        assert len(several) == 3
        assert {(f["session.id"], f["user.id"]) for f in several} == {(f"s-{index}", f"u-{index}")}
        assert {f["deployment.environment.name"] for f in several} == {"production"}
        (entry,) = [f for f in several if "mlflow.trace.name" in f]
        assert {
            k: entry[f"mlflow.traceTag.{k}"] for k in ("app_version", "deployment_id", "region")
        } == {
            "app_version": "1.0.0",
            "deployment_id": "local",
            "region": "eu-west-1",
        }
        assert entry["mlflow.trace.token_usage.total_tokens"] == 17
    assert list(tmp_path.iterdir()) == []  # no local store


def feedback(base, request, *, is_correct, comment=None, user="ann"):
    return httpx.post(
        f"{base}/chat_feedback",
        params={"client_request_id": request},
        json={"is_correct": is_correct, "comment": comment},
        headers={"X-User-ID": user},
    )


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_feedback_by_request_id_alone_ends_up_in_its_trace(receiver, protocol, tmp_path):
    endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    answers = []

    def give_feedback(base):
        answers.append(feedback(base, "req-1", is_correct=False, comment="It is Paris."))
        answers.append(feedback(base, "req-77", is_correct=True))

    serve(environ, ["/chat"] * 3, tmp_path, give_feedback)
    taken, refused = answers
    assert taken.status_code == 200
    assert refused.status_code == 500
    assert "req-77" in refused.json()["detail"]
    store = receiver.store
    (root,) = [
        s
        for s in store.spans()
        if s["name"] == "chat" and s["attributes"]["mlflow.trace.client_request_id"] == "req-1"
    ]
    (span,) = [s for s in store.spans() if s["name"] == "evaluation response_is_correct"]
    (event,) = store.logs()
    assert (span["trace_id"], span["parent_span_id"]) == (root["trace_id"], root["span_id"])
    assert (event["trace_id"], event["span_id"]) == (root["trace_id"], root["span_id"])
    assert taken.json()["trace_id"] == f"tr-{root['trace_id']}"
    assert event["attributes"]["gen_ai.evaluation.score.label"] == "false"
    assert event["attributes"]["gen_ai.evaluation.explanation"] == "It is Paris."
    assert event["attributes"]["mlflow.assessment.source.id"] == "ann"
    counted = {p["name"] for p in store.metrics()}
    assert counted >= {"mlflow.assessment.count", "mlflow.assessment.score", "mlflow.trace.count"}
