"""A bridge with a real tracking server beside it: everything in both, and nothing lost while the server is away."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.backends import servers
from tests.backends.test_bridge_jaeger import until
from tests.bridge.parts import RESOURCE, Part, info_body, otlp_span
from tests.bridge.running import running
from tests.conftest import PREFIXES, ROOT

pytestmark = pytest.mark.backend
API = "/api/3.0/mlflow"
TRACES = 40
PLACE = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}


def nothing_owed(bridge):
    found = bridge.counters()
    return not found["upstream.waiting"] + found["upstream.spooled"]


def stored(url, **said):
    """The traces that the tracking server has, by ID, each with its spans."""
    with httpx.Client(base_url=url, timeout=60) as server:
        infos, token = [], ""
        while token is not None:
            asked = {"max_results": 500, **said, **({"page_token": token} if token else {})}
            page = server.post(f"{API}/traces/search", json=asked).raise_for_status().json()
            infos += page.get("traces", [])
            token = page.get("next_page_token") or None
        found = {}
        for start in range(0, len(infos), 10):
            ids = [info["trace_id"] for info in infos[start : start + 10]]
            got = server.get(f"{API}/traces/batchGet", params={"trace_ids": ids})
            for trace in got.raise_for_status().json().get("traces", []):
                found[trace["trace_info"]["trace_id"]] = trace
        return found


def locations(experiment):
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    return {"locations": [place]}


class Tracking(NamedTuple):
    """The tracking server's folder, port and URL."""

    folder: Path
    port: int
    url: str


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    """A tracking server until a test kills it: the last one does."""
    folder = tmp_path_factory.mktemp("tracking")
    (port,) = servers.free_ports(1)
    with servers.mlflow_server(folder, port) as url:
        yield Tracking(folder, port, url)


@pytest.mark.timeout(600)
def test_an_app_that_needs_runs_works_through_the_bridge_and_its_traces_are_in_both(
    tmp_path, tracking
):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    url = tracking.url
    with running("--mlflow-upstream", url) as bridge:
        done = subprocess.run(
            [str(servers.MLFLOW_PYTHON), str(ROOT / "tests" / "backends" / "tee_app.py")],
            env={
                **kept,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "PYTHONPATH": str(ROOT),
                "MLFLOW_TRACKING_URI": bridge.http,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said = json.loads(done.stdout.splitlines()[-1])
        assert said["metrics"]["polite/mean"] == 1
        assert said["of the run"] == 2
        assert until(lambda: nothing_owed(bridge))
        there = stored(url, **locations(said["experiment"]))
        assert {one: len(trace["spans"]) for one, trace in there.items()} == said["traces"]
        judged = there[said["trace"]]["trace_info"]
        assert judged["tags"]["later"] == "yes"
        (assessment,) = judged["assessments"]
        assert assessment["assessment_id"] == said["assessment"]
        assert assessment["feedback"]["value"] is False, "as it was changed"
        for run in (said["run"], said["evaluation"]):
            answer = httpx.get(f"{url}/api/2.0/mlflow/runs/get", params={"run_id": run}, timeout=60)
            assert answer.json()["run"]["info"]["run_id"] == run
        for one, trace in there.items():
            wanted = sorted(base64.b64decode(span["span_id"]).hex() for span in trace["spans"])
            came = bridge.spans(len(wanted), trace_id=one.removeprefix("tr-"))
            assert sorted(s["span_id"] for s in came if s["span_id"] in wanted) == wanted
            assert {span["resource"]["service.name"] for span in came} == {"tee-app"}
        able = [
            httpx.get(f"{one}{API}/server-info", timeout=60).json() for one in (url, bridge.http)
        ]
        assert able[0] == able[1]
        found = bridge.counters()
        assert not found.get("upstream.refused")
        assert not found.get("upstream.dropped")


class Sent:
    """A client that sends traces until told to stop, each with an assessment; it keeps what was accepted."""

    def __init__(self, bridge, seed):
        self.chance, self.bridge = random.Random(seed), bridge
        self.traces = set()

    def send(self, http):
        trace = self.chance.getrandbits(127) + 1
        request = ExportTraceServiceRequest()
        holder = request.resource_spans.add(resource=RESOURCE.resource)
        holder.scope_spans.add().spans.extend(
            otlp_span(Part(trace, number, number - 1)) for number in (1, 2, 3)
        )
        for span in holder.scope_spans[0].spans:
            span.start_time_unix_nano = time.time_ns() - 1000
            span.end_time_unix_nano = time.time_ns()
        steps = [
            lambda: http.post(
                "/v1/traces",
                content=request.SerializeToString(),
                headers={
                    "content-type": "application/x-protobuf",
                    "x-mlflow-experiment-id": "0",
                },
            ),
            lambda: http.post(
                f"{API}/traces",
                json=info_body(trace, trace_location=PLACE, request_time="2026-11-26T09:00:00Z"),
            ),
        ]
        self.chance.shuffle(steps)
        for step in steps:
            step().raise_for_status()
        said = {
            "assessment_name": "correct",
            "feedback": {"value": True},
            "source": {"source_type": "CODE", "source_id": "x"},
        }
        http.post(
            f"{API}/traces/tr-{trace:032x}/assessments", json={"assessment": said}
        ).raise_for_status()
        self.traces.add(f"tr-{trace:032x}")

    def run(self, number, pause):
        with httpx.Client(base_url=self.bridge.http, timeout=60) as http:
            for _ in range(number):
                self.send(http)
                time.sleep(pause)


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_and_comes_back_gets_all_and_nothing_twice(tmp_path, tracking):
    seed = int(os.environ.get("MLFLOW_OTEL_TEST_SOAK_SEED", "0")) or random.getrandbits(32)
    print(f"MLFLOW_OTEL_TEST_SOAK_SEED={seed}", file=sys.stderr)
    port, url = tracking.port, tracking.url
    # The first bridge is told to end while the server is away: the second sends what it left.
    env = {"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path / "spool")}
    with running("--mlflow-upstream", url, "--drain", "4", env=env) as bridge:
        client = Sent(bridge, seed)
        working = threading.Thread(target=client.run, args=(TRACES, 0.02))
        working.start()
        time.sleep(0.5)
        found = subprocess.run(
            ["pgrep", "-f", "--", f"--host 127.0.0.1 --port {port} --workers"],
            capture_output=True,
            text=True,
            check=True,
        )
        for pid in found.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        working.join()
        client.run(5, 0)
        assert httpx.get(f"{bridge.http}{API}/traces/tr-{1:032x}", timeout=60).status_code == 503
        assert not nothing_owed(bridge)
        assert len(bridge.spans(3 * len(client.traces), kind="INTERNAL")) >= 3 * len(client.traces)
        assert bridge.stop() == 0
    with (
        servers.mlflow_server(tracking.folder, port),
        running("--mlflow-upstream", url, env=env) as second,
    ):
        assert until(lambda: nothing_owed(second), 120)
        there = stored(url, **locations("0"))
        assert set(there) == client.traces
        for trace in there.values():
            assert len(trace["spans"]) == 3
            assert len(trace["trace_info"]["assessments"]) == 1
            assert trace["trace_info"]["tags"]["env"] == "prod"
