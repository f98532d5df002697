"""A bridge with workers: each trace is in one of them, whatever it comes by, and one that dies is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import Future

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import frames
from mlflow_otel.bridge.link import Link
from mlflow_otel.bridge.soon import after, all_of, now
from mlflow_otel.bridge.workers import Workers
from mlflow_otel.cli import bridge_worker
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.receiver.server import Receiver
from tests.bridge.parts import Part, info_body, otlp_span, traces_json
from tests.bridge.running import running
from tests.bridge.test_http import API, PROTOBUF, request

WORKERS = 2


@pytest.fixture(scope="module")
def bridge():
    with running("--workers", str(WORKERS)) as started:
        yield started


@pytest.fixture
def http(bridge):
    with httpx.Client(base_url=bridge.http, timeout=60) as client:
        yield client


def new_trace(worker=None):
    """A trace's ID, of the worker that is wanted."""
    while True:
        trace = random.getrandbits(128) | 1
        if worker in (None, zlib.crc32(trace.to_bytes(16, "big")) % WORKERS):
            return trace


def post(http, *parts):
    body = request(*map(otlp_span, parts)).SerializeToString()
    http.post("/v1/traces", content=body, headers=PROTOBUF).raise_for_status()


def counted(http):
    lines = http.get("/metrics").text.splitlines()[1:]
    return Counter({line.split('"')[1]: int(line.split()[-1]) for line in lines})


def settled(http, met):
    """The counters, once they are so."""
    until = time.monotonic() + 60
    while not met(found := counted(http)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def test_parts_of_a_trace_meet_whichever_connection_they_come_by(bridge):
    traces = [new_trace(n % WORKERS) for n in range(8)]
    before = len(bridge.receiver.store.spans())
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(httpx.Client(base_url=bridge.http, timeout=60)) for _ in range(10)
        ]
        # Spans of all traces are in each of these requests.
        post(clients[0], *(Part(trace, 2, 1) for trace in traces))
        for number, trace in enumerate(traces):
            clients[number % 10].post(f"{API}/traces", json=info_body(trace)).raise_for_status()
        post(clients[9], *(Part(trace, 1, 0) for trace in traces))
        spans = bridge.spans(before + 16)[before:]
        assert len(spans) == 16
        assert {span["attributes"]["session.id"] for span in spans} == {"s-1"}
        for trace in traces:
            answer = clients[3].post(f"{API}/traces", json=info_body(trace)).json()
            tags = answer["trace"]["trace_info"]["tags"]
            assert tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert len(bridge.workers()) == WORKERS


def test_what_all_workers_remember_is_read_as_one(bridge, http):
    traces = [new_trace(0), new_trace(1)]
    at = time.time_ns()
    for number, trace in enumerate(traces):
        http.post(f"{API}/traces", json=info_body(trace, client_request_id="asked twice"))
        span = otlp_span(Part(trace, 1, 0))
        span.start_time_unix_nano = span.end_time_unix_nano = at + number
        body = request(span).SerializeToString()
        http.post("/v1/traces", content=body, headers=PROTOBUF).raise_for_status()
    said = {"filter": "trace.client_request_id = 'asked twice'", "max_results": 10}
    found = http.post(f"{API}/traces/search", json=said).json()["traces"]
    assert {one["trace_id"] for one in found} == {f"tr-{trace:032x}" for trace in traces}
    for trace in traces:
        whole = http.get(f"{API}/traces/get", params={"trace_id": f"tr-{trace:032x}"}).json()
        assert len(whole["trace"]["spans"]) == 1
    verdict = {
        "client_request_id": "asked twice",
        "assessment_name": "correct",
        "feedback": {"value": True},
    }
    judged = http.post("/v1/feedback", json=verdict).json()["assessment"]
    assert judged["trace_id"] == f"tr-{traces[1]:032x}", "the newest trace of the request"
    read = http.get(f"{API}/traces/tr-{traces[1]:032x}").json()["trace"]["trace_info"]
    assert [one["assessment_name"] for one in read["assessments"]] == ["correct"]


