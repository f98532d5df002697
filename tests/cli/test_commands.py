"""The command line, as a person runs it."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from mlflow_otel.cli import env, main
from mlflow_otel.settings import VARIABLES, Settings


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
        "✗ all_steps_ok: false  CODE all_steps_ok",
        "tone: polite  LLM_JUDGE judge-2",
        "38 spans of 5 traces arrived",
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
    assert len(receiver.store.spans()) == 76
    assert "10 traces, 76 spans sent" in done.stdout
    named = {"gen_ai.client.operation.time_to_first_chunk", "mlflow.assessment.score"}
    assert named <= {point["name"] for point in receiver.store.metrics()}


def test_env_shows_what_is_set_first_and_everything_on_request():
    done = run(
        "env", MLFLOW_OTEL_CONVENTIONS="genai,openinference", MLFLOW_TRACE_SAMPLING_RATIO="2"
    )
    assert done.returncode == 0
    assert "MLFLOW_OTEL_CONVENTIONS=genai,openinference" in done.stdout
    flat = " ".join(done.stdout.split())
    assert "MLFLOW_TRACE_SAMPLING_RATIO=1 (MLFLOW_TRACE_SAMPLING_RATIO is not valid" in flat
    assert "set it to a number from 0 to 1" in flat
    assert done.stderr == ""
    assert "MLFLOW_OTEL_SPOOL_DIR" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    whole = run("env", "--all").stdout
    assert max(map(len, whole.splitlines())) <= 80
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


def test_receive_on_a_taken_port_says_what_to_do(receiver):
    done = run("receive", "--grpc-port", "0", "--http-port", str(receiver.http_port))
    assert done.returncode == 1
    assert "--http-port 0" in done.stderr


def test_env_shows_no_credentials_of_a_url(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_OTEL_TRACE_LOOKUP", "jaeger+http://ann:secret@host:16686")
    monkeypatch.setenv("MLFLOW_OTEL_ASSESSMENT_SIGNALS", "none")
    assert env.env() == 0
    said = capsys.readouterr().out
    assert "jaeger+http://host:16686" in said
    assert "secret" not in said
    assert Settings.from_environment().assessment_signals == frozenset()


@pytest.mark.parametrize("name", sorted(main.commands))
def test_each_command_takes_the_options_that_it_declares_and_no_other(name):
    command = main.commands[name]
    declared = sorted(parameter.name for parameter in command.params)
    assert declared == sorted(inspect.signature(command.callback).parameters)
