"""What stands behind ``MlflowSpanProcessor``: how much may wait there, and how long a flush waits."""

from __future__ import annotations

import contextlib
import operator
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter

from mlflow_otel.accounting import Accounting
from mlflow_otel.export.exporter import MlflowSpanExporter
from mlflow_otel.export.mapped import BatchContext, MappedSpan
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import otel_adapter
from mlflow_otel.waiting import call_with_timeout

SETTLING_SECONDS: Final = 1.0  # of a shutdown's time: to spool and count what was not delivered


class NextProcessor:
    """Hands spans on to the next ``SpanProcessor``, if there is room for them.

    The lock guards what is counted here. It is never held while the next processor runs, because
    that may take long. A forked child begins with a new lock and nothing on its way.

    Args:
        next: The SDK's batching, as a rule.
        max_bytes: Bytes that may wait to be read.
        accounting: Gets ``dropped`` and ``dropped.*``.
    """

    def __init__(
        self,
        next: SpanProcessor,  # noqa: A002 (the pipeline's word)
        max_bytes: int,
        accounting: Accounting,
    ) -> None:
        self.next = next
        self._max_bytes = max_bytes
        self._accounting = accounting
        self._closed = False
        self._queues = otel_adapter.queues(next)
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Forget what is on its way. Called at first, and in a forked child, where the SDK empties its queue."""
        self._lock = threading.RLock()
        self._handed_on = threading.Condition(self._lock)
        self._flushes = 0  # how many wait for ``_handed_on``
        self._handing_on: list[
            Iterator[ReadableSpan]
        ] = []  # one iterator for each thread that hands on now
        self._waiting_bytes = 0  # handed on and not read yet
        self._read: deque[int] = deque()  # sizes of what was read since
        self._lost = 0  # since the last flush

    def hand_on(self, spans: list[ReadableSpan], batch: BatchContext) -> int:
        """Hand spans on, as a batch. Spans for which there is no room are dropped and counted.

        Returns:
            How many spans were handed on.
        """
        with self._lock:
            room = min(self._room(), len(spans))
            lost = len(spans) - room
            if lost:
                batch.size = batch.size * room // len(spans)  # what is dropped does not wait
                spans = spans[:room]
                self._lost += lost
            self._waiting_bytes += batch.size
            batch.read = self._read
            left = iter(spans)
            self._handing_on.append(left)
        try:
            on_end = self.next.on_end
            for span in left:
                on_end(MappedSpan(span, batch))
        finally:
            with self._lock:
                self._handing_on.remove(left)
                if self._flushes:
                    self._handed_on.notify_all()
        if lost:
            self._drop(lost)
        return room

    def _room(self) -> int:
        """Return for how many spans there is room now. The caller holds the lock."""
        if not self._handing_on and not any(self._queues):
            # Nothing waits. An exporter may leave spans unread, so what was counted for them is
            # forgotten. What it reads later counts in the old list, which nobody looks at.
            self._waiting_bytes, self._read = 0, deque()
        while self._read:
            self._waiting_bytes -= self._read.popleft()
        if self._closed or self._waiting_bytes > self._max_bytes:
            return 0
        room = sys.maxsize
        for queue in self._queues:
            if queue.maxlen is not None:
                room = min(room, queue.maxlen - len(queue))
        # Other threads may be handing on. Each has the rest of its iterator, and one span on its way.
        for left in self._handing_on:
            room -= operator.length_hint(left) + 1
        return max(room, 0)

    def _drop(self, number: int) -> None:
        # The newest are dropped here: a full queue would drop its oldest, and count nothing.
        self._accounting.count("dropped", number)
        if self._closed:
            self._accounting.warn(
                "dropped.already_shutdown",
                "Spans that end after shutdown() are dropped. Call shutdown() last.",
                number=number,
            )
            return
        self._accounting.warn(
            "dropped.queue_full",
            "Spans are dropped, because too many wait for export. Check the backend with "
            "`mlflow-otel doctor`. OTEL_BSP_MAX_QUEUE_SIZE and MLFLOW_OTEL_MAX_HELD_BYTES set how "
            "much may wait.",
            number=number,
        )

    def stats(self) -> dict[str, int]:
        """Return ``queued``, ``in_flight`` and ``spooled``: spans."""
        ours = [e for e in otel_adapter.exporters(self.next) if isinstance(e, MlflowSpanExporter)]
        return {
            "queued": sum(len(queue) for queue in self._queues),
            "in_flight": sum(exporter.in_flight for exporter in ours),
            "spooled": sum(exporter.spooled for exporter in ours),
        }

    def force_flush(self, seconds: float) -> bool:
        """Flush. True only if everything since the last flush was accepted in time."""
        until = time.monotonic() + seconds
        handed_on = self._all_handed_on(until)
        with self._lock:
            lost, self._lost = self._lost, 0
        seconds = max(until - time.monotonic(), 0.0)
        flushed = call_with_timeout(seconds, lambda: self.next.force_flush(int(seconds * 1000)))
        arrived = [
            exporter.force_flush(max(int((until - time.monotonic()) * 1000), 0))
            for exporter in otel_adapter.exporters(self.next)
        ]
        return handed_on and flushed is True and all(arrived) and not lost

    def _all_handed_on(self, until: float) -> bool:
        """Wait for what other threads are handing on now. False when that takes too long."""
        with self._lock:
            awaited = list(self._handing_on)
            self._flushes += 1
            try:
                while any(left in self._handing_on for left in awaited):
                    seconds = until - time.monotonic()
                    if seconds <= 0:
                        return False
                    self._handed_on.wait(seconds)
            finally:
                self._flushes -= 1
        return True

    def shutdown(self, seconds: float) -> None:
        """Shut down the next processor, in ``seconds``. What is left then is counted as dropped."""
        self._closed = True
        for exporter in otel_adapter.exporters(self.next):
            if isinstance(exporter, MlflowSpanExporter):
                exporter.stop_by(max(seconds - SETTLING_SECONDS, seconds / 2))
        call_with_timeout(seconds, self.next.shutdown)
        left = 0
        for queue in self._queues:
            with contextlib.suppress(
                IndexError
            ):  # one by one: the SDK's thread may still take some
                while True:
                    queue.pop()
                    left += 1
        if left:
            self._accounting.count("dropped", left)
            self._accounting.warn(
                "dropped.shutdown",
                "%d spans were dropped, because they could not be exported in the time that "
                "shutdown() has. Set MLFLOW_OTEL_SPOOL_DIR to keep such spans for the next start.",
                left,
                number=left,
            )


def batched(exporter: SpanExporter, settings: Settings) -> SpanProcessor:
    """Return the SDK's processor for an exporter: it exports in batches, or each span as it ends.

    A trace's spans are handed on all at once. So the queue has room for two of the largest traces
    that are held, unless ``OTEL_BSP_MAX_QUEUE_SIZE`` is set. The SDK's default of 2048 would drop
    spans of larger traces.
    """
    if not settings.asynchronous:
        return SimpleSpanProcessor(exporter)
    set_by_user = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip()
    return BatchSpanProcessor(
        exporter,
        max_queue_size=None if set_by_user else max(2048, 2 * settings.max_spans_per_trace),
    )
