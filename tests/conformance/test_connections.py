"""Connections that end, go silent, are shared with children, or are broken off: each call once."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from mlflow_otel.delivery import retry
from tests.conformance.peers import EVERY_PROTOCOL, Http2, answering, transport
from tests.conformance.test_answers import exporter_for
from tests.delivery import certificates
from tests.delivery.faults import Grpc, Http, free_port
from tests.delivery.proxy import Proxy
from tests.export.test_exporter import make_spans

AGE = {"grpc.max_connection_age_ms": 1000, "grpc.max_connection_age_grace_ms": 20_000}


@pytest.fixture(autouse=True)
def _quick_backoff(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)


def test_a_server_that_ends_each_connection_after_a_second_gets_each_call_once():
    with Grpc(("slow", 0.3), **AGE) as server:
        exporter, accounting = exporter_for(
            f"http://127.0.0.1:{server.port}", "grpc", max_workers=4
        )
        for _ in range(40):
            exporter.export(make_spans(1))
        assert exporter.force_flush(60_000)
        exporter.shutdown()
    assert len(server.times) == 40  # was 76
    assert accounting.snapshot() == {"exported": 40}


def test_goaway_before_each_answer_costs_no_second_call():
    calls = []

    def serve(connection):
        server = Http2(connection)
        while (stream := server.request()) is not None:
            calls.append(stream)
            server.leave()
            server.answer(stream, ("grpc-status", "0"))

    with answering(serve) as port:
        sender = transport(f"http://127.0.0.1:{port}", "grpc")
        assert [sender.send(b"", 10).result for _ in range(10)] == ["accepted"] * 10
        sender.close()
    assert len(calls) == 10


@EVERY_PROTOCOL
def test_a_server_that_was_restarted_gets_the_next_request_at_the_first_try(peer):
    with peer(port=free_port()) as first:
        sender = transport(f"http://127.0.0.1:{first.port}", peer.protocol)
        assert sender.send(b"", 10).result == "accepted"
    for _ in range(3):
        with peer(port=first.port) as next_one:
            assert sender.send(b"", 10).result == "accepted"
            assert len(next_one.calls) == 1
    sender.close()


@pytest.mark.parametrize("kind", [Grpc, Http], ids=["grpc", "http"])
def test_when_all_kept_connections_went_silent_each_request_waits_for_one_timeout_at_most(kind):
    protocol = "grpc" if kind is Grpc else "http/protobuf"
    with kind(("slow", 0.5)) as server, Proxy(server.port) as proxy:
        exporter, accounting = exporter_for(
            f"http://127.0.0.1:{proxy.port}", protocol, max_workers=10
        )
        for _ in range(10):
            exporter.export(make_spans(1))
        assert exporter.force_flush(30_000)
        kept = proxy.accepted
        proxy.silence()
        for _ in range(10):
            exporter.export(make_spans(1))
        assert exporter.force_flush(60_000)
        exporter.shutdown()
    counted = accounting.snapshot()
    assert kept > 1
    assert counted["exported"] == 20
    assert counted["retried"] <= kept


@EVERY_PROTOCOL
def test_closing_breaks_off_a_request_that_hangs(peer):
    def hang(connection):
        while connection.recv(65536):
            pass

    with answering(hang) as port:
        sender = transport(f"http://127.0.0.1:{port}", peer.protocol)
        outcomes = []
        thread = threading.Thread(target=lambda: outcomes.append(sender.send(b"", 600)))
        thread.start()
        while not (busy := sender._client._busy) or not all(h._sockets for h in busy):
            thread.join(0.01)
        sender.close()
        thread.join(60)
    assert [outcome.result for outcome in outcomes] == ["retryable"]
    assert sender.send(b"", 5).result == "retryable"


FORKING = """
import json, os, sys
from tests.conformance.peers import transport
endpoint, protocol, ca = json.loads(os.environ["GIVEN"])
sender = transport(endpoint, protocol, certificate=ca)
results = [sender.send(b"parent", 10).result]
for number in range(5):
    if os.fork() == 0:
        if number % 2:
            sender.close()
        del sender
        sys.exit(0)  # the interpreter ends in order: what is freed then must not speak to the server
    os.wait()
    results.append(sender.send(b"parent", 10).result)
print(json.dumps(results))
"""


@EVERY_PROTOCOL
def test_children_leave_their_parents_connection_alone(peer, run_app, tmp_path):
    import json
    import os
    import sys

    files = certificates.make(tmp_path / "certificates")
    with (
        peer(tls=(files["server.pem"], files["server.key"])) as running,
        Proxy(running.port) as proxy,
    ):
        given = json.dumps([f"https://127.0.0.1:{proxy.port}", peer.protocol, files["ca.pem"]])
        environ = {"GIVEN": given, "PYTHONPATH": os.pathsep.join(sys.path)}
        assert run_app(FORKING, environ, timeout=100) == ["accepted"] * 6
        assert proxy.accepted == 1
    assert len(running.calls) == 6


GREEN = """
import {name}
{patch}
import json, time
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()
ticks = [0]
def tick():
    while True:
        {name}.sleep(0.01)
        ticks[0] += 1
{name}.spawn(tick)
for _ in range(20):
    with mlflow.start_span("s"):
        {name}.sleep(0.01)
flushed = handle.force_flush(20_000 if {arrives} else 2500)
print(json.dumps([flushed, ticks[0]]), flush=True)
import os
os._exit(0)
"""
PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "eventlet.monkey_patch()",
}


@pytest.mark.parametrize("kind", [Grpc, Http], ids=["grpc", "http"])
@pytest.mark.parametrize("name", PATCHES)
@pytest.mark.parametrize("arrives", [True, False])
def test_green_apps_export_and_go_on_while_the_backend_hangs(name, kind, arrives, run_app):
    with kind("ok" if arrives else "hang") as server:
        code = GREEN.format(name=name, patch=PATCHES[name], arrives=arrives)
        environ = {**server.environ, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        flushed, ticks = run_app(code, environ)
    assert flushed is arrives
    assert server.times
    assert Counter(server.names) == ({"s": 20} if arrives else {})
    assert arrives or ticks > 50  # a hub that is blocked stands still until the timeout, 10 s
