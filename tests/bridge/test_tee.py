"""A bridge with a tracking server beside it that comes, goes and is busy: who answers what, and what arrives there."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time

import httpx

from tests.bridge.parts import Part, info_body, otlp_span
from tests.bridge.running import running
from tests.bridge.test_http import request
from tests.delivery.faults import free_port

API = "/api/3.0/mlflow"
BY_NAME = "/api/2.0/mlflow/experiments/get-by-name"
SECRET = "token-of-the-bridge"
BUSY = {"message": "QueuePool limit of size 5 overflow 10 reached"}


class Tracking:
    """Stands for the tracking server: knows one experiment, keeps what comes; ``busy`` times it says so."""

    def __init__(self, port):
        self.port, self.came, self.busy, self.strangers = port, [], 0, 0

    @contextlib.contextmanager
    def up(self):
        outer = self

        class Handle(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.strangers += self.headers["authorization"] != f"Bearer {SECRET}"
                status, said = outer.answer(self.command, self.path, body)
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handle)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, method, path, body):
        if path.startswith(BY_NAME):
            if not path.endswith("=known"):
                return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}
            return 200, {"experiment": {"experiment_id": "7", "name": "known"}}
        if self.busy and method == "POST":
            self.busy -= 1
            return 400, BUSY
        self.came.append((method, path, body))
        return 200, {"came": path}

    def has(self, *wanted):
        """Whether all of these came, once they did or time is up."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if {(method, path) for method, path, _ in self.came} >= set(wanted):
                return True
            time.sleep(0.05)
        return False


def send(client, trace):
    """Send a trace with an assessment and a tag; return what the server is to get of it."""
    spans = [otlp_span(Part(trace, 1, 0)), otlp_span(Part(trace, 2, 1))]
    headers = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": "7"}
    body = request(*spans).SerializeToString()
    named = f"tr-{trace:032x}"
    said = {"assessment_name": "correct", "feedback": {"value": True}}
    answers = [
        client.post("/v1/traces", content=body, headers=headers),
        client.post(f"{API}/traces", json=info_body(trace)),
        client.post(f"{API}/traces/{named}/assessments", json={"assessment": said}),
        client.patch(f"/api/2.0/mlflow/traces/{named}/tags", json={"key": "a", "value": "b"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    return (
        ("POST", "/v1/traces"),
        ("POST", f"{API}/traces"),
        ("POST", f"{API}/traces/{named}/assessments"),
        ("PATCH", f"/api/2.0/mlflow/traces/{named}/tags"),
    )


def test_the_server_answers_what_it_owns_and_gets_all_the_rest_when_it_can(tmp_path):
    tracking = Tracking(free_port())
    url = f"http://127.0.0.1:{tracking.port}"
    env = {"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path), "MLFLOW_TRACKING_TOKEN": SECRET}
    with running("--mlflow-upstream", url, env=env) as bridge:
        client = httpx.Client(base_url=bridge.http, timeout=60)
        with tracking.up():
            found = client.get(BY_NAME, params={"experiment_name": "known"})
            assert found.json()["experiment"]["experiment_id"] == "7"
            assert client.get(BY_NAME, params={"experiment_name": "new"}).status_code == 404
            run = client.post("/api/2.0/mlflow/runs/create", json={})
            assert run.json() == {"came": "/api/2.0/mlflow/runs/create"}
            tracking.busy = 1
            assert tracking.has(*send(client, 1)), "also after it was busy"
        again = client.get(BY_NAME, params={"experiment_name": "known"})
        assert again.json() == found.json(), "as it answered the last time"
        other = client.get(BY_NAME, params={"experiment_name": "other"})
        assert (other.status_code, "retry-after" in other.headers) == (503, True)
        tracking.came.clear()
        owed = send(client, 2)
        (root,) = bridge.spans(1, trace_id=f"{2:032x}", parent_span_id="")
        assert root["resource"]["service.name"] == "known"
        search = client.post(f"{API}/traces/search", json={})
        assert search.json() == {"traces": []}, (
            "of its own, while the server is away: none is of this year"
        )
        assert client.get(f"{API}/traces/tr-{2:032x}").status_code == 200
        with tracking.up():
            assert tracking.has(*owed)
            kinds = [(method, path) for method, path, _ in tracking.came]
            assert kinds.index(owed[1]) < kinds.index(owed[2]), "an assessment after its trace"
            assert len(kinds) == len(set(kinds)) == 4, "each once"
        assert not tracking.strangers
        assert all(SECRET.encode() not in file.read_bytes() for file in tmp_path.rglob("*.gz"))
        assert bridge.stop() == 0


def test_a_bridge_does_not_start_before_itself():
    port = free_port()
    command = [sys.executable, "-m", "mlflow_otel", "bridge", "--http", f"127.0.0.1:{port}"]
    done = subprocess.run(
        [*command, "--mlflow-upstream", f"http://ann:{SECRET}@127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "is the bridge itself" in done.stderr
    assert SECRET not in done.stderr
