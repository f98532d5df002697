"""What a user looks for, in the real servers, by their own APIs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from mlflow_otel import MlflowSpanExporter, MlflowSpanProcessor, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.receiver.server import Receiver
from tests.backends import servers
from tests.test_chat_example import feedback, serve

pytestmark = [pytest.mark.backend, pytest.mark.timeout(400)]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Jaeger, an MLflow server, and a Collector that sends to both; what else it gets is kept."""
    folder = tmp_path_factory.mktemp("servers")
    with (
        servers.jaeger(folder) as (jaeger, jaeger_grpc, _),
        servers.mlflow_server(folder) as mlflow,
        Receiver() as records,
    ):
        create = f"{mlflow}/api/2.0/mlflow/experiments/create"
        ids = [
            httpx.post(create, json={"name": name}).json()["experiment_id"]
            for name in ("native", "through-otlp")
        ]
        with servers.collector(folder, jaeger_grpc, mlflow, ids[1], records.grpc_port) as (
            grpc,
            http,
        ):
            yield {
                "jaeger": jaeger,
                "jaeger_otlp": f"http://127.0.0.1:{jaeger_grpc}",
                "mlflow": mlflow,
                "native": ids[0],
                "through": ids[1],
                "grpc": f"http://127.0.0.1:{grpc}",
                "http": f"http://127.0.0.1:{http}",
                "records": records.store,
            }


def jaeger_search(url, service, number, **tags):
    """Search as Jaeger's own UI does; wait until ``number`` traces are found."""
    parameters = {"service": service, "tags": json.dumps(tags), "limit": 100, "lookback": "1h"}
    found = []
    for _ in range(100):
        found = httpx.get(f"{url}/api/traces", params=parameters).json().get("data") or []
        if len(found) >= number:
            break
        time.sleep(0.2)
    return found


@pytest.mark.parametrize(
    ("way", "protocol"), [("jaeger_otlp", "grpc"), ("grpc", "grpc"), ("http", "http/protobuf")]
)
def test_the_examples_traces_are_found_in_jaeger_by_session(stack, tmp_path, way, protocol):
    service = f"chat-{way.replace('_', '-')}"
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack[way],
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": service,
    }
    serve(environ, ["/chat", "/v2/chat"] * 3, tmp_path)
    by_session = jaeger_search(stack["jaeger"], service, 3, **{"session.id": "s-1"})
    assert len(by_session) == 3
    for trace in by_session:
        assert len(trace["spans"]) == 3
        for span in trace["spans"]:
            tags = {tag["key"]: tag["value"] for tag in span["tags"]}
            assert (tags["session.id"], tags["user.id"]) == ("s-1", "u-1")
            assert tags["mlflow.trace.client_request_id"].startswith("req-")
    (by_request,) = jaeger_search(
        stack["jaeger"], service, 1, **{"mlflow.trace.client_request_id": "req-4"}
    )
    names = {span["operationName"] for span in by_request["spans"]}
    assert names == {"chat", "invoke_agent reply", "chat gpt-4o-mini"}
    for tag, value in {
        "user.id": "u-0",
        "deployment.environment.name": "production",
        "mlflow.traceTag.region": "eu-west-1",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": "12",
    }.items():
        assert jaeger_search(stack["jaeger"], service, 1, **{tag: value}), tag


def run_agent(how, **environ):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    # With mlflow-tracing alone and only an experiment's ID set, MLflow 3.17 silently makes no spans.
    python = str(servers.MLFLOW_PYTHON) if how == "native" else sys.executable
    command = [python, str(HERE / "agent_app.py"), how]
    subprocess.run(
        command,
        env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **environ},
        check=True,
        timeout=120,
    )


