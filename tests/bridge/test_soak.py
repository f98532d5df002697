"""Clients of several kinds, with faults on all sides at random from a seed that is printed: the books balance.
A tracking server gets everything, too.

``MLFLOW_OTEL_TEST_SOAK_SECONDS`` (2) sets how long, ``MLFLOW_OTEL_TEST_SOAK_SEED`` repeats one; ``make soak``
runs for longer.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.server
import json
import os
import random
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge.access import Access
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.http import HttpFace
from mlflow_otel.bridge.intake import Intake
from mlflow_otel.bridge.mlflow_api import MlflowApi
from mlflow_otel.bridge.owed import Owed
from mlflow_otel.bridge.reading import Reading
from mlflow_otel.bridge.remembering import Memory
from mlflow_otel.bridge.tee import Tee
from mlflow_otel.bridge.upstream import Upstream
from mlflow_otel.delivery import backlog, retry
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.settings import Settings
from tests.bridge.parts import RESOURCE, Part, info_body, otlp_span, traces_json
from tests.delivery.faults import Grpc
from tests.delivery.test_soak import SECONDS, SEED, Moody

LENGTH = SECONDS if "MLFLOW_OTEL_TEST_SOAK_SECONDS" in os.environ else 2.0

API = "/api/3.0/mlflow"
UPDATE = "trace update"


class Backend(Grpc):
    """Keeps the IDs of the spans it took, in the order in which they came; of updates their number."""

    updates = 0

    def take(self, body):
        request = ExportTraceServiceRequest.FromString(body)
        spans = [s for r in request.resource_spans for g in r.scope_spans for s in g.spans]
        with self.lock:
            self.names += [(s.trace_id, s.span_id) for s in spans if s.name != UPDATE]
            self.updates += sum(span.name == UPDATE for span in spans)


class Tracking(http.server.ThreadingHTTPServer):
    """Stands for a tracking server: it takes a request, is busy, or goes away before or after it took it.

    Keeps the spans and the traces with a ``TraceInfo`` that it took.
    """

    daemon_threads = True

    def __init__(self, chance):
        super().__init__(("127.0.0.1", 0), _Tracks)
        self.chance, self.calm, self.lock = chance, False, threading.Lock()
        self.spans, self.infos, self.requests, self.unanswered = set(), set(), 0, 0
        self.moods = ["take"] * 12 + ["busy", "unavailable", "gone", "gone after it"]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def mood(self):
        return "take" if self.calm else self.chance.choice(self.moods)

    def take(self, path, body):
        self.requests += 1
        if path == "/v1/traces":
            request = ExportTraceServiceRequest.FromString(body)
            spans = [s for r in request.resource_spans for g in r.scope_spans for s in g.spans]
            self.spans |= {(s.trace_id, s.span_id) for s in spans}
        elif path.endswith("traces.json"):
            trace = bytes.fromhex(path.split("/tr-")[1].split("/")[0])
            said = json.loads(body)["spans"]
            self.spans |= {(trace, base64.b64decode(span["span_id"])) for span in said}
        else:
            self.infos.add(json.loads(body)["trace"]["trace_info"]["trace_id"])


class _Tracks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            mood = self.server.mood()
            if mood in {"take", "gone after it"}:
                self.server.take(self.path, body)
            self.server.unanswered += mood == "gone after it"
        if mood.startswith("gone"):
            self.close_connection = True
            return
        self.send_response({"take": 200, "busy": 400}.get(mood, 503))
        said = b"QueuePool limit of size 5 reached" if mood == "busy" else b"{}"
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_PUT = do_POST

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(settings, accounting, upstream):
    """Yield the bridge's intake, what it owes and its port; the server ends with the block, the others do not."""
    options = MappingOptions()
    intake = Intake(settings, options, accounting)
    feedback = Feedback(intake, frozenset())
    alone = MlflowApi(intake, feedback, Reading(Memory(intake.memory), None, options, 5))
    owed = Owed(upstream, settings, accounting)
    api = Tee(alone, feedback, intake.experiments, upstream, owed)
    face = HttpFace(intake, api, feedback, Access())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(face.application(), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield intake, owed, listener.getsockname()[1]
        server.should_exit = True
        thread.join(60)


class Client:
    """Sends traces of one kind; keeps which spans were surely taken, and which may have been.

    Args:
        port: The bridge's.
        chance: Its own.
    """

    def __init__(self, port, chance):
        self.port, self.chance = port, chance
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.taken, self.maybe, self.infos = set(), set(), set()

    def new_trace(self):
        number = self.chance.randrange(1, 7)
        trace = self.chance.getrandbits(127) + 1
        return [Part(trace, n, 0 if n == 1 else 1) for n in range(1, number + 1)]

    def request(self, parts):
        request = ExportTraceServiceRequest()
        holder = request.resource_spans.add(resource=RESOURCE.resource)
        holder.scope_spans.add().spans.extend(map(otlp_span, parts))
        return request

    def post(self, path, body, kind, parts):
        """Send a body whole; or torn, in garbage, or without waiting for the answer."""
        fault = self.chance.random()
        headers = {"content-type": kind}
        if fault < 0.1:
            self.cut(path, body, kind, self.chance.randrange(len(body)))
        elif fault < 0.15:
            self.maybe.update(map(ids, parts))
            self.cut(path, body, kind, len(body))
        elif fault < 0.2:
            self.http.post(path, content=b"\xff" + self.chance.randbytes(20), headers=headers)
        if self.chance.random() < 0.3:
            headers["content-encoding"], body = "gzip", gzip.compress(body)
        self.http.post(path, content=body, headers=headers).raise_for_status()
        self.taken.update(map(ids, parts))

    def info(self, said):
        self.http.post(f"{API}/traces", json=said).raise_for_status()
        self.infos.add(said["trace"]["trace_info"]["trace_id"])

    def cut(self, path, body, kind, sent):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port)) as line,
        ):
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
            line.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:sent])

    def run(self, until):
        while time.monotonic() < until:
            self.trace()
            time.sleep(0.002)
        self.http.close()


