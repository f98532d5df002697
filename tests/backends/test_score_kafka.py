"""Workers of scorers behind a real Kafka: one is killed in the middle, nothing is lost, nothing is said twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from mlflow_otel.receiver.server import Receiver
from tests.backends import servers
from tests.backends.score_process import KEPT, scoring
from tests.backends.stack import eventually

pytestmark = [pytest.mark.backend, pytest.mark.timeout(200)]

TRACES = 100
APP = f"""
import json, mlflow, mlflow_otel
handle = mlflow_otel.instrument()
@mlflow.trace(name="answer", span_type="AGENT")
def answer(number):
    with mlflow.start_span("step"):
        return f"It is {{number}}."
made = []
for number in range({TRACES}):
    answer(number)
    made.append(mlflow.get_last_active_trace_id())
assert handle.force_flush(20000), handle.stats()
print(json.dumps(made))
"""
SCORERS = """
import time
def slow(outputs):
    time.sleep(0.05)
    return len(outputs)
def good(outputs):
    return True
SCORERS = [slow, good]
"""


def app(endpoint):
    done = subprocess.run(
        [sys.executable, "-c", APP],
        env={
            **KEPT,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20",  # many records
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def said(results):
    """Return the IDs of what was said, by trace and scorer."""
    found = {}
    for span in results.store.spans():
        values = span["attributes"]
        about = (f"tr-{span['trace_id']}", values["gen_ai.evaluation.name"])
        found.setdefault(about, set()).add(values["mlflow.assessment.id"])
    return found


def test_a_worker_that_is_killed_in_the_middle_loses_nothing_and_nothing_is_said_twice(tmp_path):
    (tmp_path / "own_scorers.py").write_text(SCORERS)
    (tmp_path / "kafka.conf").write_text(
        "# so that the others learn soon of the one that is gone\nsession.timeout.ms=6000\n"
    )
    with servers.kafka(tmp_path) as broker, Receiver() as results:
        common = [
            "--scorers=own_scorers:SCORERS",
            "--trace-idle=1",
            f"--kafka={broker}",
            f"--kafka-config={tmp_path / 'kafka.conf'}",
        ]
        sends = {"OTEL_EXPORTER_OTLP_ENDPOINT": results.grpc_endpoint}
        own = {"program": servers.KAFKA_COLLECTOR, "KAFKA_BROKERS": f"[{broker}]"}
        with servers.configured(
            tmp_path, "kafka.yaml", OUT_ENDPOINT=f"127.0.0.1:{results.grpc_port}", **own
        ) as endpoint:
            first = app(endpoint)  # makes the topic
            with (
                scoring(tmp_path, *common, **sends) as alive,
                scoring(tmp_path, *common, **sends) as killed,
            ):
                eventually(lambda: len(said(results)) > 20, 60)
                second = app(endpoint)
                eventually(lambda: len(said(results)) > 2 * len(first), 60)
                killed.process.send_signal(signal.SIGKILL)
                third = app(endpoint)
                expected = {
                    (trace, scorer)
                    for trace in (*first, *second, *third)
                    for scorer in ("slow", "good")
                }
                eventually(lambda: said(results).keys() >= expected, 90)
                found = said(results)
                assert found.keys() == expected
                assert all(len(ids) == 1 for ids in found.values())
                ended = alive.end()
                assert alive.process.returncode == 0, ended
            before = len(results.store.spans())
            with scoring(tmp_path, *common, **sends) as later:
                (fourth,) = app(endpoint)[:1]
                eventually(lambda: (fourth, "good") in said(results), 60)
                later.end()
            # All before was committed: it judged what is new alone.
            assert len(results.store.spans()) == before + 2 * TRACES
