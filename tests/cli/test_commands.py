"""The command line, as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlflow_otel.cli import doctor, env
from mlflow_otel.cli.doctor import probe
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.settings import OtlpSettings, Settings


def run(*arguments, **environ):
    command = [sys.executable, "-m", "mlflow_otel.cli", *arguments]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    return subprocess.run(
        command, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_demo_shows_what_arrived():
    done = run("demo")
    assert done.returncode == 0, done.stderr
    for shown in ("session s-alice-1", "user bob", "request req-3", "tags app_version=1.2.0 environment=demo",
                  "execute_tool track_order", "ERROR TimeoutError", "tokens", "evaluation helpful", "state ERROR",
                  "29 spans of 5 traces arrived"):  # fmt: skip
        assert shown in done.stdout
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


def test_env_prints_every_variable():
    done = run("env", MLFLOW_OTEL_CONVENTIONS="genai,openinference")
    assert done.returncode == 0
    assert "genai,openinference" in done.stdout


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
    assert "jaeger+http://…@host:16686" in said
    assert "secret" not in said
    assert Settings.from_environment().assessment_signals == frozenset()


def test_doctor_tells_what_waits_in_the_spool(tmp_path):
    settings = Settings(spool_dir=str(tmp_path))
    Spool(tmp_path / "traces", 10**6, 60).put(Request(b"x", 7))
    (found,) = doctor._spool(settings)
    assert found.level == "ok"
    assert "7 spans" in found.text
    (found,) = doctor._spool(Settings(spool_dir="/proc/nowhere"))
    assert found.level == "problem"
