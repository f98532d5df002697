"""The way from what leaves to its delivery: a bounded queue, and a thread that empties it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery.signal_delivery import SignalDelivery
from mlflow_otel.otlp.envelope import Group
from mlflow_otel.settings import Settings, Signal

BATCH_BYTES: Final = 1024 * 1024
"""What waits is handed to the delivery together, up to about so much."""


class Waiting(NamedTuple):
    """What waits to be mapped, encoded and delivered.

    Args:
        groups: Returns it encoded.
        number: How many items it is.
        size: Bytes it takes up.
    """

    groups: Callable[[], list[Group]]
    number: int
    size: int


class Outlet:
    """Delivers one signal. Nothing here raises; what cannot be sent is counted.

    The condition guards the queue. Mapping and delivery are done in the thread, without it.

    Args:
        signal: What is delivered.
        settings: Where to, and how.
        accounting: Gets the counters, those of ``SignalDelivery``.
        optional: As of ``SignalDelivery``.
    """

    def __init__(
        self,
        signal: Signal,
        settings: Settings,
        accounting: Accounting,
        *,
        optional: bool = False,
    ) -> None:
        self._signal = signal
        self._accounting = accounting
        self._delivery = SignalDelivery(signal, settings, accounting=accounting, optional=optional)
        self._changed = threading.Condition()
        self._queue: deque[Waiting] = deque()
        self._bytes = 0
        self._number = 0
        self._put = 0
        self._handed_over = 0
        self._closing = False
        self._thread = threading.Thread(
            target=self._work, name=f"mlflow-otel {signal}", daemon=True
        )
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of what was put in and is not yet in a request."""
        return self._bytes

    def put(self, waiting: Waiting) -> None:
        """Take something for delivery."""
        with self._changed:
            if not self._closing:
                self._queue.append(waiting)
                self._bytes += waiting.size
                self._number += waiting.number
                self._put += 1
                self._changed.notify_all()
                return
        self._lost(waiting.number)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    return
                batch = [self._queue.popleft()]
                while self._queue and sum(w.size for w in batch) < BATCH_BYTES:
                    batch.append(self._queue.popleft())
            number = sum(waiting.number for waiting in batch)
            groups = merged(group for waiting in batch for group in self._encoded(waiting))
            if groups:
                self._delivery.deliver(lambda ready=groups: ready, number)  # type: ignore[misc]
            with self._changed:
                self._bytes -= sum(waiting.size for waiting in batch)
                self._number -= number
                self._handed_over += len(batch)
                self._changed.notify_all()

    def _encoded(self, waiting: Waiting) -> list[Group]:
        try:
            return waiting.groups()
        except Exception as error:
            self._accounting.count("dropped", waiting.number)
            self._accounting.warn(
                "dropped.unencodable",
                "%d items could not be encoded and were dropped (%s: %s). Please report it to "
                "mlflow-otel.",
                waiting.number,
                type(error).__name__,
                error,
                number=waiting.number,
            )
            return []

    def _lost(self, number: int) -> None:
        if number:
            self._accounting.count("dropped", number)
            self._accounting.warn(
                "dropped.shutdown",
                "%d items were dropped: this process ended before the backend took them. Set "
                "MLFLOW_OTEL_SPOOL_DIR, and they are kept for the next start.",
                number,
                number=number,
            )

    @property
    def in_flight(self) -> int:
        """Items that wait, or are in requests."""
        return self._number + self._delivery.in_flight

    def flush(self, seconds: float) -> bool:
        """Wait for what was put in; True if all since the last flush was accepted in time."""
        until = time.monotonic() + seconds
        with self._changed:
            awaited = self._put  # what comes meanwhile is for the next flush
            while self._handed_over < awaited:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return self._delivery.force_flush(max(until - time.monotonic(), 0))

    def close(self, seconds: float) -> None:
        """Deliver what was put in, in time; what is left then is spooled, or counted as dropped."""
        until = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(seconds / 2, 0))
        self._delivery.stop_by(max(until - time.monotonic(), 0))
        self._thread.join(seconds + 1)  # it ends by then: nothing is waited for after `stop_by`
        with self._changed:
            left = sum(waiting.number for waiting in self._queue)
            self._queue.clear()
        self._lost(left)
        self._delivery.shutdown()


def merged(groups: Iterable[Group]) -> list[Group]:
    """Return groups, those of one resource and scope as one."""
    found: dict[tuple[bytes, bytes], Group] = {}
    for group in groups:
        known = found.get((group.resource, group.scope))
        if known is None:
            found[group.resource, group.scope] = Group(
                group.resource, group.scope, list(group.items)
            )
        else:
            known.items += group.items
    return list(found.values())
