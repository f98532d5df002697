"""What a bridge takes while its room is full, and when what it took leaves."""

from __future__ import annotations

import contextlib

import pytest

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import trace_info
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.intake import Intake
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.settings import Settings
from tests.bridge.parts import Part, info_body, otlp_span
from tests.bridge.test_http import foreign, request


@contextlib.contextmanager
def full():
    """An intake whose room is full: nothing leaves it before its gate opens. Span 1 of trace 9 is held."""
    accounting = Accounting()
    with Receiver() as receiver:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
            "MLFLOW_OTEL_MAX_HELD_BYTES": "5000",
        }
        intake = Intake(
            Settings.from_environment(environ, accounting), MappingOptions(), accounting
        )
        intake.gate.close()
        intake.otlp("traces", request(otlp_span(Part(9, 1, 0))))
        intake.otlp("traces", request(*(foreign(5, n) for n in range(1, 200)), scope="x"))
        yield intake, receiver
        intake.close(10)


def info(trace):
    return trace_info.read(info_body(trace))


def test_a_trace_info_that_spans_wait_for_is_taken_and_no_other():
    with full() as (intake, receiver):
        with pytest.raises(RefusedError):
            intake.make_sure_of_room()
        with pytest.raises(RefusedError):
            intake.info(info(8))
        assert intake.info(info(9)).seen
        with pytest.raises(RefusedError):
            intake.info(info(9))  # nothing waits for it any more
        intake.close(10)
        (span,) = (s for s in receiver.store.spans() if s["trace_id"] == f"{9:032x}")
        assert span["attributes"]["session.id"] == "s-1"


def test_whoever_asks_whether_it_is_ready_is_no_client_that_is_refused():
    with full() as (intake, _):
        assert intake.unready
        assert "refused.overload" not in intake.stats()
        with pytest.raises(RefusedError):
            intake.make_sure_of_room()
        assert intake.stats()["refused.overload"] == 1


def test_nothing_leaves_before_the_gate_lets_it():
    with full() as (intake, receiver):
        assert intake.stats()["in_flight"] == 199
        assert receiver.store.spans() == []
        intake.gate.let_through()
        intake.close(10)
        assert len(receiver.store.spans()) == 200
