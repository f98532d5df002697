"""MLflow's own pages over the real Jaeger, in a real browser: what a person sees there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys

import httpx
import pytest

from tests.backends import browsing, servers

pytestmark = [pytest.mark.backend, pytest.mark.timeout(400)]
SERVICE = "mlflow-otel-demo"
BESIDE = "beside-sqlite"


APP = """
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()
for number in (1, 2, 3):
    try:
        with mlflow.start_span("answer", span_type="AGENT") as root:
            mlflow.update_current_trace(session_id=f"s-{number % 2}", user="ann", tags={"team": "a"},
                client_request_id=f"req-{number}")
            root.set_inputs({"question": f"Where is order {number}?"})
            with mlflow.start_span("call", span_type="CHAT_MODEL") as call:
                call.set_inputs({"model": "m", "messages": [{"role": "user", "content": "Paris?"}]})
                call.set_outputs({"choices": [{"message": {"role": "assistant", "content": "Yes"}}]})
                call.set_attribute("mlflow.chat.tokenUsage",
                    {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5})
            if number == 3:
                raise ValueError("no such order")
            root.set_outputs(f"It is at {number}.")
    except ValueError:
        pass
    mlflow.flush_trace_async_logging()
    mlflow.log_feedback(trace_id=root.trace_id, name="helpful", value=number == 1, rationale="I say so.")
