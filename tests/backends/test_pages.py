"""MLflow's own pages over the real Jaeger, in a real browser: what a person sees there."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time

import httpx
import pytest

from tests.backends import servers

pytestmark = [pytest.mark.backend, pytest.mark.timeout(400)]
SERVICE = "mlflow-otel-demo"
SEARCH = "/ajax-api/3.0/mlflow/traces/search"
PATIENCE = 120_000
"""Milliseconds: a page of a busy machine."""


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as (url, grpc, _):
        otlp = f"http://127.0.0.1:{grpc}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
        environ = {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-m", "mlflow_otel", "demo"]
        subprocess.run(command, env=environ, check=True, timeout=120, stdout=subprocess.DEVNULL)
        yield url, otlp


@contextlib.contextmanager
def serving(jaeger, folder):
    """Yield the address of ``mlflow-otel ui``, once it answers."""
    url, otlp = jaeger
    command = [
        str(servers.MLFLOW_PYTHON),
        "-m",
        "mlflow_otel",
        "ui",
        "--jaeger",
        url,
        "--otlp",
        otlp,
        "--port",
        "0",
        "--folder",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), address
        yield address
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


@pytest.fixture(scope="module")
def pages(jaeger, tmp_path_factory):
    with serving(jaeger, tmp_path_factory.mktemp("ui") / "folder") as address:
        yield address


@pytest.fixture(scope="module")
def http(pages):
    with httpx.Client(base_url=pages, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def experiment(http):
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until:  # services are asked for anew each half minute
        answer = http.post("/ajax-api/2.0/mlflow/experiments/search", json={"max_results": 25})
        for one in answer.json()["experiments"]:
            if one["name"] == SERVICE:
                return one["experiment_id"]
        time.sleep(1)
    raise AssertionError(answer.text)


@pytest.fixture(scope="module")
def browser():
    # Not above: the environments that leave these tests out collect this file too, and have none.
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "make packages installs chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1700, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


def search(http, experiment, condition=None):
    body = {
        "locations": [
            {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
        ],
        "max_results": 100,
        **({"filter": condition} if condition else {}),
    }
    answer = http.post(SEARCH, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["traces"]


def of_request(http, experiment, request):
    (found,) = (t for t in search(http, experiment) if t["client_request_id"] == request)
    return found


def open_trace(page, pages, experiment, trace):
    page.goto(f"{pages}/#/experiments/{experiment}/traces?selectedEvaluationId={trace}")
    page.get_by_label("Assess trace").first.wait_for()


def shows(page, *texts):
    """Wait until the page shows the texts."""
    until = time.monotonic() + PATIENCE / 1000
    while True:
        body = page.inner_text("body")
        missing = [text for text in texts if text not in body]
        if not missing or time.monotonic() > until:
            break
        page.wait_for_timeout(500)
    assert not missing, (missing, body[-3000:])


def test_the_list_shows_previews_sessions_states_tokens_tags_and_verdicts(page, pages, experiment):
    page.goto(f"{pages}/#/experiments/{experiment}/traces")
    shows(
        page,
        "How do I return my shoes?",
        "s-alice-1",
        "s-carol-1",
        "Error",
        "5 of 5",
        "+1",  # tags
        "tone",
        "polite",
    )


def test_a_search_by_session_finds_its_traces_alone(http, experiment):
    found = search(http, experiment, "metadata.`mlflow.trace.session` = 's-alice-1'")
    assert {one["client_request_id"] for one in found} == {"req-1", "req-2"}


def test_a_trace_shows_its_tree_its_chat_and_its_verdicts(page, pages, http, experiment):
    trace = of_request(http, experiment, "req-1")["trace_id"]
    open_trace(page, pages, experiment, trace)
    shows(page, "support_agent", "search_help", "36 tokens", "s-alice-1")
    page.get_by_text("Completions", exact=True).first.click(force=True)
    shows(
        page, "You are a shop's support.", "gpt-4o-mini-2024-07-18", "System", "User", "Assistant"
    )


def test_feedback_and_a_tag_sent_as_the_pages_send_them_are_in_jaeger_and_on_the_page(
    page, jaeger, http, experiment, tmp_path
):
    trace = of_request(http, experiment, "req-2")["trace_id"]
    said = {
        "assessment_name": "seen_by_me",
        "feedback": {"value": True},
        "source": {"source_type": "HUMAN", "source_id": "me"},
    }
    made = http.post(f"/ajax-api/3.0/mlflow/traces/{trace}/assessments", json={"assessment": said})
    assert made.status_code == 200, made.text
    changed = http.patch(
        f"/ajax-api/2.0/mlflow/traces/{trace}/tags", json={"key": "looked", "value": "twice"}
    )
    assert changed.status_code == 200, changed.text
    held = httpx.get(f"{jaeger[0]}/api/v3/traces/{trace.removeprefix('tr-')}", timeout=60).text
    assert "evaluation seen_by_me" in held
    assert "mlflow.traceTag.looked" in held
    with serving(jaeger, tmp_path / "anew") as other:  # another server: it remembers nothing
        open_trace(page, other, experiment, trace)
        page.get_by_label("Assess trace").first.click(force=True)
        shows(page, "seen_by_me")
