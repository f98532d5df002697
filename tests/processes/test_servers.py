"""Servers as they are really run, ended as a supervisor ends them: every answered request's trace is there."""

from __future__ import annotations

import signal
import sys
import textwrap

import pytest

from tests.processes.apps import TRACED, Http, both, free_port, get, running

FASTAPI = (
    TRACED
    + """
from fastapi import FastAPI
app = FastAPI()

@app.get("/{name}")
def ask(name: str):
    work(name)
    return name
"""
)
UNTOUCHED = FASTAPI.replace("import mlflow, mlflow_otel\nmlflow_otel.instrument()", "import mlflow")
FLASK = (
    TRACED
    + """
from flask import Flask
app = Flask(__name__)

@app.get("/<name>")
def ask(name):
    work(name)
    return name
"""
)
DJANGO = (
    TRACED
    + """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=True, SECRET_KEY="s")

def ask(request, name):
    work(name)
    return HttpResponse(name)

urlpatterns = [path("<str:name>", ask)]
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
)
GUNICORN = (
    sys.executable,
    "-m",
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--workers",
    "2",
    "web:app",
)

SERVERS = {
    "uvicorn": (
        FASTAPI,
        (sys.executable, "-m", "uvicorn", "--port", "{port}", "web:app"),
        -signal.SIGTERM,
    ),
    "uvicorn --workers 2": (
        FASTAPI,
        (sys.executable, "-m", "uvicorn", "--workers", "2", "--port", "{port}", "web:app"),
        0,
    ),
    "opentelemetry-instrument uvicorn": (
        UNTOUCHED,
        (
            str(sys.prefix) + "/bin/opentelemetry-instrument",
            sys.executable,
            "-m",
            "uvicorn",
            "--port",
            "{port}",
            "web:app",
        ),
        -signal.SIGTERM,
    ),
    "flask run": (
        FLASK,
        (sys.executable, "-m", "flask", "--app", "web", "run", "--port", "{port}"),
        -signal.SIGTERM,
    ),
    "django runserver": (
        DJANGO,
        (sys.executable, "web.py", "runserver", "--noreload", "127.0.0.1:{port}"),
        -signal.SIGTERM,
    ),
    "gunicorn": (FLASK, (*GUNICORN, "--worker-class", "sync"), 0),
    "gunicorn gthread, preloaded": (
        FLASK,
        (*GUNICORN, "--worker-class", "gthread", "--threads", "2", "--preload"),
        0,
    ),
    "gunicorn uvicorn": (FASTAPI, (*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker"), 0),
    "gunicorn uvicorn, preloaded": (
        FASTAPI,
        (*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", "--preload"),
        0,
    ),
}


@pytest.mark.parametrize("server", SERVERS)
def test_what_a_server_answered_before_sigterm_leaves(tmp_path, server):
    code, command, status = SERVERS[server]
    (tmp_path / "web.py").write_text(textwrap.dedent(code))
    port = free_port()
    instrumented = {
        "OTEL_TRACES_EXPORTER": "mlflow_otlp",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
    }
    with (
        Http("ok") as backend,
        running(
            [part.format(port=port) for part in command],
            tmp_path,
            {**backend.environ, **instrumented},
        ) as app,
    ):
        asked = [get(app, f"http://127.0.0.1:{port}/r{number}").strip('"') for number in range(6)]
        assert app.end() == status, app.output
    assert asked == [f"r{number}" for number in range(6)]
    ours = sorted(name for name in backend.names if name.startswith("r"))
    assert ours == both(*asked), app.output
    if server.startswith(
        "opentelemetry-instrument"
    ):  # FastAPI's own spans, in a provider of the SDK's
        assert backend.names.count("GET /{name}") == 6