def test_a_worker_that_is_killed_is_replaced_and_what_it_held_is_counted_as_lost(bridge, http):
    name = {"experiment_name": "told again"}
    found = http.get("/api/2.0/mlflow/experiments/get-by-name", params=name).json()
    place = {
        "type": "MLFLOW_EXPERIMENT",
        "mlflow_experiment": {"experiment_id": found["experiment"]["experiment_id"]},
    }
    before = settled(http, lambda found: not found["in_flight"])
    doomed, spared = [new_trace(0) for _ in range(20)], new_trace(1)
    for trace in (*doomed, spared):  # no root and no TraceInfo: they are held
        post(http, Part(trace, 2, 1))
    killed, other = sorted(bridge.workers())
    os.kill(killed, signal.SIGSTOP)
    asked = new_trace(0)
    answers = []

    def ask():
        with httpx.Client(base_url=bridge.http, timeout=60) as client:
            post(client, Part(asked, 1, 0))
            said = info_body(asked, trace_location=place)
            answers.append(client.post(f"{API}/traces", json=said).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    os.kill(killed, signal.SIGKILL)
    asking.join()
    assert answers == [200], "the next one took what this one had not taken"
    (arrived,) = bridge.spans(1, trace_id=f"{asked:032x}")
    assert arrived["attributes"]["mlflow.experiment.name"] == "told again"
    found = settled(http, lambda found: not found["in_flight"])
    assert found["workers.restarted"] == 1
    assert found["dropped.worker"] == found["dropped"] == len(doomed)
    assert found["received.traces"] - before.get("received.traces", 0) == len(doomed) + 2
    assert found["exported"] - before.get("exported", 0) == 1
    assert found["held.items"] == 1
    assert other in bridge.workers()
    http.post(f"{API}/traces", json=info_body(spared)).raise_for_status()
    post(http, Part(spared, 1, 0))
    assert len(bridge.spans(2, trace_id=f"{spared:032x}")) == 2


def test_what_is_uploaded_again_after_its_worker_died_leaves_once(bridge, http):
    trace = new_trace(0)
    file = f"/api/2.0/mlflow-artifacts/artifacts/7/traces/tr-{trace:032x}/artifacts/traces.json"
    body = traces_json([Part(trace, 1, 0), Part(trace, 2, 1)])
    http.put(file, json=body).raise_for_status()
    http.post(f"{API}/traces", json=info_body(trace)).raise_for_status()
    assert len(bridge.spans(2, trace_id=f"{trace:032x}")) == 2
    before = settled(http, lambda found: not found["in_flight"])
    for killed in bridge.workers():
        os.kill(killed, signal.SIGKILL)
    settled(
        http,
        lambda found: found["workers.restarted"] == before.get("workers.restarted", 0) + WORKERS,
    )
    http.put(file, json=body).raise_for_status()
    found = settled(http, lambda found: not found["in_flight"] and not found["held.items"])
    assert found["duplicates"] == before.get("duplicates", 0) + 2
    assert len(bridge.spans(2, trace_id=f"{trace:032x}")) == 2


def test_ctrl_c_reaches_the_workers_too_and_what_they_hold_is_still_delivered(bridge, http):
    traces = [new_trace(0), new_trace(1)]
    for trace in traces:
        http.post(f"{API}/traces", json=info_body(trace)).raise_for_status()
        post(http, Part(trace, 2, 1))
    os.killpg(bridge.process.pid, signal.SIGINT)
    assert bridge.process.wait(60) == 0
    for trace in traces:
        (span,) = bridge.spans(1, trace_id=f"{trace:032x}")
        assert span["attributes"]["session.id"] == "s-1"


SAID = st.recursive(
    st.none() | st.integers() | st.binary() | st.text() | st.dictionaries(st.text(), st.integers()),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=5,
)


@given(
    st.lists(st.tuples(st.integers(0, 2**40), st.text(max_size=9), st.lists(SAID, max_size=3))),
    st.lists(st.integers(1, 40)),
)
def test_frames_arrive_whole_and_in_order_however_the_socket_cuts_them(asked, cuts):
    sent = [frames.Asked(number, kind, tuple(said)) for number, kind, said in asked]
    row = b"".join(map(frames.frame, sent))
    buffer, came = bytearray(), []
    for size in [*cuts, len(row)]:
        buffer += row[:size]
        row = row[size:]
        came += frames.cut(buffer)
    assert [frames.Asked(*one) for one in came] == sent
    assert not buffer


def test_what_comes_soon_is_worked_on_when_it_is_there():
    assert after(2, lambda number: number + 1) == 3
    first, second = Future(), Future()
    both = after(all_of([first, second]), sum)
    second.set_result(2)
    assert not both.done()
    first.set_result(1)
    assert now(both) == 3
    failed = Future()
    failed.set_exception(KeyError("gone"))
    with pytest.raises(KeyError):
        now(after(failed, str))


def test_a_killed_worker_has_delivered_nothing_that_it_did_not_answer(monkeypatch):
    """What is not answered is asked again, of the next worker."""
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
        ours, theirs = socket.socketpair()
        # Nobody reads the answers, and there is room for few: the worker soon waits with some that it took.
        for end in (ours, theirs):
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, buffer, 1)
        with ours, theirs:
            worker = bridge_worker.start(theirs.fileno(), 1, 1.0, "text")
            theirs.close()
            buffer = bytearray(ours.recv(2**16))  # it works
            asked = {}
            ours.settimeout(3)
            with contextlib.suppress(TimeoutError):
                for number in range(1, 100_000):
                    trace = asked[number] = new_trace()
                    others = otlp_span(Part(trace, 1, 0))
                    del others.attributes[:]
                    body = request(others).SerializeToString()
                    ours.sendall(frames.frame(frames.Asked(number, "spans", (body, None))))
            worker.kill()
            worker.wait()
            with contextlib.suppress(ConnectionResetError):
                while came := ours.recv(2**16):
                    buffer += came
        answered = {f"{asked[one[0]]:032x}" for one in frames.cut(buffer) if one[0]}
        assert 0 < len(answered) < len(asked) - 1
        assert {span["trace_id"] for span in receiver.store.spans()} <= answered


