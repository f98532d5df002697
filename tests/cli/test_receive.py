"""`mlflow-otel receive` shows each trace as it ends, whatever the order and however many come."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.cli.live import ORPHAN_SECONDS, QUIET_SECONDS, LiveTraces
from mlflow_otel.settings import OtlpSettings


def span(trace, number, parent="", session=None, **attributes):
    found = {"session.id": session, **attributes} if session else attributes
    return {
        "trace_id": f"{trace:032x}",
        "span_id": f"{number:016x}",
        "parent_span_id": parent,
        "name": f"span {number}",
        "start_time": number,
        "end_time": number + 1,
        "status": "UNSET",
        "status_message": "",
        "attributes": found,
        "resource": {},
        "events": [],
    }


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 8)), max_size=40), st.data()
)
def test_every_span_is_shown_once_whatever_the_order_and_the_pauses(arrivals, data):
    clock = Clock()
    live = LiveTraces(clock=clock)
    sent, shown = [], []
    for number, (trace, is_root, pause) in enumerate(arrivals):
        live.add("traces", [span(trace, number, "" if is_root else "f" * 16)])
        sent.append(number)
        clock.now += pause
        if data.draw(st.booleans()):
            shown += [s["start_time"] for found in live.due() for s in found.spans]
    shown += [s["start_time"] for found in live.due(everything=True) for s in found.spans]
    assert sorted(shown) == sent
    assert live.forgotten() == 0


def test_a_trace_is_shown_when_its_root_has_come_and_nothing_follows():
    clock = Clock()
    live = LiveTraces(clock=clock)
    live.add("traces", [span(1, 2, f"{1:016x}")])
    clock.now += QUIET_SECONDS
    assert live.due() == [], "its root has not come"
    live.add("traces", [span(1, 1)])
    assert live.due() == [], "more may follow"
    clock.now += QUIET_SECONDS
    (found,) = live.due()
    assert len(found.spans) == 2
    assert not found.more


def test_a_trace_whose_root_never_comes_is_shown_after_a_while():
    clock = Clock()
    live = LiveTraces(clock=clock)
    live.add("traces", [span(1, 2, "f" * 16)])
    clock.now += ORPHAN_SECONDS
    assert len(live.due()) == 1


def test_a_verdict_is_shown_once_though_it_comes_as_event_and_as_span():
    live = LiveTraces()
    judged = {
        "gen_ai.evaluation.name": "tone",
        "gen_ai.evaluation.score.label": "kind",
        "mlflow.assessment.id": "a-1",
    }
    live.add("traces", [span(1, 1), span(1, 3, f"{1:016x}", **judged)])
    live.add("logs", [span(1, 1, **judged)])
    (found,) = live.due(everything=True)
    assert [verdict.value for verdict in found.verdicts] == ["kind"]
    live.add("logs", [span(1, 1, **judged)])
    assert live.due(everything=True) == []


def test_what_waits_is_bounded_and_the_oldest_is_forgotten_and_counted():
    live = LiveTraces(spans_kept=10)
    for number in range(25):
        live.add("traces", [span(number, number)])
    assert [found.spans[0]["start_time"] for found in live.due(everything=True)] == [*range(15, 25)]
    assert live.forgotten() == 15


@contextlib.contextmanager
def receiving(*options):
    """A running `mlflow-otel receive`; yields its endpoints and a queue of the lines it prints."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mlflow_otel",
            "receive",
            "--grpc-port",
            "0",
            "--http-port",
            "0",
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    lines = queue.Queue()
    threading.Thread(target=lambda: [*map(lines.put, process.stdout)], daemon=True).start()
    try:
        endpoints = dict(lines.get(timeout=60).split() for _ in range(2))
        yield endpoints, lines, process
    finally:
        process.kill()
        process.wait()


def send(endpoint, name, session, number=1):
    exporter = MlflowSpanExporter(Settings(traces=OtlpSettings(endpoint)))
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    for _ in range(number):
        with tracer.start_as_current_span(name, attributes={"session.id": session}):
            pass
    assert exporter.force_flush(30_000)
    exporter.shutdown()


def until(lines, wanted):
    read = []
    while True:
        read.append(lines.get(timeout=60))
        if wanted in read[-1]:
            return read


def test_a_trace_is_printed_while_the_command_goes_on_and_an_interrupt_ends_it_quietly():
    with receiving() as (endpoints, lines, process):
        send(endpoints["grpc"], "first", "s-1")
        assert any("session s-1" in line for line in [*until(lines, "session s-1")])
        send(endpoints["grpc"], "second", "s-2")
        until(lines, "session s-2")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_traces_are_grouped_by_session_on_request():
    with receiving("--by-session") as (endpoints, lines, process):
        for session in ("s-1", "s-2", "s-1"):
            send(endpoints["grpc"], "turn", session)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        headed = [line.strip() for line in until(lines, "== session s-2") if line.startswith("==")]
        assert headed == ["== session s-1", "== session s-2"]


@pytest.mark.parametrize("port", ["--grpc-port", "--http-port"])
def test_a_busy_port_is_one_line(port, receiver):
    busy = receiver.grpc_port if port == "--grpc-port" else receiver.http_port
    other = "--http-port" if port == "--grpc-port" else "--grpc-port"
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_otel", "receive", port, str(busy), other, "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (said,) = [
        line
        for line in done.stderr.splitlines()
        if "mlflow" in line or "Cannot" in line or "Traceback" in line
    ]
    assert "--grpc-port 0 --http-port 0" in said
