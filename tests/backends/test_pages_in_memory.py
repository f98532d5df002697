"""``mlflow-otel ui`` without a backend: an app sends to it, and MLflow's pages show what came."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import httpx
import pytest

from tests.backends import servers

pytestmark = [pytest.mark.backend, pytest.mark.timeout(300)]
APP = """
import sys
import mlflow, mlflow_otel
mlflow_otel.instrument(service_name="shop")
@mlflow.trace(span_type="TOOL")
def capital(country):
    return {"France": "Paris"}[country]
@mlflow.trace(span_type="AGENT")
def answer(question):
    mlflow.update_current_trace(session_id=sys.argv[1], client_request_id=sys.argv[1])
    return f"It is {capital('France')}."
answer("What is the capital of France?")
mlflow_otel.log_feedback(client_request_id=sys.argv[1], name="is_correct", value=True)
"""
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Yield what ``mlflow-otel ui`` printed: its address, and what it says below."""
    ports = ["--port", "0", "--grpc-port", "0", "--http-port", "0"]
    folder = ["--folder", str(tmp_path_factory.mktemp("ui"))]
    command = [str(servers.MLFLOW_PYTHON), "-m", "mlflow_otel", "ui", *ports, *folder]
    environ = {**CLEAN, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    try:
        yield [process.stdout.readline().strip() for _ in range(4)]
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


@pytest.fixture(scope="module")
def http(started):
    with httpx.Client(base_url=started[0], timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def experiment(started, http):
    """Send two traces as the printed lines say, one by gRPC and one by HTTP; return their experiment."""
    (_, shown, _, told) = started
    grpc, by_http = re.findall(r"http://127\.0\.0\.1:\d+", shown)
    assert told == f"OTEL_EXPORTER_OTLP_ENDPOINT={grpc} mlflow-otel demo"
    for session, more in (
        ("s-grpc", {"OTEL_EXPORTER_OTLP_ENDPOINT": grpc}),
        (
            "s-http",
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": by_http,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
        ),
    ):
        environ = {**CLEAN, "MLFLOW_DISABLE_TELEMETRY": "true", **more}
        subprocess.run([sys.executable, "-c", APP, session], env=environ, check=True, timeout=120)
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        answer = http.post("/ajax-api/2.0/mlflow/experiments/search", json={"max_results": 25})
        for one in answer.json()["experiments"]:
            if one["name"] == "shop":
                return one["experiment_id"]
    raise AssertionError(answer.text)


def search(http, experiment, condition=None):
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    body = {"locations": [where], "max_results": 10}
    if condition is not None:
        body["filter"] = condition
    answer = http.post("/ajax-api/3.0/mlflow/traces/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json().get("traces", [])


def whole(http, trace):
    answer = http.get("/ajax-api/3.0/mlflow/traces/get", params={"trace_id": trace})
    assert answer.status_code == 200, answer.text
    return answer.json()["trace"]


def test_what_an_app_sent_is_listed_and_a_search_by_session_finds_its_trace_alone(http, experiment):
    listed = search(http, experiment)
    assert {t["client_request_id"] for t in listed} == {"s-grpc", "s-http"}
    assert all("capital of France" in t["request_preview"] for t in listed)
    (found,) = search(http, experiment, "metadata.`mlflow.trace.session` = 's-http'")
    assert found["client_request_id"] == "s-http"
    assert [a["assessment_name"] for a in found["assessments"]] == ["is_correct"]
    assert {s["name"] for s in whole(http, found["trace_id"])["spans"]} == {"answer", "capital"}


def test_feedback_and_a_tag_added_in_the_pages_are_kept_and_found(http, experiment):
    (found,) = search(http, experiment, "metadata.`mlflow.trace.session` = 's-grpc'")
    trace = found["trace_id"]
    said = {
        "assessment_name": "seen_by_me",
        "feedback": {"value": True},
        "source": {"source_type": "HUMAN", "source_id": "me"},
    }
    place = f"/ajax-api/3.0/mlflow/traces/{trace}/assessments"
    assert http.post(place, json={"assessment": said}).status_code == 200
    tag = {"key": "looked", "value": "twice"}
    assert http.patch(f"/ajax-api/2.0/mlflow/traces/{trace}/tags", json=tag).status_code == 200
    info = whole(http, trace)["trace_info"]
    assert {a["assessment_name"] for a in info["assessments"]} == {"is_correct", "seen_by_me"}
    assert info["tags"]["looked"] == "twice"
    for condition in ("tag.looked = 'twice'", "feedback.seen_by_me = 'true'"):
        (again,) = search(http, experiment, condition)
        assert again["trace_id"] == trace
