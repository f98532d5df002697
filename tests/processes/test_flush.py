"""Processes that are frozen or killed between two requests: what is flushed before that."""

from __future__ import annotations

import doctest
import signal
import sys

import pytest

import mlflow_otel.flushing
from tests.processes.apps import TRACED, Http, both, free_port, get, running, script

KILLED = "import os\n" + TRACED + "work('a')\nwork('b')\nos._exit(3)\n"


@pytest.mark.parametrize("shared", [False, True], ids=["isolated", "shared"])
def test_flush_at_each_local_root(tmp_path, shared):
    environ = {"MLFLOW_OTEL_FLUSH": "trace", "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": str(not shared)}
    with Http("ok") as backend, script(KILLED, tmp_path, {**backend.environ, **environ}) as app:
        assert app.wait() == 3, app.output
    assert sorted(backend.names) == both("a", "b")
    assert len(backend.times) == 2  # one request a trace


HANDLERS = (
    "import asyncio, os\n"
    + TRACED
    + """
from fastapi.testclient import TestClient
from fastapi import FastAPI

@mlflow_otel.flush_after
def handler(event, context=None):
    work(event)
    if event == "raises":
        raise KeyError(event)
    return event

@mlflow_otel.flush_after
async def async_handler(event):
    work(event)
    return event

app = FastAPI()
app.add_middleware(mlflow_otel.flush_after)

@app.get("/{name}")
def ask(name: str):
    work(name)
    return name

assert handler("a", context=1) == "a" and handler.__name__ == "handler"
try:
    handler("raises")
except KeyError:
    pass
assert asyncio.run(async_handler("b")) == "b"
assert TestClient(app).get("/c").json() == "c"
os._exit(3)
"""
)


def test_flush_after_handlers_and_apps(tmp_path):
    with Http("ok") as backend, script(HANDLERS, tmp_path, backend.environ) as app:
        assert app.wait() == 3, app.output
    assert sorted(backend.names) == both("a", "b", "c", "raises")


def test_a_flush_takes_no_longer_than_one_request_may(tmp_path):
    code = (
        "import json, os\n"
        + TRACED
        + "mlflow_otel.flush_after(work)('a')\nprint('went on')\nos._exit(3)\n"
    )
    with (
        Http("hang") as backend,
        script(code, tmp_path, {**backend.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}) as app,
    ):
        assert app.wait() == 3, (
            app.output
        )  # a flush of its own accord waits for 30 s, a retry for 500
    assert "went on" in app.output


SERVED = (
    TRACED
    + """
from fastapi import FastAPI
inner = FastAPI()

@inner.get("/{name}")
async def ask(name: str):
    work(name)
    return name

app = mlflow_otel.flush_after(inner)
"""
)


def test_a_whole_app_is_flushed_after_each_request(tmp_path):
    (tmp_path / "web.py").write_text(SERVED)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "web:app"]
    with Http("ok") as backend, running(command, tmp_path, backend.environ) as app:
        get(app, f"http://127.0.0.1:{port}/a")
        get(app, f"http://127.0.0.1:{port}/b")
        arrived = sorted(backend.names)
        assert app.end(signal.SIGKILL) == -signal.SIGKILL
    assert arrived[:2] == both("a")  # the second answer may be ahead of its flush


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(mlflow_otel.flushing).failed == 0
