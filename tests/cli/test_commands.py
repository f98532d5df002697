"""The command line, as a person runs it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from mlflow_otel.cli import doctor, env
from mlflow_otel.cli.doctor import probe
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.settings import VARIABLES, OtlpSettings, Settings


def run(*arguments, **environ):
    command = [sys.executable, "-m", "mlflow_otel", *arguments]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    return subprocess.run(
        command, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_demo_shows_what_arrived():
    done = run("demo")
    assert done.returncode == 0, done.stderr
    for shown in (
        "session s-alice-1",
        "user bob",
        "request req-3",
        "tags app_version=1.2.0 environment=demo",
        "execute_tool track_order",
        "ERROR TimeoutError",
        "tokens",
        "state ERROR",
        "✗ helpful: false  HUMAN user",
        "• relevance: 0.9  LLM_JUDGE judge-1",
        "user: Where is order 17?",
        "29 spans of 5 traces arrived",
        "Next:",
    ):
        assert shown in done.stdout
    assert done.stdout.count("The model's provider closed the connection") == 1, (
        "an error is told once"
    )
    assert "\x1b" not in done.stdout, "plain when piped"
    assert done.stderr == ""


def test_the_demo_sends_to_a_backend_instead(receiver):
    done = run(
        "demo",
        "--rounds",
        "2",
        "--pause",
        "0",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    assert done.returncode == 0, done.stderr
    assert len(receiver.store.spans()) == 58
    assert "10 traces, 58 spans sent" in done.stdout
    named = {"gen_ai.client.operation.time_to_first_chunk", "mlflow.assessment.score"}
    assert named <= {point["name"] for point in receiver.store.metrics()}


def test_env_shows_what_is_set_first_and_everything_on_request():
    done = run(
        "env", MLFLOW_OTEL_CONVENTIONS="genai,openinference", MLFLOW_TRACE_SAMPLING_RATIO="2"
    )
    assert done.returncode == 0
    assert "MLFLOW_OTEL_CONVENTIONS=genai,openinference" in done.stdout
    assert "MLFLOW_TRACE_SAMPLING_RATIO=1  (default: the value is bad)" in done.stdout
    assert "MLFLOW_OTEL_SPOOL_DIR" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    whole = run("env", "--all").stdout
    assert {v.name for v in VARIABLES} <= set(re.findall(r"^  (\w+)=", whole, re.MULTILINE))


def test_env_as_json_has_value_default_and_what_is_accepted_of_each_variable():
    done = run("env", "--json", OTEL_EXPORTER_OTLP_ENDPOINT="http://ann:secret@collector:4317")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["MLFLOW_TRACE_SAMPLING_RATIO"]["accepts"] == "a number from 0 to 1"
    assert (
        rows[
            "OTEL_EXPORTER_OTLP_PROTOCOL"
            if "OTEL_EXPORTER_OTLP_PROTOCOL" in rows
            else "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
        ]["default"]
        == "grpc"
    )
    traces = rows["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
    assert traces["value"] == "http://collector:4317"
    assert traces["source"] == "OTEL_EXPORTER_OTLP_ENDPOINT"
    assert "secret" not in done.stdout


@pytest.mark.parametrize("command", ["demo", "doctor", "env", "receive"])
def test_each_command_has_help_and_a_wrong_option_is_one_message(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: mlflow-otel {command}")
    done = run(command, "--no-such-option")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "No such option" in done.stderr


def test_a_port_that_is_none_is_refused_with_the_range():
    done = run("receive", "--grpc-port", "70000")
    assert done.returncode == 2
    assert "65535" in done.stderr


def test_bash_completes_the_commands():
    done = run(_MLFLOW_OTEL_COMPLETE="bash_complete", COMP_WORDS="mlflow-otel re", COMP_CWORD="1")
    assert "receive" in done.stdout


def test_a_closed_pipe_ends_a_command_without_a_traceback():
    command = f"{shlex.quote(sys.executable)} -m mlflow_otel env --all | head -n 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""


def test_doctor_sends_a_real_span_and_says_all_is_well(receiver):
    done = run("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint)
    assert done.returncode == 0, done.stdout
    assert [s["name"] for s in receiver.store.spans()] == ["mlflow-otel doctor"]


def test_doctor_tells_who_answers_and_what_it_takes(receiver):
    done = run(
        "doctor",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    assert "who answers: mlflow-otel receive; takes traces, logs, metrics" in done.stdout
    done = run("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint)
    assert "takes traces, logs, metrics" in done.stdout


def test_doctor_tells_a_backend_that_is_not_there():
    done = run("doctor", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "see that the backend listens on 127.0.0.1:9" in done.stdout


def test_doctor_tells_a_bad_value(receiver):
    done = run(
        "doctor",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint,
        MLFLOW_TRACE_SAMPLING_RATIO="2",
    )
    assert done.returncode == 1
    assert "MLFLOW_TRACE_SAMPLING_RATIO" in done.stdout


def test_doctor_tells_http_from_grpc(receiver):
    found = probe("traces", OtlpSettings(receiver.http_endpoint, "grpc"))
    assert found.level == "problem"
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in found.todo


def test_doctor_tells_a_missing_certificate():
    found = probe("traces", OtlpSettings("https://127.0.0.1:9", certificate="/nowhere.pem"))
    assert found.level == "problem"
    assert "/nowhere.pem" in found.text


def test_receive_on_a_taken_port_says_what_to_do(receiver):
    done = run("receive", "--grpc-port", "0", "--http-port", str(receiver.http_port))
    assert done.returncode == 1
    assert "--http-port 0" in done.stderr


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_doctors_probe_is_compressed_as_configured(receiver, protocol, compression):
    endpoint = (
        receiver.grpc_endpoint if protocol == "grpc" else f"{receiver.http_endpoint}/v1/traces"
    )
    found = probe("traces", OtlpSettings(endpoint, protocol, compression=compression))
    assert found.level == "ok", found


def test_doctor_asks_where_traces_are_looked_up(monkeypatch):
    monkeypatch.setenv("MLFLOW_OTEL_TRACE_LOOKUP", "tempo+http://ann:secret@127.0.0.1:9")
    (found,) = doctor._lookup(Settings.from_environment())
    assert found.level == "problem"
    assert "127.0.0.1:9" in found.text
    assert "secret" not in found.text
    assert list(doctor._lookup(Settings())) == []


def test_env_shows_no_credentials_of_a_url(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_OTEL_TRACE_LOOKUP", "jaeger+http://ann:secret@host:16686")
    monkeypatch.setenv("MLFLOW_OTEL_ASSESSMENT_SIGNALS", "none")
    assert env.env() == 0
    said = capsys.readouterr().out
    assert "jaeger+http://host:16686" in said
    assert "secret" not in said
    assert Settings.from_environment().assessment_signals == frozenset()


def test_doctor_tells_what_waits_in_the_spool(tmp_path):
    settings = Settings(spool_dir=str(tmp_path))
    other = OtlpSettings("https://ann:pw@other:4317/tok3n-1", headers=(("api-key", "s3cret"),))
    Spool(tmp_path / "traces", settings.traces, 10**6, 60).put(Request(b"x", 7))
    Spool(tmp_path / "traces", other, 10**6, 60).put(Request(b"x", 3))
    ours, theirs = doctor._spool(settings)
    assert ours.level == "ok"
    assert "7 spans wait in it for http://localhost:4317 (grpc), " in ours.text
    assert theirs.level == "note"
    assert "3 spans wait in it for https://other:4317/… (grpc) with api-key, " in theirs.text
    (found,) = doctor._spool(Settings(spool_dir="/proc/nowhere"))
    assert found.level == "problem"
