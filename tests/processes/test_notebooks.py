"""A notebook: a real Jupyter kernel that runs cells, is interrupted, restarted and shut down."""

from __future__ import annotations

import os
import sys
import time

import pytest
from jupyter_client.manager import KernelManager

from tests.processes.apps import Http, both

INSTRUMENT = """
import mlflow, time
import mlflow_otel
handle = mlflow_otel.instrument()

def work(name):
    with mlflow.start_span(name):
        with mlflow.start_span(f"{name}-child"):
            pass
"""


@pytest.fixture
def notebook(tmp_path):
    with Http("ok") as server:
        manager = KernelManager(kernel_name="python3")
        manager.kernel_spec.argv[0] = sys.executable
        own = {"IPYTHONDIR": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"}
        environ = {**os.environ, **server.environ, **own}
        manager.start_kernel(cwd=str(tmp_path), env=environ)
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        try:
            yield server, manager, client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def run(client, cell):
    """Run a cell to its end; return its status."""
    return client.execute_interactive(
        cell, timeout=60, output_hook=lambda message: None, allow_stdin=False
    )["content"]["status"]


def arrived(server, names):
    until = time.monotonic() + 30
    while sorted(server.names) != names and time.monotonic() < until:
        time.sleep(0.05)
    assert sorted(server.names) == names


def test_cells_that_are_run_again_interrupted_and_flushed(notebook):
    server, manager, client = notebook
    assert run(client, INSTRUMENT) == "ok"
    assert run(client, INSTRUMENT + "work('a')\nassert handle.force_flush(20_000)") == "ok"
    assert sorted(server.names) == both("a")
    assert run(client, "work('b')") == "ok"
    arrived(server, both("a", "b"))  # by itself
    asked = client.execute("with mlflow.start_span('c'):\n    work('d')\n    time.sleep(600)")
    while client.get_iopub_msg(timeout=60)["header"]["msg_type"] != "execute_input":
        pass
    time.sleep(0.5)  # so that the cell is in its sleep
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != asked:
        pass
    assert reply["content"]["status"] == "error"
    assert run(client, "assert handle.force_flush(20_000)") == "ok"
    assert sorted(server.names) == sorted(["c", *both("a", "b", "d")])


def test_what_ended_leaves_when_the_kernel_is_restarted_or_shut_down(notebook):
    server, manager, client = notebook
    assert run(client, INSTRUMENT + "work('a')") == "ok"
    manager.restart_kernel()
    client.wait_for_ready(timeout=60)
    arrived(server, both("a"))
    assert run(client, INSTRUMENT + "work('b')") == "ok"
    manager.shutdown_kernel()
    arrived(server, both("a", "b"))
