"""Pieces from Kafka: a piece is done with when all that came of it was handed on, and another bridge can go on."""

from __future__ import annotations

import itertools
import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge.pieces import Piece, headers
from mlflow_otel.bridge.taking import Taking
from mlflow_otel.export.guards import Guards
from mlflow_otel.receiver.kafka import Record
from mlflow_otel.receiver.offsets import Offsets, Place, Progress, read
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.receiver.tickets import Ticket
from mlflow_otel.settings import Settings
from tests.bridge.parts import RESOURCE, Part, info_body, otlp_span

PLACE = Place("pieces", 0)
FLUSH_SECONDS = 30
NEW_TRACES = itertools.count(2**100)


@pytest.fixture(scope="module")
def sink():
    with Receiver() as receiver:
        yield receiver


class Reader:
    """One of the bridges that read a partition: its pieces in order, and what it is done with."""

    def __init__(self, sink, seconds=60):
        self.offsets = Offsets()
        accounting = Accounting()
        own = Settings.from_environment(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.grpc_endpoint,
                "MLFLOW_TRACE_TIMEOUT_SECONDS": str(seconds),
            }
        )
        self.taking = Taking(own, Guards.of(own, accounting).options, accounting)
        self.accounting = accounting

    def read(self, offset, piece):
        self.offsets.took(PLACE, offset)
        record = Record(PLACE, offset, piece.value, piece.trace_id.hex().encode(), headers(piece))
        ticket = Ticket(lambda: self.offsets.done(PLACE, offset), PLACE, self.offsets.at_once)
        self.taking.take(record, ticket)

    def committed(self):
        """Return the offsets that another reader leaves out, after a commit as ``Consuming`` does it."""
        finished = self.offsets.finished()
        assert self.taking.flush(FLUSH_SECONDS)
        return finished.get(PLACE)

    def goes(self):
        self.offsets.forget([PLACE])
        self.taking.forget([PLACE])
        self.taking.close(FLUSH_SECONDS)


def spans_of(parts):
    request = ExportTraceServiceRequest()
    for part in parts:
        holder = request.resource_spans.add()
        holder.CopyFrom(RESOURCE)
        holder.scope_spans.add().spans.append(otlp_span(part))
    return Piece(
        "spans", parts[0].trace.to_bytes(16, "big"), request.SerializeToString(), "7", "by name"
    )


def info_of(trace):
    body = json.dumps(info_body(trace, tags={"env": "prod"})).encode()
    return Piece("trace_info", trace.to_bytes(16, "big"), body, "7", "by name")


def there(sink, traces):
    """Return how often each span of these traces is behind the bridges."""
    found = {}
    named = {f"{trace:032x}" for trace in traces}
    for span in sink.store.spans():
        if span["trace_id"] in named and span["name"] != "trace update":
            key = (int(span["trace_id"], 16), int(span["span_id"], 16))
            found[key] = found.get(key, 0) + 1
    return found


@settings(max_examples=15, deadline=None)
@given(
    order=st.permutations([(t, n) for t in range(4) for n in range(4)]),
    twice=st.lists(st.integers(0, 15), max_size=3),
    cut=st.integers(0, 16),
)
def test_another_bridge_goes_on_where_one_ended_and_each_span_arrives_once(sink, order, twice, cut):
    traces = [next(NEW_TRACES) for _ in range(4)]
    log = []
    for t, n in order:
        trace = traces[t]
        log.append(
            (info_of(trace), [])
            if n == 3
            else (spans_of([Part(trace, n + 1, 0 if n == 0 else 1)]), [(trace, n + 1)])
        )
    log += [log[n] for n in twice]
    one = Reader(sink, seconds=1)
    for offset, (piece, _) in enumerate(log[:cut]):
        one.read(offset, piece)
    progress = one.committed()
    other = Reader(sink, seconds=1)
    start = 0
    if progress is not None:
        other.offsets.skip(PLACE, progress)
        start = progress.offset
    done = {n for n in range(cut) if n < start or other.offsets.is_done(PLACE, n)}
    delivered = there(sink, traces)
    assert {span for n in done for span in log[n][1]} <= set(delivered)
    one.goes()
    for offset, (piece, _) in enumerate(log):
        if offset not in done:
            other.read(offset, piece)
    # Spans whose trace was finished by the first bridge wait for their root until they are old.
    until = time.monotonic() + FLUSH_SECONDS
    while other.offsets.under_way and time.monotonic() < until:
        time.sleep(0.05)
    assert other.taking.flush(FLUSH_SECONDS)
    arrived = there(sink, traces)
    assert set(arrived) == {(trace, n + 1) for trace in traces for n in range(3)}
    resent = {span for n in twice for span in log[n][1]}
    assert {span for span, number in arrived.items() if number > 1} <= resent
    assert not other.taking.stats().get("dropped")
    other.goes()