def stored(stack, experiment):
    """What the server shows of an experiment's traces, read by MLflow's own client."""
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": stack["mlflow"],
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(servers.MLFLOW_PYTHON), str(HERE / "read_traces.py"), stack[experiment]]
    for _ in range(20):
        done = subprocess.run(
            command, env=environ, check=True, capture_output=True, text=True, timeout=120
        )
        traces = [
            t
            for t in json.loads(done.stdout.splitlines()[-1])
            if t["session"] in ("s-1", "s-2") and t["tags"].get("region") is None
        ]
        traces = [t for t in traces if any(s["name"] in ("ask", "fail") for s in t["spans"])]
        if len(traces) == 2:
            return traces
        time.sleep(1)
    raise AssertionError(done.stdout)


def test_through_the_collector_into_mlflow_is_as_if_logged_there_directly(stack):
    run_agent("native", MLFLOW_TRACKING_URI=stack["mlflow"], MLFLOW_EXPERIMENT_ID=stack["native"])
    run_agent(
        "ours", OTEL_EXPORTER_OTLP_ENDPOINT=stack["grpc"], MLFLOW_OTEL_CONVENTIONS="genai,mlflow"
    )
    native, ours = stored(stack, "native"), stored(stack, "through")
    for direct, through in zip(native, ours, strict=True):
        # MLflow's server makes tags of the resource's attributes, which MLflow's own export has not.
        through["tags"] = {
            k: v for k, v in through["tags"].items() if not k.startswith(("service.", "telemetry."))
        }
        for key in direct:
            if key == "request_preview":
                continue  # MLflow 3.17's server derives none for traces that come over OTLP
            assert through[key] == direct[key], key


def test_dual_export_reaches_the_mlflow_server_and_jaeger(stack):
    create = f"{stack['mlflow']}/api/2.0/mlflow/experiments/create"
    experiment = httpx.post(create, json={"name": "dual"}).json()["experiment_id"]
    run_agent(
        "ours",
        MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT="true",
        MLFLOW_TRACKING_URI=stack["mlflow"],
        MLFLOW_EXPERIMENT_NAME="dual",
        OTEL_EXPORTER_OTLP_ENDPOINT=stack["jaeger_otlp"],
        OTEL_SERVICE_NAME="dual",
    )
    traces = stored({**stack, "dual": experiment}, "dual")
    assert [t["session"] for t in traces] == ["s-1", "s-2"]
    found = jaeger_search(stack["jaeger"], "dual", 2, **{"user.id": "u-1"})
    assert sorted(len(trace["spans"]) for trace in found) == [1, 6]


def test_doctor_finds_the_collector_well(stack):
    command = [sys.executable, "-m", "mlflow_otel", "doctor"]
    done = subprocess.run(
        command,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": stack["grpc"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "traces" in done.stdout


def app_with(stack, way, protocol, **environ):
    """An app's provider with the pair on it, and its counters."""
    accounting = Accounting()
    settings = Settings.from_environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack[way],
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            **environ,
        },
        accounting,
    )
    exporter = MlflowSpanExporter(settings, accounting=accounting)
    processor = MlflowSpanProcessor(exporter, settings, accounting=accounting)
    resource = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME", "delivery")})
    provider = TracerProvider(shutdown_on_exit=False, resource=resource)
    provider.add_span_processor(processor)
    return provider, processor, accounting