def ids(part):
    return part.trace.to_bytes(16, "big"), part.number.to_bytes(8, "big")


class Python(Client):
    """Spans in requests that mix traces, the ``TraceInfo`` anywhere between, both at times twice or never."""

    kept: list

    def __init__(self, *given):
        super().__init__(*given)
        self.kept, self.again = [], []

    def trace(self):
        parts = self.new_trace()
        steps = [*parts, *([info_body(parts[0].trace)] if self.chance.random() < 0.8 else [])]
        self.kept += [*steps, *(s for s in steps if self.chance.random() < 0.1)]
        self.again += [s for s in steps if self.chance.random() < 0.1]
        self.chance.shuffle(self.kept)
        while len(self.kept) > 10:
            self.send([self.kept.pop() for _ in range(5)])

    def send(self, some):
        spans = [one for one in some if isinstance(one, Part)]
        if spans:
            body = self.request(spans).SerializeToString()
            self.post("/v1/traces", body, "application/x-protobuf", spans)
        for info in some:
            if not isinstance(info, Part):
                self.post(f"{API}/traces", json.dumps(info).encode(), "application/json", ())
                self.infos.add(info["trace"]["trace_info"]["trace_id"])

    def run(self, until):
        while time.monotonic() < until:
            self.trace()
            time.sleep(0.002)
        self.send([*self.kept, *self.again])  # some of what left long ago comes again
        self.http.close()


class Files(Client):
    """``traces.json`` in either dialect, before or after the ``TraceInfo``, at times twice."""

    def trace(self):
        parts = self.new_trace()
        named = f"tr-{parts[0].trace:032x}"
        path = f"/api/2.0/mlflow-artifacts/artifacts/7/traces/{named}/artifacts/traces.json"
        body = json.dumps(traces_json(parts, typescript=self.chance.random() < 0.5)).encode()
        steps = [lambda: self.put(path, body, parts)] * self.chance.choice([1, 1, 2])
        steps.append(lambda: self.info(info_body(parts[0].trace)))
        self.chance.shuffle(steps)
        for step in steps:
            step()

    def put(self, path, body, parts):
        self.http.put(path, content=body).raise_for_status()
        self.taken.update(map(ids, parts))


