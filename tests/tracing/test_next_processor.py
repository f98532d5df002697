"""Handing spans on: room is never overfilled, and nobody waits for somebody else's exporter."""

from __future__ import annotations

import collections
import threading

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from mlflow_otel import MlflowSpanProcessor, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.export.mapped import BatchContext
from mlflow_otel.tracing.next_processor import NextProcessor

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("app")


def ended():
    span = TRACER.start_span("s")
    span.end()
    return span


class Gate(SpanProcessor):
    """Takes each span only when the gate is open."""

    def __init__(self):
        self.entered, self.gate, self.took = threading.Event(), threading.Event(), []

    def on_end(self, span):
        self.entered.set()
        self.gate.wait()
        self.took.append(span)

    def force_flush(self, timeout_millis=30000):
        return True  # the base class's says nothing up to SDK 1.34


def test_a_flush_comes_back_in_time_while_a_thread_waits_for_the_next_processor():
    behind = Gate()
    accounting = Accounting()
    processor = MlflowSpanProcessor(behind, Settings(), accounting=accounting)
    thread = threading.Thread(target=processor.hand_on, args=(ended(),))
    thread.start()
    behind.entered.wait()
    assert processor.force_flush(50) is False  # the gate is still shut
    assert processor.stats()["held.spans"] == 0
    behind.gate.set()
    thread.join()
    assert processor.force_flush(10_000) is True
    assert len(behind.took) == 1


def test_a_flush_waits_for_what_another_thread_is_handing_on():
    behind = Gate()
    processor = MlflowSpanProcessor(behind, Settings(), accounting=Accounting())
    thread = threading.Thread(target=processor.hand_on, args=(ended(),))
    thread.start()
    behind.entered.wait()
    flushed = []
    flush = threading.Thread(
        target=lambda: flushed.append((processor.force_flush(60_000), len(behind.took)))
    )
    flush.start()
    behind.gate.set()
    flush.join()
    thread.join()
    assert flushed == [(True, 1)]


def test_a_processor_that_hands_a_span_on_itself_does_not_wait_for_itself():
    class Again(SpanProcessor):
        took = 0

        def on_end(self, span):
            self.took += 1
            if self.took == 1:
                processor.hand_on(ended())

    behind = Again()
    processor = MlflowSpanProcessor(behind, Settings(), accounting=Accounting())
    processor.hand_on(ended())
    assert behind.took == 2


@pytest.mark.parametrize("size", [1, 7, 50])
def test_threads_that_hand_on_together_never_overfill_the_queue(size):
    """The SDK would drop the oldest span of a full queue without telling us."""
    gate, exported = threading.Event(), []

    class Waits(SpanExporter):
        def export(self, spans):
            gate.wait()
            exported.extend(spans)
            return SpanExportResult.SUCCESS

    accounting = Accounting()
    behind = BatchSpanProcessor(Waits(), max_queue_size=100, max_export_batch_size=10)
    following = NextProcessor(behind, 10**9, accounting)
    start, rooms = threading.Barrier(8), []

    def work():
        start.wait()
        for spans in [[ended() for _ in range(size)] for _ in range(100 // size)]:
            rooms.append(following.hand_on(spans, BatchContext(size=size)))  # noqa: PERF401

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gate.set()
    behind.shutdown()
    dropped = accounting.snapshot()["dropped"]
    assert sum(rooms) + dropped == 8 * size * (100 // size)
    assert len(exported) == sum(rooms)  # whatever there was room for left
    assert sum(rooms) >= 100  # and the queue was used


def test_what_an_exporter_reads_after_the_queue_was_found_empty_does_not_count_twice():
    read = threading.Event()

    class ReadsLate(SpanExporter):
        """Reads what it was given when it is asked for the next."""

        def __init__(self):
            self.kept = []

        def export(self, spans):
            for span in self.kept:
                assert span.name
            self.kept = list(spans)
            read.set()
            return SpanExportResult.SUCCESS

    behind = BatchSpanProcessor(ReadsLate())
    following = NextProcessor(behind, 10**9, Accounting())
    for _ in range(5):
        following.hand_on([ended()], BatchContext(size=1000))
        behind.force_flush()
    following.hand_on([], BatchContext())
    assert following._waiting_bytes >= 0
    behind.shutdown()


def test_what_the_sdks_thread_takes_at_the_last_moment_is_not_counted_as_dropped():
    class Racing(collections.deque):
        """The SDK's thread takes a span whenever somebody looks how many there are."""

        def __len__(self):
            number = super().__len__()
            if shutting_down and number:
                taken.append(self.pop())
            return number

    class Nothing(SpanExporter):
        def export(self, spans):
            taken.extend(spans)
            return SpanExportResult.SUCCESS

    shutting_down, taken, accounting = [], [], Accounting()
    batching = BatchSpanProcessor(Nothing(), schedule_delay_millis=600_000)
    batching.shutdown()  # no thread takes part
    batching._batch_processor._queue = Racing(range(10), 2048)
    next_processor = NextProcessor(batching, 10**9, accounting)
    shutting_down.append(True)
    next_processor.shutdown(0.0)
    assert len(taken) + accounting.snapshot().get("dropped", 0) == 10