def one_trace(provider, children, size):
    text = os.urandom(size // 2).hex()
    with provider.get_tracer("app").start_as_current_span("root") as root:
        for number in range(children):
            with provider.get_tracer("app").start_as_current_span(f"child-{number}") as child:
                child.set_attribute("text", text)
    return f"{root.get_span_context().trace_id:032x}"


def spans_in_jaeger(stack, trace_id, number):
    found = []
    for _ in range(50):
        answer = httpx.get(f"{stack['jaeger']}/api/traces/{trace_id}").json()
        found = answer["data"][0]["spans"] if answer.get("data") else []
        if len(found) >= number:
            break
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize(
    ("way", "protocol"), [("jaeger_otlp", "grpc"), ("grpc", "grpc"), ("http", "http/protobuf")]
)
def test_real_servers_take_what_is_compressed_here_and_requests_of_megabytes(
    stack, way, protocol, compression
):
    provider, processor, accounting = app_with(
        stack, way, protocol, OTEL_EXPORTER_OTLP_COMPRESSION=compression
    )
    trace_id = one_trace(provider, 799, 12_000)  # 10 MB: requests far beyond HTTP/2's windows
    assert processor.force_flush(60_000)
    provider.shutdown()
    assert accounting.snapshot() == {"exported": 800}
    assert len(spans_in_jaeger(stack, trace_id, 800)) == 800


def test_what_a_real_collector_finds_too_large_is_learned_from(stack):
    provider, processor, accounting = app_with(
        stack,
        "grpc",
        "grpc",
        MLFLOW_OTEL_MAX_REQUEST_BYTES="16000000",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2000",
    )
    trace_id = one_trace(provider, 400, 20_000)
    assert processor.force_flush(60_000)
    provider.shutdown()
    counted = accounting.snapshot()
    assert counted["exported"] == 401
    assert counted["request_too_large"] >= 1
    assert len(spans_in_jaeger(stack, trace_id, 401)) == 401


def test_what_was_spooled_while_jaeger_was_down_is_found_in_it(tmp_path):
    (port,) = servers.free_ports(1)
    environ = {"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path / "spool")}
    down = {"down": f"http://127.0.0.1:{port}"}
    provider, processor, accounting = app_with(down, "down", "grpc", **environ)
    trace_id = one_trace(provider, 20, 1000)
    assert processor.force_flush(2000) is False
    provider.shutdown()
    assert accounting.snapshot()["spool.written"] == 21
    with servers.jaeger(tmp_path, port) as (jaeger, _, _):
        provider, processor, accounting = app_with(down, "down", "grpc", **environ)
        assert len(spans_in_jaeger({"jaeger": jaeger}, trace_id, 21)) == 21
        provider.shutdown()
    assert accounting.snapshot()["recovered.exported"] == 21


def tags_of(span):
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def wait_until(find, seconds=20):
    until = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.2)
    return found


@pytest.mark.parametrize(("way", "protocol"), [("grpc", "grpc"), ("http", "http/protobuf")])
def test_feedback_by_request_id_is_an_evaluation_in_jaeger_and_a_log_record_and_metrics_at_the_collector(
    stack, tmp_path, way, protocol
):
    service = f"feedback-{way}"
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack[way],
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": service,
    }

    def give_feedback(base):
        answer = feedback(base, "req-1", is_correct=False, comment="It is Paris.")
        assert answer.status_code == 200, answer.text

    serve(environ, ["/chat"] * 2, tmp_path, give_feedback)
    (trace,) = jaeger_search(
        stack["jaeger"], service, 1, **{"gen_ai.evaluation.name": "response_is_correct"}
    )
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert set(spans) == {
        "chat",
        "invoke_agent reply",
        "chat gpt-4o-mini",
        "evaluation response_is_correct",
    }
    evaluation, root = spans["evaluation response_is_correct"], spans["chat"]
    # As its child; Jaeger makes one FOLLOWS_FROM of a parent that is linked to, too.
    assert {r["spanID"] for r in evaluation["references"]} == {root["spanID"]}
    tags = tags_of(evaluation)
    assert tags["gen_ai.evaluation.score.label"] == "false"
    assert tags["gen_ai.evaluation.explanation"] == "It is Paris."
    assert tags["mlflow.trace.client_request_id"] == "req-1"

    def of_ours(records):
        return [r for r in records if r["resource"].get("service.name") == service]

    (event,) = wait_until(lambda: of_ours(stack["records"].logs()))
    assert event["event_name"] == "gen_ai.evaluation.result"
    assert event["trace_id"] == trace["traceID"]
    assert event["span_id"] == root["spanID"]
    expected = {"mlflow.assessment.count", "mlflow.assessment.score", "mlflow.trace.count"}
    assert wait_until(lambda: expected <= {p["name"] for p in of_ours(stack["records"].metrics())})


FEEDBACK = """
import json, sys, mlflow_otel, mlflow_otel.instrumentation
handle = {instrument}
made = mlflow_otel.log_feedback(client_request_id=sys.argv[1], name="later", value=4)
assert handle.force_flush(10000)
print(json.dumps([made.trace_id]))
"""


