"""A bridge in front of the real Jaeger: what one bridge took, another one finds there."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from mlflow_otel.otlp import wire
from tests.backends import servers
from tests.bridge.parts import Part, info_body, otlp_span
from tests.bridge.running import running
from tests.bridge.test_http import request
from tests.conftest import PREFIXES, ROOT

pytestmark = pytest.mark.backend
API = "/api/3.0/mlflow"
APP = Path(ROOT) / "tests" / "bridge" / "reading_app.py"


def until(ask, seconds=60):
    """What is asked for, once it is there."""
    ends = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < ends:
        time.sleep(0.2)
    return found


def search(bridge, **said):
    answer = httpx.post(f"{bridge.http}{API}/traces/search", json=said, timeout=60)
    return answer.raise_for_status().json()["traces"]


def tags_of(bridge, trace_id):
    return next(info["tags"] for info in search(bridge) if info["trace_id"] == trace_id)


def test_another_bridge_reads_and_judges_what_the_first_one_sent(tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    own = {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT)}
    with servers.jaeger(tmp_path) as (url, grpc, _):
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}",
            "MLFLOW_OTEL_TRACE_LOOKUP": f"jaeger+{url}",
        }
        with running(env=env) as first:
            done = subprocess.run(
                [str(servers.MLFLOW_PYTHON), str(APP)],
                env={**own, "MLFLOW_TRACKING_URI": first.http},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            said = json.loads(done.stdout.splitlines()[-1])
            assert (said["failed"], said["judged"], len(said["found"])) == (1, 1, 2)
            before = {info["trace_id"]: info for info in search(first)}
            assert len(before) == 3
            assert first.stop() == 0
        with running(env=env) as second:
            assert until(lambda: len(search(second)) == 3)
            judged = next(i for i in before.values() if len(i["assessments"]) == 3)
            assert until(
                lambda: (
                    len(
                        next(i for i in search(second) if i["trace_id"] == judged["trace_id"])[
                            "assessments"
                        ]
                    )
                    == 3
                )
            )
            assert {info["trace_id"]: info for info in search(second)} == before
            named = judged["client_request_id"]
            answer = httpx.post(
                f"{second.http}/v1/feedback",
                json={
                    "client_request_id": named,
                    "assessment_name": "late",
                    "feedback": {"value": "yes"},
                },
                timeout=60,
            )
            assert answer.json()["assessment"]["trace_id"] == judged["trace_id"]

            def late():
                return search(
                    second, filter=f"feedback.late = 'yes' AND client_request_id = '{named}'"
                )

            assert until(late)
            got = httpx.get(
                f"{second.http}{API}/traces/get",
                params={"trace_id": judged["trace_id"]},
                timeout=60,
            ).json()["trace"]
            assert {span["name"] for span in got["spans"]} == {"agent", "chat"}
            path = f"{second.http}/api/2.0/mlflow/traces/{judged['trace_id']}/tags"
            for body in ({"key": "seen", "value": "1"}, {"key": "gone", "value": "1"}):
                httpx.patch(path, json=body, timeout=60).raise_for_status()
            assert until(lambda: "gone" in tags_of(second, judged["trace_id"]))
            gone = httpx.request("DELETE", path, json={"key": "gone"}, timeout=60)
            assert gone.status_code == 200
            assert until(lambda: "gone" not in tags_of(second, judged["trace_id"]))
            assert tags_of(second, judged["trace_id"])["seen"] == "1"
            unknown = httpx.patch(
                path.replace(judged["trace_id"], f"tr-{7:032x}"),
                json={"key": "seen", "value": "1"},
                timeout=60,
            )
            assert unknown.status_code == 404


def test_numbers_that_json_cannot_say_keep_no_trace_from_being_found(tmp_path):
    nan = float("nan")
    span = otlp_span(Part(1, 1, 0))
    given = {"score": nan, "many": [nan, 1.0], "mlflow.spanOutputs": -float("inf")}
    span.MergeFromString(wire.attributes(b"\x4a", given))
    event = span.events.add(name="e")
    event.MergeFromString(wire.attributes(b"\x1a", given))
    with servers.jaeger(tmp_path) as (url, grpc, _):
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}"}
        with running(env=env) as bridge, httpx.Client(base_url=bridge.http, timeout=60) as client:
            headers = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}
            body = request(span).SerializeToString()
            client.post("/v1/traces", content=body, headers=headers).raise_for_status()
            client.post(f"{API}/traces", json=info_body(1)).raise_for_status()
            path = f"{url}/api/traces/{1:032x}"
            found = until(lambda: httpx.get(path, timeout=60).json().get("data"))
        tags = {tag["key"]: tag["value"] for tag in found[0]["spans"][0]["tags"]}
        assert (tags["score"], tags["mlflow.spanOutputs"]) == ("NaN", "-Infinity")