ANSWERS_ONCE = """
import socket, sys
from mlflow_otel.bridge.frames import Answered, Asked, cut, frame
own, buffer = socket.socket(fileno=int(sys.argv[1])), bytearray()
own.sendall(frame(Answered(0, {})))
while True:
    buffer += own.recv(2**16)
    for number, kind, said in cut(buffer):
        if number:
            own.sendall(frame(Answered(number, said[0])))
            sys.exit()
"""


def test_the_last_answer_of_a_worker_counts_although_a_write_finds_it_dead():
    def start(own):
        started.append(
            subprocess.Popen([sys.executable, "-c", ANSWERS_ONCE, str(own)], pass_fds=[own])
        )
        return started[-1]

    async def asked():
        link = Link(start, lambda: frames.Asked(0, "learn", ([],)), Accounting())
        await link.open()
        first = link.ask("spans", "the first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it is written
        started[0].wait()  # the answer is there, and nobody read it
        second = link.ask("spans", "the second")
        found = [await asyncio.wrap_future(one) for one in (first, second)]
        await link.close(1)
        return found

    started = []
    assert asyncio.run(asked()) == ["the first", "the second"]
    assert len(started) == 2, "the first was asked once"


def test_a_worker_that_hangs_is_ended_and_another_one_answers():
    started = []

    def start(own):
        started.append(bridge_worker.start(own, 1, 1.0, "text"))
        return started[-1]

    async def asked():
        accounting = Accounting()
        workers = Workers(1, start, MappingOptions(), accounting, 10**6, silent=2.4)
        async with workers.working(5):
            await asyncio.to_thread(workers.of_all, "tell")
            started[0].send_signal(signal.SIGSTOP)
            await asyncio.to_thread(workers.of_all, "tell")
        return accounting.snapshot()

    counted = asyncio.run(asked())
    assert (counted["workers.hung"], counted["workers.restarted"]) == (1, 1)
    assert len(started) == 2
    assert started[0].returncode == -signal.SIGKILL
