"""Each file of collector-config/, in the real Collector, with our data through it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mlflow_otel.receiver.server import Receiver
from tests.backends import servers
from tests.backends.stack import eventually

pytestmark = [pytest.mark.backend, pytest.mark.timeout(200)]

APP = """
import json, sys, time
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()
for one in json.loads(sys.argv[1]):
    if one.get("feedback_on"):
        mlflow.log_feedback(trace_id=one["feedback_on"], name="correct", value=one["value"], rationale=one.get("why"))
        continue
    try:
        with mlflow.start_span(one["name"], span_type="CHAT_MODEL") as span:
            span.set_inputs({"messages": [{"role": "user", "content": one.get("says", "hello")}]})
            span.set_attribute("mlflow.llm.model", "gpt-4o-mini")
            if "tokens" in one:
                span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": one["tokens"], "output_tokens": 0, "total_tokens": one["tokens"]})
            if "cost" in one:
                span.set_attribute("mlflow.llm.cost", {"input_cost": one["cost"], "output_cost": 0.0, "total_cost": one["cost"]})
            mlflow.update_current_trace(session_id="s-1", tags={"case": one["name"]})
            time.sleep(one.get("takes", 0))
            if one.get("fails"):
                raise ValueError("it failed")
    except ValueError:
        pass
    print(json.dumps([one["name"], span.trace_id]), flush=True)
    if "value" in one:
        mlflow.log_feedback(trace_id=span.trace_id, name="correct", value=one["value"])