mlflow.flush_trace_async_logging()
assert handle.force_flush()
"""


def demo(otlp, *program, **more):
    """Run the demo, or a program, into an OTLP endpoint."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    environ = {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, *(program or ("-m", "mlflow_otel", "demo"))]
    environ |= more
    subprocess.run(command, env=environ, check=True, timeout=120, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as (url, grpc, _):
        otlp = f"http://127.0.0.1:{grpc}"
        demo(otlp)
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
def experiment(pages):
    return browsing.experiment_named(pages, SERVICE)


@pytest.fixture(scope="module")
def browser():
    with browsing.chromium() as started:
        yield started


@pytest.fixture
def page(browser):
    with browsing.new_page(browser) as opened:
        yield opened


ANSWERS = """
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()

@mlflow.trace(span_type="AGENT")
def answer(messages, user, limit):
    call = {"id": "c-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    function = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    model([{"role": "user", "content": "Shall I?"}], [{"type": "function", "function": function}])
    return {
        "messages": [
            {"role": "assistant", "reasoning_content": "The sky matters.", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c-1", "content": "Sunny."},
            {"role": "assistant", "content": "Yes, go out."},
        ],
        "steps": 2,
    }

@mlflow.trace(span_type="CHAT_MODEL")
def model(messages, tools):
    return {"choices": [{"message": {"role": "assistant", "content": "It depends."}}]}

asked = [{"type": "text", "text": "Shall I go out?"},
    {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="}}]
answer([{"role": "system", "content": "You are terse."}, {"role": "user", "content": asked}], "ann", 3)
mlflow.flush_trace_async_logging()
assert handle.force_flush()
"""


def test_messages_beside_other_arguments_are_a_chat_with_reasoning_an_image_and_calls(
    page, jaeger, pages
):
    demo(jaeger[1], "-c", ANSWERS, OTEL_SERVICE_NAME="answers")
    experiment = browsing.experiment_named(pages, "answers")
    (trace,) = browsing.traces_of(pages, experiment)
    browsing.open_trace(page, pages, experiment, trace["trace_id"])
    browsing.shows(page, "You are terse.", "Shall I go out?", "Yes, go out.", "Sunny.", "weather")
    browsing.shows(page, "System", "User", "Assistant")
    page.get_by_text("Reasoning", exact=True).first.click(force=True)
    browsing.shows(page, "The sky matters.")
    assert page.locator('img[src^="data:image/gif"]').count()
    assert '"role"' not in page.inner_text("body")
    page.get_by_text("model", exact=True).first.click(force=True)
    browsing.shows(page, "It depends.", "\nTools")


def of_request(pages, experiment, request):
    found = browsing.traces_of(pages, experiment)
    return next(t["trace_id"] for t in found if t["client_request_id"] == request)


def test_the_list_shows_previews_sessions_states_tokens_tags_and_verdicts(page, pages, experiment):
    browsing.open_list(page, pages, experiment)
    browsing.shows(
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


def test_a_search_by_session_finds_its_traces_alone(pages, experiment):
    condition = "metadata.`mlflow.trace.session` = 's-alice-1'"
    found = browsing.traces_of(pages, experiment, condition)
    assert {one["client_request_id"] for one in found} == {"req-1", "req-2"}


def test_a_trace_shows_its_tree_its_chat_and_its_verdicts(page, pages, experiment):
    browsing.open_trace(page, pages, experiment, of_request(pages, experiment, "req-1"))
    browsing.shows(page, "support_agent", "search_help", "36 tokens", "s-alice-1")
    page.get_by_text("Completions", exact=True).first.click(force=True)
    browsing.shows(
        page, "You are a shop's support.", "gpt-4o-mini-2024-07-18", "System", "User", "Assistant"
    )


def test_feedback_and_a_tag_clicked_in_the_pages_are_in_jaeger_and_on_the_page_of_another_server(
    page, jaeger, pages, experiment, tmp_path
):
    trace = of_request(pages, experiment, "req-2")
    browsing.open_trace(page, pages, experiment, trace)
    browsing.add_feedback(page, "seen_by_me")
    browsing.shows(page, "seen_by_me")
    browsing.add_tag(page, pages, experiment, trace, "looked", "twice")
    held = httpx.get(f"{jaeger[0]}/api/v3/traces/{trace.removeprefix('tr-')}", timeout=60).text
    assert "evaluation seen_by_me" in held
    assert "mlflow.traceTag.looked" in held
    with serving(jaeger, tmp_path / "anew") as other:  # it remembers nothing
        browsing.open_trace(page, other, experiment, trace)
        browsing.shows(page, "seen_by_me", "3 tags")


@pytest.fixture(scope="module")
def plain(jaeger, tmp_path_factory):
    """Yield MLflow's own server on SQLite. One run of an app went there and to Jaeger."""
    with servers.mlflow_server(tmp_path_factory.mktemp("plain")) as address:
        more = {
            "MLFLOW_TRACKING_URI": address,
            "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
            "MLFLOW_EXPERIMENT_NAME": BESIDE,
            "OTEL_SERVICE_NAME": "beside",
        }
        demo(jaeger[1], "-c", APP, **more)
        yield address


def texts(page):
    """Return the lines that a page shows, as a set, without those that differ from one look to the next."""
    lines = {line.strip() for line in page.inner_text("body").splitlines()}
    return {alike(line) for line in lines if line and not CHANGING.fullmatch(line)}


def alike(line):
    """Return a line as both servers have it: our previews are compact JSON, and texts without quotes."""
    try:
        value = json.loads(line)
    except ValueError:
        return line
    return value if isinstance(value, str) else json.dumps(value)


CHANGING = re.compile(r"now|.* ago|(team|service\..*|telemetry\..*): .*")
"""How long ago something was; which of the tags the list has room for."""
# MLflow's server makes tags of the resource's attributes (service.name, telemetry.distro.*); here they
# are the resource's.
DIFFER = {
    "list": {"here": set(), "there": {"+4"}},
    "trace": {"here": {"1 tag"}, "there": {"+4", "5 tags"}},
}
"""Texts that one of the servers alone shows."""


def test_the_pages_show_the_same_texts_as_over_sqlite(page, pages, plain):
    seen = {}
    for name, address in (("there", plain), ("here", pages)):
        experiment = browsing.experiment_named(address, BESIDE)
        trace = of_request(address, experiment, "req-1")
        browsing.open_list(page, address, experiment)
        browsing.shows(page, "3 of 3", "s-0", "s-1", "helpful", "Error")
        seen["list", name] = texts(page)
        browsing.open_trace(page, address, experiment, trace)
        browsing.shows(page, "answer", "5 tokens", "helpful", "s-1")
        seen["trace", name] = texts(page)
    found = {
        place: {
            "here": seen[place, "here"] - seen[place, "there"],
            "there": seen[place, "there"] - seen[place, "here"],
        }
        for place in DIFFER
    }
    assert found == DIFFER, found


MADE = {
    "feedback": {"feedback": {"value": True}},
    "expectation": {"expectation": {"value": "Paris"}},
}
CHANGES = [
    ("feedback", {"feedback": {"value": False}}),
    ("feedback", {"feedback": {"error": {"error_code": "E", "error_message": "slow"}}}),
    ("feedback", {"rationale": "so"}),
    ("feedback", {"metadata": {"k": "v"}}),
    ("feedback", {"assessment_name": "renamed"}),
    ("expectation", {"expectation": {"value": {"city": "Rome"}}}),
    ("expectation", {"feedback": {"value": 1}}),  # refused
    ("feedback", {"expectation": {"value": 1}}),  # refused
]


@pytest.mark.parametrize(("kind", "change"), CHANGES, ids=str)
def test_an_assessment_that_is_changed_over_rest_is_as_mlflows_server_makes_it(
    pages, plain, kind, change
):
    told = []
    for address in (pages, plain):
        experiment = browsing.experiment_named(address, BESIDE)
        trace = of_request(address, experiment, "req-2")
        place = f"{address}/ajax-api/3.0/mlflow/traces/{trace}/assessments"
        source = {"source_type": "HUMAN", "source_id": "me"}
        asked = {"assessment_name": "changed", "source": source, **MADE[kind]}
        made = httpx.post(place, json={"assessment": asked}, timeout=60).json()["assessment"]
        one = f"{place}/{made['assessment_id']}"
        body = {"assessment": change, "update_mask": next(iter(change))}
        answer = httpx.patch(one, json=body, timeout=60)
        read = httpx.get(one, timeout=60).json()["assessment"]
        httpx.delete(one, timeout=60)
        told.append((answer.status_code, {key: read.get(key) for key in COMPARED}))
    assert told[0] == told[1]


COMPARED = (
    "assessment_name",
    "feedback",
    "expectation",
    "rationale",
    "metadata",
    "source",
    "valid",
)


def test_plain_mlflow_server_takes_the_tracking_uri_with_a_database_beside(jaeger, tmp_path):
    url, otlp = jaeger
    database = f"sqlite:///{tmp_path}/pages.db"
    uri = f"otel+jaeger://{url.removeprefix('http://')}?otlp={otlp}&sql={database}"
    with servers.mlflow_server(tmp_path, None, uri, ["--registry-store-uri", database]) as address:
        experiment = browsing.experiment_named(address, SERVICE)
        assert len(browsing.traces_of(address, experiment)) == 5
        asked = {"experiment_ids": [experiment], "max_results": 5}
        place = f"{address}/ajax-api/2.0/mlflow"
        for answer in (
            httpx.post(f"{place}/runs/search", json=asked, timeout=60),
            httpx.get(f"{place}/registered-models/search", timeout=60),
        ):
            assert answer.status_code == 200, answer.text


def test_over_a_jaeger_that_is_gone_the_pages_open_and_what_needs_it_says_so_in_one_sentence(
    tmp_path,
):
    url, otlp = (f"http://127.0.0.1:{port}" for port in servers.free_ports(2))
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    count = {
        "experiment_ids": ["0"],
        "view_type": "TRACES",
        "metric_name": "trace_count",
        "aggregations": [{"aggregation_type": "COUNT"}],
    }
    traces = "/ajax-api/3.0/mlflow/traces"
    with (
        serving((url, otlp), tmp_path / "ui") as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        assert http.get("/").status_code == 200
        listed = http.post("/ajax-api/2.0/mlflow/experiments/search", json={"max_results": 5})
        assert [one["name"] for one in listed.json()["experiments"]] == ["Default"]
        for answer in (
            http.post(f"{traces}/search", json={"locations": [where], "max_results": 100}),
            http.post(f"{traces}/metrics", json=count),
            http.get(f"{traces}/get", params={"trace_id": f"tr-{1:032x}"}),
        ):
            assert answer.status_code == 503
            assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
            assert f"{url}/api" in answer.json()["message"]
            assert "did not answer" in answer.json()["message"]
