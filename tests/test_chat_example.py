"""The example apps as their readers run them: hit over HTTP, exported over both transports."""

from __future__ import annotations

import os
import re
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


FASTAPI = ("-m", "uvicorn", "--app-dir", str(EXAMPLES), "chat_app:app", "--port")
FLASK = ("-m", "flask", "--app", str(EXAMPLES / "chat_app_flask.py"), "run", "--port")


def serve(environ, requests, cwd, then=lambda _base: None, server=FASTAPI, more=()):
    """Run an app until ``requests`` (paths) are answered; then stop it as a supervisor does.

    ``then`` is called with the app's URL before that.
    """
    port = free_port()
    command = [sys.executable, *server, str(port), *more]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    app = subprocess.Popen(command, env={**kept, **environ}, cwd=cwd, stderr=subprocess.PIPE)
    try:
        base = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                httpx.get(base)
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
    assert refused.status_code == 404
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


@pytest.mark.parametrize(
    ("server", "file", "port"),
    [(FASTAPI, "chat_app.py", 8000), (FLASK, "chat_app_flask.py", 5000)],
    ids=["fastapi", "flask"],
)
def test_the_requests_at_the_top_of_an_example_work_as_pasted(
    receiver, server, file, port, tmp_path
):
    text = (EXAMPLES / file).read_text()
    pasted = re.search(r"^    curl .*?(?=\n\n|\n[^ ])", text, re.MULTILINE | re.DOTALL)[0]
    answers = []

    def paste(base):
        script = pasted.replace(f"http://localhost:{port}", base)
        done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True)
        answers.append(done.stdout)

    serve({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}, [], tmp_path, paste, server)
    assert "You said: Hello" in answers[0]
    assert "logged" in answers[0]
    (verdict,) = [
        s for s in receiver.store.spans() if s["name"] == "evaluation response_is_correct"
    ]
    assert verdict["attributes"]["user.id"] == "ann"


@pytest.mark.parametrize("server", [FASTAPI, FLASK], ids=["fastapi", "flask"])
def test_a_header_that_is_absent_leaves_no_empty_attribute(receiver, server, tmp_path):
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}

    def without_headers(base):
        for path in ["/chat"] + ["/v2/chat"] * (server is FASTAPI):
            assert httpx.post(base + path, json={"message": "Hello"}).status_code == 200

    serve(environ, [], tmp_path, without_headers, server)
    spans = receiver.store.spans()
    assert {span["name"] for span in spans} >= {"chat", "invoke_agent reply"}
    for span in spans:
        absent = {"session.id", "user.id", "mlflow.trace.client_request_id"}
        assert not absent & set(span["attributes"])
        assert "" not in span["attributes"].values()


def test_the_same_in_flask(receiver, tmp_path):
    answers = []

    def give_feedback(base):
        answers.append(feedback(base, "req-0", is_correct=True))
        answers.append(feedback(base, "req-77", is_correct=True))

    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}
    said = serve(environ, ["/chat"], tmp_path, give_feedback, FLASK)
    assert "Traceback" not in said
    assert [answer.status_code for answer in answers] == [200, 404]
    spans = {span["name"]: span for span in receiver.store.spans()}
    assert set(spans) == {"chat", "invoke_agent reply", "evaluation response_is_correct"}
    assert spans["invoke_agent reply"]["attributes"]["session.id"] == "s-0"
    assert len({span["trace_id"] for span in spans.values()}) == 1


@pytest.mark.newest  # OpenAI's client of today, which MLflow's oldest does not know
def test_the_agent_with_tools_beside_the_stub_of_a_model(receiver, tmp_path):
    port = str(free_port())
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_", "OPENAI_"))
    }
    stub = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "stub_model.py"), port], stdout=subprocess.PIPE, text=True
    )
    try:
        url = stub.stdout.readline().strip()
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "agent.py"), "What is the weather in Paris?"],
            env={
                **kept,
                "OPENAI_BASE_URL": url,
                "OPENAI_API_KEY": "none",
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    finally:
        stub.terminate()
        stub.wait()
    assert done.returncode == 0, done.stderr
    assert "degrees" in done.stdout
    names = [span["name"] for span in receiver.store.spans()]
    assert sorted(names) == [
        "chat gpt-4o-mini",
        "chat gpt-4o-mini",
        "execute_tool get_weather",
        "invoke_agent agent",
    ]
    calls = [s["attributes"] for s in receiver.store.spans() if s["name"].startswith("chat")]
    assert all(call["gen_ai.usage.input_tokens"] == 12 for call in calls)
    assert any('"type":"tool_call"' in call["gen_ai.output.messages"] for call in calls)
