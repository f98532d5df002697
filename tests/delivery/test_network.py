"""Networks and servers between working and not: resets, latency, outages, every status."""

from __future__ import annotations

import os
import threading
import time

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from mlflow_otel.delivery import retry
from mlflow_otel.tracing.size import SPAN_BYTES
from tests.delivery.faults import Grpc, Http, free_port
from tests.delivery.proxy import Proxy
from tests.delivery.test_faults import BOTH, App, exporter_for
from tests.export.test_exporter import make_spans

RETRYABLE_CODES = {
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNAVAILABLE",
    "DATA_LOSS",
}
RETRYABLE_STATUSES = {429, 502, 503, 504}


@pytest.fixture(autouse=True)
def _quick_backoff(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)


class Through:
    """What an exporter needs to know to go through a proxy."""

    def __init__(self, server, proxy):
        self.environ = {
            **server.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{proxy.port}",
        }


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
def test_each_grpc_status_is_retried_or_not_as_the_specification_says(code):
    with Grpc((code, None), "ok") as server:
        exporter, accounting = exporter_for(server)
        exporter.export(make_spans(1))
        arrived = exporter.force_flush(10_000)
        exporter.shutdown()
    assert arrived is (code.name in RETRYABLE_CODES)
    counted = accounting.snapshot()
    assert counted.get("retried", 0) == arrived
    assert counted.get("dropped.rejected", 0) == (not arrived)


@pytest.mark.parametrize(
    "status", [301, 302, 307, 400, 401, 403, 404, 408, 429, 500, 501, 502, 503, 504]
)
def test_each_http_status_is_retried_or_not_as_the_specification_says(status):
    with Http((status, None), "ok") as server:
        exporter, accounting = exporter_for(server)
        exporter.export(make_spans(1))
        arrived = exporter.force_flush(10_000)
        exporter.shutdown()
    assert arrived is (status in RETRYABLE_STATUSES)
    assert accounting.snapshot().get("dropped.rejected", 0) == (not arrived)


@BOTH
def test_a_partial_success_is_counted_as_the_server_says(kind, caplog):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    answer.partial_success.error_message = "too old"
    with kind(("partial", answer.SerializeToString())) as server:
        exporter, accounting = exporter_for(server)
        exporter.export(make_spans(5))
        exporter.force_flush(10_000)
        exporter.shutdown()
    counted = accounting.snapshot()
    assert (counted["exported"], counted["rejected_by_server"]) == (3, 2)
    assert "too old" in caplog.text


@BOTH
def test_a_partial_success_that_lies_does_not_upset_the_count(kind):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 10**9
    with kind(("partial", answer.SerializeToString())) as server:
        exporter, accounting = exporter_for(server)
        exporter.export(make_spans(5))
        exporter.force_flush(10_000)
        exporter.shutdown()
    assert accounting.snapshot()["rejected_by_server"] == 5
    assert accounting.snapshot().get("exported", 0) == 0


@BOTH
def test_a_connection_reset_in_mid_body_is_retried(kind):
    with kind("ok") as server, Proxy(server.port, cut_after=20_000) as proxy:
        exporter, accounting = exporter_for(Through(server, proxy))
        exporter.export(make_spans(50, s=os.urandom(1000).hex()))
        time.sleep(0.5)
        assert not server.names
        proxy.cut_after = None
        assert exporter.force_flush(20_000)
        exporter.shutdown()
    assert len(server.names) == 50
    assert accounting.snapshot()["exported"] == 50


@BOTH
def test_connections_cut_while_idle_cost_nothing(kind):
    with kind("ok") as server, Proxy(server.port) as proxy:
        exporter, accounting = exporter_for(Through(server, proxy))
        for _ in range(5):
            exporter.export(make_spans(2))
            assert exporter.force_flush(20_000)
            proxy.cut()
        exporter.shutdown()
    assert len(server.names) == 10
    assert accounting.snapshot()["exported"] == 10


@BOTH
def test_one_connection_serves_one_request_after_the_other(kind):
    with kind("ok") as server, Proxy(server.port) as proxy:
        exporter, _ = exporter_for(Through(server, proxy))
        for _ in range(20):
            exporter.export(make_spans(2))
            assert exporter.force_flush(20_000)
        exporter.shutdown()
        assert proxy.accepted == 1


@BOTH
def test_a_network_that_stands_still_holds_up_nothing_but_itself(kind):
    with kind("ok") as server, Proxy(server.port) as proxy:
        app = App(Through(server, proxy))
        proxy.gate.clear()
        for _ in range(200):
            app.work(20)  # would not end if it waited for the network
        assert server.names == []
        proxy.gate.set()
        assert app.processor.force_flush(60_000)
        app.provider.shutdown()
    counted = app.accounting.snapshot()
    # On a slow machine a try may run out of time while its bytes wait in the network: these arrive, too.
    twice = counted.pop("retried", 0)
    assert app.ended == 4000
    assert len(server.names) >= 4000 if twice else len(server.names) == 4000
    assert counted == {"exported": 4000}


