"""Processes that are frozen or killed between two requests: what is flushed before that."""

from __future__ import annotations

import doctest
import json
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


KINDS = (
    "import asyncio, functools, json\n"
    + TRACED
    + """
def plain(name):
    work(name)

async def of_async(name):
    work(name)

def generator(name):
    yield name
    work(name)

async def async_generator(name):
    yield name
    work(name)

async def every(stream):
    return [item async for item in stream]

async def thrown_into(stream):
    await stream.asend(None)
    try:
        await stream.athrow(KeyError("given up"))
    except KeyError:
        work("thrown")

class Async:
    async def __call__(self, name, context):
        work(name)

def said(name, run):
    run(name)
    print(json.dumps([name, current().stats()["exported"]]), flush=True)

from mlflow_otel.instrumentation import current
after = mlflow_otel.flush_after
for name, run in {
    "plain": after(plain),
    "async": lambda name: asyncio.run(after(of_async)(name)),
    "partial": lambda name: asyncio.run(after(functools.partial(of_async, name))()),
    "generator": lambda name: list(after(generator)(name)),
    "traced generator": lambda name: list(after(mlflow.trace(generator))(name)),
    "async generator": lambda name: asyncio.run(every(after(async_generator)(name))),
    "returns a coroutine": lambda name: asyncio.run(after(lambda name: of_async(name))(name)),
    "returns a generator": lambda name: list(after(lambda name: generator(name))(name)),
    "object": lambda name: asyncio.run(after(Async())(name, None)),
    "another loop": lambda name: after(of_async)(name).send(None),
}.items():
    try:
        said(name, run)
    except StopIteration:
        print(json.dumps([name, current().stats()["exported"]]), flush=True)
asyncio.run(thrown_into(after(async_generator)("x")))
"""
)


def test_each_kind_of_handler_is_flushed_when_it_has_run(tmp_path):
    with Http("ok") as backend, script(KINDS, tmp_path, backend.environ) as app:
        assert app.wait() == 0, app.output
    said = [json.loads(line) for line in app.output.splitlines() if line.startswith("[")]
    assert len(said) == 10, app.output
    before = 0
    for name, exported in said:
        assert exported > before, name
        before = exported


ONE_FUNCTION = (
    TRACED
    + """
@mlflow_otel.flush_after
async def app(scope, receive, send):
    assert scope["type"] in {"lifespan", "http"}
    if scope["type"] == "lifespan":
        raise NotImplementedError
    work("asked")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in range(3):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    work("streamed")
    await send({"type": "http.response.body", "body": b"x"})
"""
)


def test_an_app_that_is_one_function_is_an_app_and_no_factory_to_uvicorn(tmp_path):
    (tmp_path / "web.py").write_text(ONE_FUNCTION)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "web:app"]
    with Http("ok") as backend, running(command, tmp_path, backend.environ) as app:
        get(app, f"http://127.0.0.1:{port}/a")
        get(app, f"http://127.0.0.1:{port}/b")
        arrived = sorted(backend.names)
        assert app.end(signal.SIGKILL) == -signal.SIGKILL
    assert set(both("asked", "streamed")) <= set(arrived), app.output
    assert "factory" not in app.output


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