assert handle.force_flush(20000), handle.stats()
"""


def app(endpoint, *cases, **environ):
    """Run an app that makes a trace of each case; return their IDs by name."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-c", APP, json.dumps(cases)],
        env={
            **kept,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_SERVICE_NAME": "configured",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def address(receiver):
    return f"127.0.0.1:{receiver.grpc_port}"


def test_the_agent_passes_everything_on_also_what_came_while_the_gateway_was_down(tmp_path):
    (port,) = servers.free_ports(1)
    environ = {"GATEWAY_ENDPOINT": f"127.0.0.1:{port}"}
    with servers.configured(tmp_path, "agent.yaml", **environ) as endpoint:
        app(endpoint, {"name": "kept", "value": True})
        time.sleep(2)  # longer than its batches wait: it is in the queue on the disk
    with (
        Receiver(grpc_port=port) as gateway,
        servers.configured(tmp_path, "agent.yaml", **environ) as endpoint,
    ):
        store = gateway.store
        eventually(lambda: len(store.spans()) == 2 and store.logs() and store.metrics())
        app(endpoint, {"name": "new"})
        eventually(
            lambda: any(s["attributes"].get("mlflow.trace.name") == "new" for s in store.spans())
        )


def test_the_gateway_sends_each_backend_what_it_takes(tmp_path):
    (scraped,) = servers.free_ports(1)
    with (
        servers.jaeger(tmp_path) as (jaeger, jaeger_grpc, _),
        Receiver() as tempo,
        Receiver() as mlflow,
        Receiver() as logs,
        servers.configured(
            tmp_path,
            "gateway.yaml",
            JAEGER_ENDPOINT=f"127.0.0.1:{jaeger_grpc}",
            TEMPO_ENDPOINT=address(tempo),
            MLFLOW_ENDPOINT=mlflow.http_endpoint,
            MLFLOW_EXPERIMENT_ID="42",
            LOGS_ENDPOINT=logs.http_endpoint,
            PROMETHEUS_ENDPOINT=f"127.0.0.1:{scraped}",
            METRICS_INTERVAL="1s",
        ) as endpoint,
    ):
        app(endpoint, {"name": "good", "value": True}, {"name": "bad", "fails": True})
        spans = eventually(lambda: len(tempo.store.spans()) == 3 and tempo.store.spans())
        assert {s["name"] for s in spans} == {"chat gpt-4o-mini", "evaluation correct"}
        found = eventually(
            lambda: httpx.get(
                f"{jaeger}/api/traces", params={"service": "configured", "lookback": "1h"}
            ).json()["data"]
        )
        assert sum(len(trace["spans"]) for trace in found) == 3
        of_mlflow = eventually(lambda: len(mlflow.store.spans()) == 2 and mlflow.store.spans())
        assert {s["name"] for s in of_mlflow} == {"chat gpt-4o-mini"}  # no evaluations
        assert mlflow.headers[-1]["x-mlflow-experiment-id"] == "42"
        (event,) = eventually(logs.store.logs)
        assert event["event_name"] == "gen_ai.evaluation.result"

        def metrics():
            text = httpx.get(f"http://127.0.0.1:{scraped}/metrics").text
            wanted = ("mlflow_span_calls_total{", "mlflow_assessment_count", "mlflow_span_duration")
            return text if all(name in text for name in wanted) else None

        text = eventually(metrics)
        calls = [line for line in text.splitlines() if line.startswith("mlflow_span_calls_total{")]
        assert len(calls) == 2
        (failed,) = [line for line in calls if "STATUS_CODE_ERROR" in line]
        for label in (
            'gen_ai_request_model="gpt-4o-mini"',
            'gen_ai_operation_name="chat"',
            'mlflow_spanType="CHAT_MODEL"',
            'error_type="ValueError"',
        ):
            assert label in failed
        assert "s-1" not in text  # no sessions in labels


SAMPLED = (
    {"name": "error", "fails": True},
    {"name": "slow", "takes": 1.2},
    {"name": "many tokens", "tokens": 20_000},
    {"name": "expensive", "cost": 0.5},
    {"name": "disliked", "value": False},
)


@contextlib.contextmanager
def balanced(folder, sampler):
    """Yield the endpoint of a first tier that sends each trace to one of two samplers."""
    ports = servers.free_ports(2)
    first, second = ({**sampler, "OTLP_GRPC": f"127.0.0.1:{port}"} for port in ports)
    with (
        servers.configured(folder, "tail-sampling.yaml", **first),
        servers.configured(folder, "tail-sampling.yaml", **second),
        servers.configured(
            folder,
            "tail-sampling-balance.yaml",
            OUT_ENDPOINT=sampler["OUT_ENDPOINT"],
            SAMPLERS=json.dumps([f"127.0.0.1:{port}" for port in ports]),
        ) as endpoint,
    ):
        yield endpoint


@contextlib.contextmanager
def through_kafka(folder, sampler):
    """Yield the endpoint of a first tier that puts each trace into one partition, read by two samplers."""
    files = "tail-sampling.yaml", "kafka-consume.yaml"
    with servers.kafka(folder) as broker:
        common = {
            "program": servers.KAFKA_COLLECTOR,
            "KAFKA_BROKERS": f"[{broker}]",
            "OUT_ENDPOINT": sampler["OUT_ENDPOINT"],
        }
        with (
            servers.configured(folder, "kafka.yaml", **common) as endpoint,
            servers.configured(folder, *files, **{**sampler, **common}),
            servers.configured(folder, *files, **{**sampler, **common}),
        ):
            app(endpoint, {"name": "first", "fails": True})  # makes the topics, and has them joined
            yield endpoint


@pytest.mark.parametrize("tiers", [balanced, through_kafka])
def test_tail_sampling_keeps_what_is_worth_it_and_late_feedback_follows(tmp_path, tiers):
    settings = {"DECISION_WAIT": "4s", "SLOW_MS": "1000", "KEEP_PERCENT": "0", "MEMORY_MIB": "1024"}
    with Receiver() as kept:
        settings["OUT_ENDPOINT"] = address(kept)
        with tiers(tmp_path, settings) as endpoint:
            boring = [{"name": f"boring {n}"} for n in range(5)]
            liked = {"name": "liked", "value": True}
            if tiers is through_kafka:
                eventually(lambda: kept.store.spans(), 60)  # its group has formed
            ids = app(endpoint, *SAMPLED, *boring, liked)

            def cases():
                return {s["attributes"].get("mlflow.trace.name") for s in kept.store.spans()} - {
                    None
                }

            wanted = {case["name"] for case in SAMPLED} | ({"first"} & cases())
            eventually(lambda: cases() >= wanted)
            time.sleep(2)
            assert cases() == wanted
            before = len(kept.store.spans())
            app(
                endpoint,
                {"feedback_on": ids["error"], "value": 1},
                {"feedback_on": ids["boring 0"], "value": 1},
            )
            late = eventually(lambda: kept.store.spans()[before:])
            time.sleep(6)  # longer than a decision takes
            late = kept.store.spans()[before:]
            assert [f"tr-{s['trace_id']}" for s in late] == [ids["error"]]
            # Events are never sampled: quality is counted over all.
            assert len(kept.store.logs()) == 4
            # Metrics go past the samplers, of all traces.
            counted = [
                m
                for m in kept.store.metrics()
                if m["name"] == "mlflow.trace.count"
                and m["attributes"]["mlflow.trace.name"] != "first"
            ]
            assert len({m["attributes"]["mlflow.trace.name"] for m in counted}) == 11


PERSONAL = "I am ann@example.com, my card is 4111111111111111, my key sk-abcdefghijklmnopqrst."


@pytest.mark.parametrize("drop", ["false", "true"])
def test_redaction_masks_personal_data_or_drops_content(tmp_path, drop):
    with (
        Receiver() as gateway,
        servers.configured(
            tmp_path,
            "agent.yaml",
            "redaction.yaml",
            GATEWAY_ENDPOINT=address(gateway),
            DROP_CONTENT=drop,
        ) as endpoint,
    ):
        ids = app(endpoint, {"name": "secret", "says": PERSONAL})
        app(endpoint, {"feedback_on": ids["secret"], "value": True, "why": PERSONAL})
        eventually(lambda: len(gateway.store.spans()) == 2 and gateway.store.logs())
        everything = json.dumps([gateway.store.spans(), gateway.store.logs()])
        for secret in ("ann@example.com", "4111111111111111", "sk-abcdefghijklmnopqrst"):
            assert secret not in everything
        chat = next(s for s in gateway.store.spans() if s["name"].startswith("chat"))["attributes"]
        assert ("gen_ai.input.messages" in chat) is (drop == "false")
        assert chat["session.id"] == "s-1"
        assert ("gen_ai.input.messages" in chat.get("redaction.masked.keys", "")) is (
            drop == "false"
        )
        (event,) = gateway.store.logs()
        assert event["attributes"]["gen_ai.evaluation.score.label"] == "true"
        assert ("gen_ai.evaluation.explanation" in event["attributes"]) is (drop == "false")


def natively(endpoint, how, tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    subprocess.run(
        [str(servers.MLFLOW_PYTHON), str(Path(__file__).parent / "native_app.py"), how],
        env={
            **kept,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "PYTHONPATH": str(servers.ROOT),
            **({} if how == "ours" else {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}),
        },
        check=True,
        timeout=120,
        cwd=tmp_path,
    )


def as_values(attributes):
    """Attributes with JSON read: MLflow writes it with spaces, ours without."""
    found = {}
    for key, value in attributes.items():
        found[key] = value
        if isinstance(value, str) and value[:1] in "[{":
            found[key] = json.loads(value)
    return found


MISSING = {
    "session.id",
    "gen_ai.conversation.id",
    "user.id",
    "mlflow.trace.client_request_id",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.request.temperature",
    "gen_ai.response.finish_reasons",
    "gen_ai.retrieval.documents",
    "deployment.environment.name",
    "mlflow.chat.tokenUsage.total_tokens",
}
INSTEAD = {"mlflow.spanInputs", "mlflow.spanOutputs"}


def test_mlflows_raw_otlp_becomes_what_ours_is_but_for_the_differences_that_the_readme_lists(
    tmp_path,
):
    with Receiver() as direct:
        natively(direct.grpc_endpoint, "ours", tmp_path)
        ours = {s["name"]: s for s in direct.store.spans()}
    with (
        Receiver() as gateway,
        servers.configured(
            tmp_path, "mlflow-native.yaml", GATEWAY_ENDPOINT=address(gateway)
        ) as endpoint,
    ):
        natively(endpoint, "native", tmp_path)
        native = {
            s["name"]: s
            for s in eventually(lambda: len(gateway.store.spans()) >= 5 and gateway.store.spans())
        }
    assert set(ours) - set(native) == {
        "invoke_agent agent"
    }  # the root: MLflow loses it when there are tags
    assert set(native) == {
        "chat gpt-4o-mini",
        "search",
        "execute_tool weather",
        "bad",
        "invoke_workflow plan",
    }
    missing, more = set(), set()
    for name, found in native.items():
        wanted, got = as_values(ours[name]["attributes"]), as_values(found["attributes"])
        assert (found["kind"], found["status"]) == (ours[name]["kind"], ours[name]["status"])
        missing |= set(wanted) - set(got)
        more |= set(got) - set(wanted)
        for key in set(wanted) & set(got) - {"mlflow.trace.id"}:
            assert got[key] == wanted[key], (name, key)
        assert got["mlflow.trace.id"] == f"tr-{found['trace_id']}"
    assert missing == MISSING
    assert more == INSTEAD
    listed = (servers.ROOT / "collector-config/README.md").read_text()
    for key in MISSING | INSTEAD:
        assert f"`{key}`" in listed, key