def test_what_cannot_be_read_is_left_out_and_the_partition_goes_on(sink):
    reader = Reader(sink)
    identity = (5).to_bytes(16, "big")
    for offset, piece in enumerate(
        [
            Piece("spans", identity, b"\x0a\xff no OTLP"),
            Piece("trace_info", identity, b"[]"),
            Piece("tags", identity, b"{"),
            Piece("tags", identity, b'{"set": [1]}'),
            Piece("assessment", identity, b'{"operation": "create"}'),
            Piece("assessment", b"", b'{"operation": "create", "document": {}}'),
            Piece("trace_info", identity, b'{"trace": {"trace_info": {"trace_id": 3}}}'),
        ]
    ):
        reader.read(offset, piece)
    reader.taking.take(Record(PLACE, 7, b"", b"\xff", {"mlflow-otel.schema": "99"}), Ticket(list))
    assert reader.committed().offset == 7
    assert reader.accounting.snapshot()["kafka.unreadable"] >= 6
    reader.goes()


def test_a_tag_and_an_assessment_sent_twice_leave_with_the_same_ids(sink):
    reader = Reader(sink)
    trace = next(NEW_TRACES)
    identity = trace.to_bytes(16, "big")
    document = {
        "assessment_id": "a-1",
        "assessment_name": "good",
        "trace_id": f"tr-{trace:032x}",
        "create_time": "2026-11-26T12:00:00Z",
        "last_update_time": "2026-11-26T12:00:00Z",
        "feedback": {"value": True},
        "source": {"source_type": "HUMAN", "source_id": "ann"},
    }
    said = {
        "operation": "create",
        "document": document,
        "root": 9,
        "stamp": {"session.id": "s-9"},
    }
    for _ in range(2):  # as after a restart: the same records once more
        for offset, piece in enumerate(
            [
                Piece("tags", identity, b'{"set": {"later": "yes"}, "deleted": ["gone"]}'),
                Piece("assessment", identity, json.dumps(said).encode()),
            ]
        ):
            reader.read(offset, piece)
    assert reader.taking.flush(FLUSH_SECONDS)
    spans = [s for s in sink.store.spans() if s["trace_id"] == f"{trace:032x}"]
    assert len(spans) == 4
    assert len({span["span_id"] for span in spans}) == 2
    judged = next(s for s in spans if "gen_ai.evaluation.name" in s["attributes"])
    assert judged["attributes"]["session.id"] == "s-9"
    assert judged["parent_span_id"] == f"{9:016x}"
    tagged = next(s for s in spans if s["name"] == "trace update")
    assert tagged["attributes"]["mlflow.traceTag.later"] == "yes"
    assert tagged["attributes"]["mlflow.trace.removed_tags"] == ["gone"]
    reader.goes()


class Watched(Offsets):
    """Offsets at which another thread looks after each change, as the one that commits may."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def done(self, place, offset):
        super().done(place, offset)
        other = threading.Thread(target=self._look)
        other.start()
        other.join()

    def _look(self):
        if self.at_once.acquire(
            blocking=False
        ):  # else that thread would wait, and see a later state
            try:
                progress = self._progress(PLACE)
            finally:
                self.at_once.release()
            self.seen.append(
                {n for run in read(progress) for n in run} | set(range(progress.offset))
            )


@settings(max_examples=30, deadline=None)
@given(order=st.permutations([(t, n) for t in range(3) for n in range(3)]))
def test_a_commit_never_has_a_part_of_a_trace(sink, order):
    traces = [next(NEW_TRACES) for _ in range(3)]
    reader = Reader(sink)
    reader.offsets = Watched()
    children = [n for n, (_, kind) in enumerate(order) if kind == 1]
    for offset, (t, kind) in enumerate(order):
        piece = (
            info_of(traces[t])
            if kind == 2
            else spans_of([Part(traces[t], kind + 1, int(kind == 1))])
        )
        reader.read(offset, piece)
    assert reader.committed() == Progress(len(order))
    for done in reader.offsets.seen:
        for t in range(3):
            whole = {n for n, (trace, _) in enumerate(order) if trace == t and n not in children}
            assert not whole & done or whole <= done  # a child that came later is done with later
    reader.goes()
