"""More than the backend takes: real clients are asked to come again, and lose nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflow_otel.receiver.server import Receiver
from tests.bridge.running import running
from tests.conftest import PREFIXES, ROOT
from tests.delivery.faults import free_port

pytestmark = pytest.mark.backend
APP = Path(__file__).with_name("workers_app.py")
CLIENTS, TRACES = 2, 60


@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_clients_lose_nothing_while_more_comes_than_may_wait(options, tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    port = free_port()
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "MLFLOW_OTEL_MAX_HELD_BYTES": "100000",
    }
    with running(*options, env=env) as bridge:
        clients = [
            subprocess.Popen(
                [sys.executable, str(APP), str(TRACES)],
                env={**kept, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": bridge.http},
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(CLIENTS)
        ]
        while bridge.counters().get("refused.overload", 0) < 5:
            time.sleep(0.1)
        with Receiver(port) as receiver:  # the backend is there at last
            said = [client.communicate(timeout=200)[0] for client in clients]
            assert [client.returncode for client in clients] == [0] * CLIENTS
            made = {tuple(pair) for one in said for pair in json.loads(one)}
            until = time.monotonic() + 60
            while time.monotonic() < until:
                spans = [s for s in receiver.store.spans() if s["name"] != "trace update"]
                if len(spans) >= len(made):
                    break
                time.sleep(0.2)
            arrived = [(span["trace_id"], span["span_id"]) for span in spans]
        assert "dropped" not in bridge.counters()
    assert len(made) == CLIENTS * TRACES * 5
    assert sorted(arrived) == sorted(made), "each once"
