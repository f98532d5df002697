"""What becomes of assessments when a backend misbehaves: real sockets, both transports."""

from __future__ import annotations

import time

import grpc
import mlflow
import pytest

import mlflow_otel
from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.delivery import retry
from mlflow_otel.receiver.server import Receiver
from tests.delivery.faults import Grpc, Http, free_port

UNKNOWN = f"tr-{7:032x}"
NOT_TAKEN = {Grpc: (grpc.StatusCode.UNIMPLEMENTED, None), Http: (404, None)}
DOWN = {Grpc: (grpc.StatusCode.UNAVAILABLE, None), Http: (503, None)}


@pytest.fixture
def instrument(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)

    def start(environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        mlflow_otel.uninstrument()
        ACCOUNTING.begin_anew()
        return mlflow_otel.instrument()

    yield start
    mlflow_otel.uninstrument()


def endpoint_of(signal, server):
    environ = server.environ
    url = environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    found = {f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT": url}
    if "OTEL_EXPORTER_OTLP_PROTOCOL" in environ:
        found[f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"] = "http/protobuf"
    return found


@pytest.mark.parametrize("kind", [Grpc, Http], ids=["grpc", "http"])
@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_a_signal_that_the_backend_does_not_take_is_turned_off_with_one_warning_and_the_others_go_on(
    kind, signal, instrument, receiver, caplog
):
    with kind(NOT_TAKEN[kind]) as refusing:
        handle = instrument(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
                **endpoint_of(signal.upper(), refusing),
            }
        )
        for _ in range(3):
            mlflow.log_feedback(trace_id=UNKNOWN, value=1)
            assert handle.force_flush(10_000)
        assert len(refusing.times) == 1
    said = [r.getMessage() for r in caplog.records if r.name == "mlflow_otel"]
    assert len(said) == 1
    assert f"takes no {signal}" in said[0]
    assert "MLFLOW_OTEL_ASSESSMENT_SIGNALS" in said[0]
    store = receiver.store
    assert len(store.spans()) == 3
    assert bool(store.logs()) is (signal != "logs")
    assert bool(store.metrics()) is (signal != "metrics")
    stats = handle.stats()
    assert stats[f"{signal}.dropped"] == stats[f"{signal}.dropped.unsupported"]


@pytest.mark.parametrize("kind", [Grpc, Http], ids=["grpc", "http"])
def test_events_are_retried_as_spans_are(kind, instrument):
    with kind(DOWN[kind], DOWN[kind], b"") as server:
        server.settle = lambda answer, _body: answer
        handle = instrument({**server.environ, "MLFLOW_OTEL_ASSESSMENT_SIGNALS": "logs"})
        mlflow.log_feedback(trace_id=UNKNOWN, value=1)
        assert handle.force_flush(10_000)
        assert len(server.times) == 3
    stats = handle.stats()
    assert (stats["logs.exported"], stats["logs.retried"]) == (1, 2)


def test_events_that_cannot_be_delivered_are_spooled_and_arrive_with_the_next_start(
    instrument, tmp_path
):
    port = free_port()
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "MLFLOW_OTEL_SPOOL_DIR": str(tmp_path),
    }
    handle = instrument(environ)
    mlflow.log_feedback(trace_id=UNKNOWN, name="kept", value=1)
    assert handle.force_flush(3000) is False
    mlflow_otel.uninstrument()
    assert {p.name for p in tmp_path.iterdir()} == {"traces", "logs", "metrics"}
    with Receiver(grpc_port=port) as receiver:
        instrument(environ)
        until = time.monotonic() + 20
        while not (receiver.store.logs() and receiver.store.spans() and receiver.store.metrics()):
            mlflow.log_feedback(trace_id=UNKNOWN, name="new", value=1)
            assert time.monotonic() < until
            time.sleep(0.1)
        names = {e["attributes"]["gen_ai.evaluation.name"] for e in receiver.store.logs()}
        assert "kept" in names
        mlflow_otel.uninstrument()


def test_logging_does_not_wait_for_a_backend_that_hangs_nor_does_the_end(instrument):
    with Grpc("hang") as server:
        handle = instrument(server.environ)
        started = time.monotonic()
        for _ in range(200):
            mlflow.log_feedback(trace_id=UNKNOWN, value=1)
        logged = time.monotonic() - started
        assert handle.force_flush(500) is False
        flushed = time.monotonic() - started - logged
        handle.shutdown(2000)
        ended = time.monotonic() - started - logged - flushed
    assert logged < 5  # a hang is a minute
    assert flushed < 5
    assert ended < 10
    stats = handle.stats()
    assert stats["logs.dropped"] == 200
    assert stats["dropped"] == 200


def test_events_that_find_no_room_are_counted(instrument):
    with Grpc("hang") as server:
        handle = instrument(
            {
                **server.environ,
                "OTEL_BLRP_MAX_QUEUE_SIZE": "10",
                "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "10",
                "MLFLOW_OTEL_ASSESSMENT_SIGNALS": "logs",
                "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS": "1",
            }
        )
        for _ in range(100):
            mlflow.log_feedback(trace_id=UNKNOWN, value=1)
        handle.shutdown(1000)
    stats = handle.stats()
    assert stats["logs.dropped.queue_full"] > 0
    assert stats["logs.dropped"] == stats["assessments"] == 100


def test_after_shutdown_an_assessment_is_refused_and_counted(instrument, receiver):
    handle = instrument({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    handle.shutdown()
    assert mlflow.log_feedback(trace_id=UNKNOWN, value=1).assessment_id
    assert handle.stats()["assessments.already_shutdown"] == 1
