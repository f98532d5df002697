"""Processes that do work for others: pools, task queues. What they traced leaves, however they end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes.apps import TRACED, Http, both, free_port, running, script

POOL = (
    TRACED
    + """
import multiprocessing, os, sys

def task(number):
    work(f"t{number}")
    return os.getpid()

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1] if len(sys.argv) > 1 else METHOD).Pool(2) as pool:
        assert os.getpid() not in pool.map(task, range(6), chunksize=1)
"""
)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_that_is_left_by_with(tmp_path, method):
    """``Pool.__exit__`` terminates its workers: SIGTERM."""
    code = POOL.replace("METHOD", repr(method))
    with Http("ok") as backend, script(code, tmp_path, backend.environ) as app:
        assert app.wait() == 0, app.output
    assert sorted(backend.names) == both(*(f"t{number}" for number in range(6)))


FUTURES = (
    TRACED
    + """
import concurrent.futures, multiprocessing

def task(number):
    work(f"t{number}")

if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(task, range(6)))
"""
)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_of_concurrent_futures(tmp_path, method):
    code = FUTURES.replace("METHOD", repr(method))
    with Http("ok") as backend, script(code, tmp_path, backend.environ) as app:
        assert app.wait() == 0, app.output
    assert sorted(backend.names) == both(*(f"t{number}" for number in range(6)))


CELERY = (
    TRACED
    + """
from celery import Celery
app = Celery("tasks", broker="filesystem://", broker_transport_options={
    "data_folder_in": "FOLDER", "data_folder_out": "FOLDER", "control_folder": "FOLDER"})

@app.task
def task(number):
    work(f"t{number}")
    print(f"task {number} is done")

if __name__ == "__main__":
    for number in range(4):
        task.delay(number)
"""
)


def test_celerys_prefork_pool(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    (tmp_path / "tasks.py").write_text(CELERY.replace("FOLDER", str(folder)))
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tasks",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        "2",
        "-l",
        "INFO",
    ]
    with Http("ok") as backend, running(command, tmp_path, backend.environ) as app:
        sending = [sys.executable, "tasks.py"]
        subprocess.run(sending, cwd=tmp_path, env={**os.environ, **backend.environ}, check=True)
        app.wait_for("is done", 4)
        assert app.end() == 0, app.output
    assert sorted(backend.names) == both(*(f"t{number}" for number in range(4)))


RQ = (
    TRACED
    + """
def task(number):
    work(f"t{number}")
"""
)
ENQUEUE = """
import sys, tasks
from redis import Redis
from rq import Queue
queue = Queue(connection=Redis(port=int(sys.argv[1])))
for number in range(3):
    queue.enqueue(tasks.task, number)
"""


@pytest.mark.backend
@pytest.mark.parametrize(
    ("kind", "imported"),
    [
        ("rq.Worker", "by the worker"),
        ("rq.Worker", "by the job"),
        ("rq.worker.SpawnWorker", "by the job"),
    ],
)
def test_rqs_work_horses(tmp_path, kind, imported):
    """A job is done in a process of its own that ends by ``os._exit``."""
    (tmp_path / "tasks.py").write_text(RQ)
    (tmp_path / "enqueue.py").write_text(ENQUEUE)
    port = str(free_port())
    redis = ["redis-server", "--port", port, "--save", "", "--bind", "127.0.0.1"]
    rq = ["worker", "--burst", "--url", f"redis://127.0.0.1:{port}", "--worker-class", kind]
    first = "import tasks\n" if imported == "by the worker" else ""
    (tmp_path / "run.py").write_text(
        f"{first}import sys\nfrom rq.cli import main\nsys.argv[1:] = {rq!r}\nmain()\n"
    )
    with Http("ok") as backend, running(redis, tmp_path, {}) as server:
        server.wait_for("Ready to accept connections")
        with running([sys.executable, "enqueue.py", port], tmp_path, {}) as enqueuing:
            assert enqueuing.wait() == 0, enqueuing.output
        with running([sys.executable, "run.py"], tmp_path, backend.environ) as app:
            assert app.wait() == 0, app.output
    assert sorted(backend.names) == both("t0", "t1", "t2"), app.output
