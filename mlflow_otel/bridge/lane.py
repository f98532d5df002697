"""A lane to the tracking server: requests one after the other, tried again until they are taken.

What the server does not take waits in a spool, if there is one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge.upstream import Asked, Verdict
from mlflow_otel.delivery import retry
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import CorruptError, Entry, Spool

MAX_FAILURES: Final = 5
"""How often a request is tried that the server answers with 500."""
OVERHEAD_BYTES: Final = 1000

Send = Callable[[Asked], Verdict]


class Lane:
    """Sends requests one after the other. Nothing here raises; what is lost is counted.

    A request is in memory, or in the spool; what is in memory is always older than what is in the spool.
    The condition guards both, and the spool is written under it: what comes at the same time keeps its order.

    Args:
        send: Sends a request once and tells what became of it.
        spool: Keeps what the server does not take, or None.
        max_bytes: Of what is in memory.
        accounting: Gets ``upstream.*``.
    """

    def __init__(
        self, send: Send, spool: Spool | None, max_bytes: int, accounting: Accounting
    ) -> None:
        self._send = send
        self._spool = spool
        self._max_bytes = max_bytes
        self._accounting = accounting
        self._changed = threading.Condition()
        self._memory: deque[Asked] = deque()
        self._bytes = 0
        self._flying: Asked | None = None  # of memory: what is being sent
        self._sending: Entry | None = None  # of the spool: the bounds leave it alone
        self._sent: set[str] = set()  # files that are still there
        self._spooled = len(self._entries())
        self._spool_bytes = 0 if spool is None else sum(e.size for e in spool.entries())
        self._listed: deque[Entry] = deque()
        self._failures = 0  # in a row
        self._put = self._spooled
        self._done = 0
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow-otel upstream", daemon=True)
        self._thread.start()

    def put(self, asked: Asked) -> None:
        """Owe a request."""
        size = _size(asked)
        with self._changed:
            if self._stop_at is None:
                full = self._bytes + size > self._max_bytes
                if self._spool is not None and (full or self._spooled):
                    self._spool_memory()
                    kept = self._keep(asked)
                elif full:
                    kept = False
                else:
                    self._memory.append(asked)
                    self._bytes += size
                    kept = True
                if kept:
                    self._put += 1
                    self._changed.notify_all()
                    return
        self._lost(1, "more is owed than may wait")

    def _spool_memory(self) -> None:
        """Move what is in memory to the spool, the oldest first, so that order is kept."""
        while self._memory:
            asked = self._memory.popleft()
            self._bytes -= _size(asked)
            if not self._keep(asked):
                self._put -= 1
                self._lost(1, "it could not be written to MLFLOW_OTEL_SPOOL_DIR")

    def _keep(self, asked: Asked) -> bool:
        assert self._spool is not None  # noqa: S101 (who calls has looked)
        try:
            entry = self._spool.put(Request(asked.encoded(), 1))
        except OSError as error:
            self._say_spool(error)
            return False
        self._spooled += 1
        self._spool_bytes += entry.size
        if self._spool_bytes > self._spool.max_bytes:
            with contextlib.suppress(OSError):  # it is looked at again before it is sent from
                self._drop_old()
        return True

    def _say_spool(self, error: OSError) -> None:
        self._accounting.warn(
            "upstream.spool_failed",
            "What is owed to the MLflow tracking server cannot be written to MLFLOW_OTEL_SPOOL_DIR, or "
            "read from there (%s). Make room, or let this process use it.",
            error,
        )

    def _drop_old(self) -> None:
        assert self._spool is not None  # noqa: S101
        entries = self._spool.entries()
        gone = 0
        for entry in self._spool.over_bounds(entries):
            if entry == self._sending or entry.name in self._sent:
                continue
            if self._spool.remove(entry):
                gone += not entry.corrupt and entry.addressee == self._spool.addressee.fingerprint
                self._spool_bytes -= entry.size
        self._listed.clear()
        if gone:
            self._spooled -= gone
            self._put -= gone
            self._lost(gone, "the spool is full, or it waited too long")

    def _lost(self, number: int, why: str) -> None:
        self._accounting.warn(
            "upstream.dropped",
            "%d requests for the MLflow tracking server were dropped: %s. What went over OTLP is not "
            "touched. Start the server, and read what it lacks from your backend.",
            number,
            why,
            number=number,
        )

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._memory and not self._spooled and self._stop_at is None:
                    self._changed.wait()
                if self._time_is_up() or not (self._memory or self._spooled):
                    return
                asked = self._memory.popleft() if self._memory else None
                self._flying = asked
            if asked is not None:
                self._from_memory(asked)
                continue
            try:
                self._from_spool()
            except OSError as error:
                self._say_spool(error)
                with self._changed:
                    self._failures += 1
                self._pause()

    def _time_is_up(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at

    def _from_memory(self, asked: Asked) -> None:
        later = self._tried(asked) == "later"
        with self._changed:
            if self._flying is None:
                return  # the lane was closed meanwhile
            self._flying = None
            if not later:
                self._bytes -= _size(asked)
            else:
                self._memory.appendleft(asked)
                if self._spool is not None and not self._spooled:
                    self._spool_memory()
        if later:
            self._pause()
        else:
            self._settled()

    def _from_spool(self) -> None:
        assert self._spool is not None  # noqa: S101
        with self._changed:
            if not self._listed:
                self._drop_old()
                self._listed.extend(self._entries())
            entry = self._listed.popleft() if self._listed else None
            self._sending = entry
            if entry is None:  # somebody removed the files
                self._spooled, self._put = 0, self._done
                return
        try:
            asked = Asked.decoded(self._spool.read(entry))
        except (CorruptError, ValueError, OSError) as error:
            self._set_aside(entry, error)
            return
        if self._tried(asked) == "later":
            with self._changed:
                self._sending = None
                self._listed.appendleft(entry)
            self._pause()
            return
        self._sent.add(entry.name)  # first: a file that cannot be removed is not sent again
        self._forget(entry)
        self._settled()
        self._spool.remove(entry)
        self._sent.discard(entry.name)

    def _set_aside(self, entry: Entry, error: Exception) -> None:
        with contextlib.suppress(OSError):
            self._spool.set_aside(entry)  # type: ignore[union-attr]
        self._forget(entry)
        self._lost(1, f"its file cannot be read ({error})")
        self._settled()

    def _entries(self) -> list[Entry]:
        """Return what the spool holds for this server, the oldest first."""
        if self._spool is None:
            return []
        to = self._spool.addressee.fingerprint
        return [
            e
            for e in self._spool.entries()
            if not e.corrupt and e.addressee == to and e.name not in self._sent
        ]

    def _forget(self, entry: Entry) -> None:
        with self._changed:
            self._sending = None
            self._spooled -= 1
            self._spool_bytes -= entry.size

    def _settled(self) -> None:
        with self._changed:
            self._failures = 0
            self._done += 1
            self._changed.notify_all()

    def _tried(self, asked: Asked) -> Verdict:
        """Send once; return ``later``, or what is final, which is counted."""
        try:
            said = self._send(asked)
        except Exception as error:  # a fault of ours must not end the thread
            said = "failed"
            self._accounting.warn(
                "upstream.error",
                "A request for the MLflow tracking server could not be sent (%s: %s). It is tried %d times. "
                "Please report it to mlflow-otel.",
                type(error).__name__,
                error,
                MAX_FAILURES,
            )
        if said == "failed":
            said = "later" if self._failures + 1 < MAX_FAILURES else "refused"
        if said in {"later", "locked"}:
            self._accounting.count("upstream.retried")
            with self._changed:
                self._failures += 1
                self._changed.notify_all()
            return "later"
        self._accounting.count(f"upstream.{said}")
        return said

    def _pause(self) -> None:
        until = time.monotonic() + retry.backoff(self._failures - 1)
        with self._changed:
            while (left := until - time.monotonic()) > 0 and not self._time_is_up():
                stop = self._stop_at
                self._changed.wait(
                    left if stop is None else min(left, max(stop - time.monotonic(), 0))
                )

    def stats(self) -> dict[str, int]:
        """Return how many requests wait in memory and in the spool."""
        with self._changed:
            waiting = len(self._memory) + (self._flying is not None)
            return {"upstream.waiting": waiting, "upstream.spooled": self._spooled}

    def settle(self, until: float) -> bool:
        """Wait for what was owed when this was called; True when the server has all of it."""
        with self._changed:
            awaited = self._put
            while self._done < awaited:
                left = until - time.monotonic()
                if left <= 0 or self._failures:
                    return False
                self._changed.wait(left)
        return True

    def close(self, seconds: float) -> None:
        """Send what can be sent in time; the rest is spooled, or counted as dropped."""
        with self._changed:
            self._stop_at = time.monotonic() + seconds
            self._changed.notify_all()
        self._thread.join(seconds + 1)
        with self._changed:
            if self._flying is not None:
                self._memory.appendleft(self._flying)
                self._flying = None
            if self._spool is not None:
                self._spool_memory()
            left = len(self._memory)
            self._memory.clear()
        if left:
            self._lost(left, "the bridge ended; with MLFLOW_OTEL_SPOOL_DIR they would be kept")


def _size(asked: Asked) -> int:
    return len(asked.body) + OVERHEAD_BYTES
