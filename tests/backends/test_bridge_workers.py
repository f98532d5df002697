"""A bridge with workers under real clients, one worker killed in the middle; and the bridge's own tests with workers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.bridge.running import running
from tests.conftest import PREFIXES, ROOT

pytestmark = pytest.mark.backend
APP = Path(__file__).with_name("workers_app.py")
CLIENTS, TRACES = 3, 120
KILLS = 2


@pytest.fixture
def environ():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT)}


@pytest.mark.timeout(300)
def test_of_what_was_accepted_nothing_comes_twice_and_what_is_missing_is_counted(environ, tmp_path):
    seed = int(os.environ.get("MLFLOW_OTEL_TEST_SOAK_SEED", "0")) or random.getrandbits(32)
    print(f"MLFLOW_OTEL_TEST_SOAK_SEED={seed}", file=sys.stderr)
    chance = random.Random(seed)
    with running("--workers", "2", env={"MLFLOW_TRACE_TIMEOUT_SECONDS": "2"}) as bridge:
        clients = [
            subprocess.Popen(
                [sys.executable, str(APP), str(TRACES)],
                env={**environ, "MLFLOW_TRACKING_URI": bridge.http},
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(CLIENTS)
        ]
        for number in range(1, KILLS + 1):
            while bridge.counters().get("received.traces", 0) < number * 200:
                time.sleep(0.02)
            time.sleep(chance.random() / 10)
            os.kill(chance.choice(bridge.workers()), signal.SIGKILL)
            while bridge.counters().get("workers.restarted", 0) < number:
                time.sleep(0.05)
        said = [client.communicate(timeout=200)[0] for client in clients]
        assert [client.returncode for client in clients] == [0] * CLIENTS
        made = {tuple(pair) for one in said for pair in json.loads(one)}
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = bridge.counters()
            if not (found["held.items"] or found["in_flight"]):
                break
            time.sleep(0.2)
        spans = [s for s in bridge.receiver.store.spans() if s["name"] != "trace update"]
    print(f"{len(made)} made, {len(spans)} arrived, {found}", file=sys.stderr)
    assert len(made) == CLIENTS * TRACES * 5
    arrived = Counter((span["trace_id"], span["span_id"]) for span in spans)
    assert set(arrived) <= made
    assert not [span for span, times in arrived.items() if times > 1]
    lost = found.get("dropped.worker", 0)
    assert found.get("dropped", 0) == lost
    assert len(made - set(arrived)) <= lost < len(made) / 2
    came = found["received.traces"] + found.get("updates", 0)
    assert came <= found["exported"] + lost + found.get("duplicates", 0)


@pytest.mark.timeout(300)
def test_a_bridge_that_is_killed_leaves_workers_that_deliver_what_they_hold(environ, tmp_path):
    env = {**environ, "MLFLOW_ASYNC_TRACE_LOGGING_MAX_SPAN_BATCH_SIZE": "1"}
    with running("--workers", "2", env={"MLFLOW_TRACE_TIMEOUT_SECONDS": "300"}) as bridge:
        app = [sys.executable, "-c", HELD]
        held = subprocess.run(
            app,
            env={**env, "MLFLOW_TRACKING_URI": bridge.http},
            cwd=tmp_path,
            check=True,
            timeout=100,
        )
        assert held.returncode == 0
        assert bridge.counters()["held.items"] == 1
        bridge.process.kill()
        assert len(bridge.spans(1, name="first")) == 1


HELD = """
import mlflow, os
mlflow.set_experiment("held")
root = mlflow.start_span_no_context("root")
mlflow.start_span_no_context("first", parent_span=root).end()
mlflow.flush_trace_async_logging()
os._exit(0)
"""
TOO = ("test_clients.py", "test_feedback.py", "test_http.py", "test_passing.py")


@pytest.mark.timeout(300)
def test_what_holds_for_one_process_holds_for_a_bridge_with_workers():
    files = [str(ROOT / "tests" / "bridge" / name) for name in TOO]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env={**os.environ, "MLFLOW_OTEL_TEST_BRIDGE_OPTIONS": "--workers 2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
