"""``mlflow-otel ui``: what it says when it cannot start, and the tracking URI it makes."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from mlflow_otel.cli.ui import store_uri


@pytest.mark.parametrize(
    ("backend", "otlp", "uri"),
    [
        ("jaeger+http://host:16686", None, "otel+jaeger://host:16686"),
        (
            "jaeger+http://host:16686/",
            "http://c:4317",
            "otel+jaeger://host:16686?otlp=http%3A%2F%2Fc%3A4317",
        ),
        ("tempo+https://host/x", None, "otel+tempo+https://host/x"),
        (
            "jaeger+http://h:1?service=a",
            "http://c",
            "otel+jaeger://h:1?service=a&otlp=http%3A%2F%2Fc",
        ),
    ],
)
def test_a_backends_url_is_a_tracking_uri_of_mlflows(backend, otlp, uri):
    assert store_uri(backend, otlp) == uri


def run(*arguments, before="pass"):
    code = f"import sys; {before}; from mlflow_otel.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "ui", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_busy_port_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--jaeger", "http://127.0.0.1:9", "--port", port, "--folder", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr


def test_a_backend_that_does_not_answer_is_said_at_the_start(tmp_path):
    ended = run(
        "--jaeger",
        "http://127.0.0.1:9",
        "--port",
        "0",
        "--folder",
        str(tmp_path),
        before="sys.modules['mlflow.server'] = None",
    )
    said = [line for line in ended.stderr.splitlines() if "127.0.0.1:9" in line]
    assert len(said) == 1
    assert "did not answer" in said[0]
    assert "ask again" in said[0]


def test_without_the_full_package_it_says_what_to_install(tmp_path):
    ended = run(
        "--jaeger",
        "http://127.0.0.1:9",
        "--port",
        "0",
        "--folder",
        str(tmp_path),
        before="sys.modules['mlflow.server'] = None",
    )
    assert ended.returncode == 1
    assert "pip install 'mlflow-otel[mlflow]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--jaeger", "http://a", "--tempo", "http://b"), "--jaeger URL or --tempo URL"),
        (("--otlp", "http://a"), "--otlp needs a backend"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, said):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr


@pytest.mark.parametrize("option", ["--grpc-port", "--http-port"])
def test_a_busy_port_for_otlp_is_one_line(tmp_path, option):
    other = {"--grpc-port": "--http-port", "--http-port": "--grpc-port"}[option]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--port", "0", other, "0", option, port, "--folder", str(tmp_path))
    assert ended.returncode == 1
    (said,) = ended.stderr.splitlines()
    assert said.startswith(
        f"Cannot start: cannot listen on 127.0.0.1:{port}: another program listens there."
    )
    assert "--grpc-port" in said
    assert "Traceback" not in ended.stderr