@pytest.mark.parametrize(
    "instrument", ["mlflow_otel.instrument()", "mlflow_otel.instrumentation.current()"]
)
@pytest.mark.parametrize("query", ["", "?service=looked-up"])
def test_another_process_finds_the_trace_in_jaeger_which_takes_no_logs_and_nobody_is_warned(
    stack, tmp_path, instrument, query
):
    service, request = "looked-up", f"req-{os.urandom(4).hex()}"
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": stack["jaeger_otlp"], "OTEL_SERVICE_NAME": service}
    run_chat(request, environ)
    done = subprocess.run(
        [sys.executable, "-c", FEEDBACK.format(instrument=instrument), request],
        env={
            **os.environ,
            **environ,
            "MLFLOW_OTEL_TRACE_LOOKUP": f"jaeger+{stack['jaeger']}{query}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "takes no" not in done.stderr, (
        "one line at INFO, which an app that asks for none does not see"
    )
    trace_id = json.loads(done.stdout)[0].removeprefix("tr-")
    spans = {s["operationName"]: s for s in spans_in_jaeger(stack, trace_id, 2)}
    assert set(spans) == {"chat", "evaluation later"}
    assert spans["evaluation later"]["references"][0]["spanID"] == spans["chat"]["spanID"]
    assert tags_of(spans["evaluation later"])["session.id"] == "s-7"


CHAT = """
import sys, mlflow, mlflow_otel
handle = mlflow_otel.instrument()
with mlflow.start_span("chat"):
    mlflow.update_current_trace(client_request_id=sys.argv[1], session_id="s-7")
assert handle.force_flush(10000)
"""


def run_chat(request, environ):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    subprocess.run(
        [sys.executable, "-c", CHAT, request],
        env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **environ},
        check=True,
        timeout=60,
    )


def test_a_look_up_that_fails_says_whom_it_asked(stack, tmp_path):
    (port,) = servers.free_ports(1)
    where = f"jaeger+http://user:secret@127.0.0.1:{port}"
    done = subprocess.run(
        [sys.executable, "-c", FEEDBACK.format(instrument="mlflow_otel.instrument()"), "nobody"],
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack["jaeger_otlp"],
            "MLFLOW_OTEL_TRACE_LOOKUP": where,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert "TraceNotFoundError" in done.stderr
    assert f"http://127.0.0.1:{port}/api/services did not answer" in done.stderr
    assert "secret" not in done.stderr


ASSESS = HERE / "assess_app.py"


def test_in_dual_export_the_mlflow_server_and_otlp_both_get_each_assessment_once(stack, tmp_path):
    """By MLflow's calls and by ``mlflow.genai.evaluate``'s scorers, on the full package."""
    create = f"{stack['mlflow']}/api/2.0/mlflow/experiments/create"
    httpx.post(create, json={"name": "assessed"})
    service = "assessed"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    done = subprocess.run(
        [str(servers.MLFLOW_PYTHON), str(ASSESS)],
        env={
            **kept,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
            "MLFLOW_TRACKING_URI": stack["mlflow"],
            "MLFLOW_EXPERIMENT_NAME": "assessed",
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack["grpc"],
            "OTEL_SERVICE_NAME": service,
            "MLFLOW_OTEL_TRACE_LOOKUP": "mlflow",
            "PYTHONPATH": str(servers.ROOT),
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    on_server = json.loads(done.stdout.splitlines()[-1])

    def arrived():
        events = [
            (f"tr-{e['trace_id']}", e["attributes"]["gen_ai.evaluation.name"])
            for e in stack["records"].logs()
            if e["resource"].get("service.name") == service
        ]
        return events if len(events) >= len(on_server) else None

    assert sorted(wait_until(arrived)) == sorted(map(tuple, on_server))
    names = {name for _, name in on_server}
    assert names == {"inside", "after", "wanted", "by_request", "is_short", "expected_response"}