class Other(Client):
    """Spans that MLflow did not make, each sent once."""

    def trace(self):
        parts = self.new_trace()
        request = self.request(parts)
        for span in request.resource_spans[0].scope_spans[0].spans:
            del span.attributes[:]
        body = request.SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        self.http.post("/v1/traces", content=body, headers=headers).raise_for_status()
        self.taken.update(map(ids, parts))


class Refusing(Moody):
    """A backend that takes a request or does not, and always says which."""

    def __init__(self, chance):
        super().__init__(Grpc, chance)
        self.answers = [
            one for one in self.answers if not (isinstance(one, tuple) and "partial" in str(one[0]))
        ]


@pytest.mark.timeout(LENGTH + 240)
@pytest.mark.parametrize("spool", [False, True], ids=["no spool", "spool"])
def test_what_was_accepted_arrived_once_or_is_counted_as_lost(spool, tmp_path, monkeypatch):
    print(f"MLFLOW_OTEL_TEST_SOAK_SEED={SEED}")
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(retry, "MAX_BACKOFF_SECONDS", 0.5)
    monkeypatch.setattr(backlog, "LOOK_SECONDS", 0.5)
    chance = random.Random(SEED)
    accounting = Accounting()
    with Backend("ok") as backend:
        backend.script = mood = Refusing(random.Random(chance.random()))
        environ = {
            **backend.environ,
            "MLFLOW_TRACE_TIMEOUT_SECONDS": "1",
            **({"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path)} if spool else {}),
        }
        settings = Settings.from_environment(environ, accounting)
        tracking = Tracking(random.Random(chance.random()))
        upstream = Upstream(f"http://127.0.0.1:{tracking.server_port}")
        with tracking, serving(settings, accounting, upstream) as (intake, owed, port):
            clients = [
                kind(port, random.Random(chance.random()))
                for kind in (Python, Python, Files, Other)
            ]
            until = time.monotonic() + LENGTH
            threads = [threading.Thread(target=one.run, args=(until,)) for one in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            mood.calm = tracking.calm = True
            settled = time.monotonic() + 120
            while time.monotonic() < settled:
                left = {**intake.stats(), **owed.stats()}
                spooled = list(tmp_path.rglob("*.otlp.gz"))
                gauges = "held.items", "in_flight", "waiting.bytes", "upstream.waiting"
                if not any(left[name] for name in gauges) and not spooled:
                    break
                time.sleep(0.2)
            owed.close(60)
            tracking.shutdown()
        intake.close(60)
        counted = intake.stats()
    taken = set().union(*(one.taken for one in clients))
    maybe = set().union(*(one.maybe for one in clients))
    print(f"{len(taken)} spans: {counted}, {len(backend.names)} arrived, {backend.updates} updates")
    assert len(taken) > 100
    came = counted["received.traces"] + counted.get("updates", 0)
    assert not counted["held.items"]
    assert not counted["in_flight"]
    lost = counted.get("dropped", 0)
    assert came == counted["exported"] + lost + counted.get("duplicates", 0)
    assert lost == counted.get("dropped.rejected", 0), "by the backend's word alone"
    assert counted["exported"] == len(backend.names) + backend.updates
    assert len(backend.names) == len(set(backend.names)), "nothing twice"
    assert set(backend.names) <= taken | maybe
    assert len(taken - set(backend.names)) <= lost
    mlflows = [one for one in clients if not isinstance(one, Other)]
    due = set().union(*(one.taken for one in mlflows))
    print(f"{tracking.requests} requests at the tracking server, {tracking.unanswered} unanswered")
    assert not counted.get("upstream.refused")
    assert not counted.get("upstream.dropped")
    assert due <= tracking.spans <= due | maybe
    assert tracking.infos == set().union(*(one.infos for one in mlflows))
    assert tracking.requests == counted["upstream.delivered"] + tracking.unanswered, "each once"