@BOTH
def test_a_server_that_answers_slowly_gets_everything(kind):
    with kind(("slow", 0.3)) as server:
        app = App(server)
        app.work(3000)
        assert app.processor.force_flush(60_000)
        app.provider.shutdown()
    assert len(server.names) == 3000


@BOTH
def test_a_server_that_disappears_and_returns_gets_everything(kind):
    port = free_port()
    with kind("ok", port=port) as first:
        app = App(first)
        app.work(600)
        assert app.processor.force_flush(20_000)
    app.work(600)
    app.processor.force_flush(300)
    with kind("ok", port=port) as second:
        app.work(600)
        until = time.monotonic() + 40
        while len(second.names) < 1200 and time.monotonic() < until:
            app.processor.force_flush(1000)
        app.provider.shutdown()
    assert (len(first.names), len(second.names)) == (600, 1200)
    counted = app.accounting.snapshot()
    assert (counted["exported"], counted.get("dropped", 0)) == (1800, 0)


def test_one_five_megabyte_span_in_a_stream_loses_none():
    with Grpc("ok") as server:  # a gRPC server's own limit: 4 MiB
        app = App(server)
        until = time.monotonic() + 3
        sent = False
        while time.monotonic() < until:  # 400 spans a second
            app.work(4)
            if not sent and time.monotonic() > until - 2:
                sent = True
                with app.provider.get_tracer("app").start_as_current_span("big") as span:
                    span.set_attribute("big", "x" * 5_000_000)
                app.ended += 1
            time.sleep(0.01)
        assert app.processor.force_flush(20_000)
        app.provider.shutdown()
    assert len(server.names) == app.ended  # was 54 % lost
    assert server.names.count("big") == 1
    assert app.accounting.snapshot() == {"exported": app.ended, "truncated": 1}


@BOTH
def test_a_full_queue_drops_the_newest_and_counts_them(kind, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "600")
    with kind("hang") as server:
        app = App(server, max_workers=1)
        app.work(3000)
        stats = app.processor.stats()
        assert app.processor.force_flush(300) is False
        app.processor.shutdown(1000)
        # What was on its way when the time was up is counted as soon as its thread has the processor.
        deadline = time.monotonic() + 60
        while app.accounting.snapshot().get("dropped", 0) < 3000 and time.monotonic() < deadline:
            time.sleep(0.05)
    counted = app.accounting.snapshot()
    assert counted["dropped.queue_full"] >= 3000 - 600 - 3 * 512
    assert counted["dropped"] == 3000
    assert stats["queued"] <= 600


@BOTH
def test_waiting_spans_are_bounded_by_bytes(kind):
    with kind("hang") as server:
        app = App(server, max_workers=1, max_held_bytes=1_000_000)
        tracer = app.provider.get_tracer("app")
        for _ in range(3000):
            tracer.start_span("s", attributes={"a": "x" * 2000}).end()
        queued = app.processor.stats()["queued"]
        app.processor.shutdown(1000)
    counted = app.accounting.snapshot()
    assert queued * 2000 <= 1_010_000
    assert counted["dropped"] == 3000
    assert counted["dropped.queue_full"] > 0


def test_every_span_is_in_one_counter_or_on_its_way():
    """Once all is settled exported and dropped are all that ended; before, requests are in flight."""
    with Http("ok", (503, None), "ok", (400, None), ("slow", 0.05), "ok") as server:
        app = App(server)
        stop = threading.Event()
        seen = []

        def watch():
            while not stop.is_set():
                seen.append(app.processor.stats())

        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(40):
            app.work(100)
        app.processor.force_flush(20_000)
        stop.set()
        watcher.join()
        app.provider.shutdown()
    counted = app.accounting.snapshot()
    assert counted["exported"] + counted["dropped"] == app.ended == 4000
    assert counted["dropped"] == counted["dropped.rejected"] > 0
    assert any(s["in_flight"] for s in seen)


def test_after_a_full_queue_there_is_room_again_as_soon_as_some_has_left(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "512")
    with Http("hang") as server:
        app = App(server, max_workers=1, max_held_bytes=5_000_000)
        tracer = app.provider.get_tracer("app")
        for _ in range(6000):  # 12 MB, of which all but a few spans are dropped
            tracer.start_span("s", attributes={"a": "x" * 2000}).end()
        outlet = app.processor._next
        assert outlet._waiting_bytes <= 1024 * (
            2010 + SPAN_BYTES
        )  # what waits, not what was dropped
        app.processor.shutdown(500)
