"""What waits in the spool: put there while the backend is down, sent oldest first when it is back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery import retry
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import CorruptError, Entry, Spool
from mlflow_otel.delivery.transport import Outcome

LOOK_SECONDS: Final = 10.0  # how often the folder is looked into for what other processes left
LOCKED_SECONDS: Final = 0.5
GONE: Final = Outcome(
    "rejected",
    "spool_bounds",
    "beyond MLFLOW_OTEL_SPOOL_MAX_BYTES or MLFLOW_OTEL_SPOOL_MAX_AGE, oldest first",
)


class Backlog:
    """Keeps requests in a spool and sends them from a thread of its own.

    While the backend is known to be down new requests go straight to the spool: one request at a
    time asks whether it is back, by the same backoff as any retry.

    The condition guards what is known of the files. Under ``_dropping`` one thread at a time removes
    those past the spool's bounds. A forked child makes a new backlog, and leaves the parent's files.

    Args:
        spool: Where they are kept.
        send: Tries a request once.
        done: Called with each request that was answered, and with each that had to go; returns
            whether it arrived.
        accounting: Gets ``spool.written``, ``backend_down``, ``spool_failed``, ``spool_corrupt``,
            ``spool_unreadable`` and ``spool_no_locks``.
    """

    def __init__(
        self,
        spool: Spool,
        send: Callable[[Request], Outcome],
        done: Callable[[Request, Outcome], bool],
        accounting: Accounting,
    ) -> None:
        self._spool = spool
        self._send = send
        self._done = done
        self._accounting = accounting
        self._changed = threading.Condition()
        self._waiting: dict[str, int] = {}  # of ours: items by file
        self._writing: set[str] = set()  # of ours: files that may be seen before they are waiting
        self._lost = (
            0  # requests of ours that were spooled and did not arrive, since the last drain
        )
        self._unreadable: set[str] = set()  # files that were warned about
        self._settled: set[str] = set()  # files that were answered and cannot be removed
        self._said_no_locks = False
        self._taken_over = 0  # items of ours that another process has taken out
        self._sending: Entry | None = None
        self._dropping = threading.RLock()
        self._failures = 0  # in a row
        self._tries = 0
        self._due = 0.0  # when to look next
        self._size = 0  # bytes in the folder, as far as known: listing it takes its time
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin to send what is there, an earlier run's too."""
        with self._changed:
            if self._thread is None and not self._stopped:
                thread = threading.Thread(target=self._work, name="mlflow-otel spool", daemon=True)
                with contextlib.suppress(RuntimeError):  # Python exits: the next process sends it
                    thread.start()
                    self._thread = thread

    def stop(self) -> None:
        """Send no more; what is left stays in the spool."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def is_down(self) -> bool:
        """Whether the backend did not take the last request, so that more need not try."""
        return self._failures > 0

    @property
    def number(self) -> int:
        """Items that this process spooled and has not taken out again itself."""
        with self._changed:
            return sum(self._waiting.values()) + self._taken_over

    def keep(self, request: Request, outcome: Outcome | None = None) -> bool:
        """Write a request; False when that is not possible.

        Args:
            request: What could not be delivered.
            outcome: The answer to a try at it, if there was one: the backend is down then.
        """
        writing: list[str] = []  # its name, once others can see it

        def named(entry: Entry) -> None:
            with self._changed:
                if not request.recovered:
                    self._writing.add(entry.name)
                    writing.append(entry.name)

        try:
            entry = self._spool.put(request, named)
        except Exception as error:
            with self._changed:
                self._writing.difference_update(writing)
            self._accounting.warn(
                "spool_failed",
                "A request could not be written to MLFLOW_OTEL_SPOOL_DIR (%s); it is retried from "
                "memory. Make room or raise MLFLOW_OTEL_SPOOL_MAX_BYTES.",
                error,
            )
            return False
        with self._changed:
            if entry.name in self._writing:  # else it was sent meanwhile
                self._writing.discard(entry.name)
                self._waiting[entry.name] = entry.number
            news = outcome is not None and not self.is_down
            if outcome is not None and news:
                self._down(outcome)  # the announcer of the endpoint has said so
        if news:
            self._accounting.count("backend_down")
        self._accounting.count("spool.written", request.number)
        self._size += entry.size
        if self._size > self._spool.max_bytes:
            entries = self._spool.entries()
            going = self._drop_over_bounds(entries, entry)
            self._size = sum(e.size for e in entries if e not in going)
        self.start()
        return True

    def drain(self, until: float) -> bool:
        """Try now; True once none of ours is left, False at the first failure or ``until``.

        False too when a request of ours had to go, or was refused, since the last call.
        """
        with self._changed:
            tries = self._tries
            self._due = 0.0
            self._changed.notify_all()
            while self._waiting:
                failed = self._tries > tries and self.is_down
                remaining = until - time.monotonic()
                if failed or remaining <= 0 or self._stopped:
                    return False
                self._changed.wait(remaining)
            lost, self._lost = self._lost, 0
        return not lost

    def _down(self, outcome: Outcome) -> None:
        self._failures += 1
        asked = outcome.retry_after
        pause = retry.backoff(self._failures - 1) if asked is None else asked
        self._due = time.monotonic() + pause
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (left := self._due - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._stopped:
                    return
                self._due = time.monotonic() + LOOK_SECONDS
            try:
                self._look()
            except Exception as error:
                self._accounting.warn(
                    "spool_failed",
                    "MLFLOW_OTEL_SPOOL_DIR could not be read (%s: %s). What is in it waits until it can.",
                    type(error).__name__,
                    error,
                )

    def _look(self) -> None:
        with self._spool.exclusive() as ours:
            self._say_no_locks()
            with self._changed:
                waiting = set(self._waiting)  # before the listing: what is put meanwhile is later
                tries = self._tries
            entries = self._spool.entries()
            self._size = sum(entry.size for entry in entries)
            self._reconcile(waiting.difference(entry.name for entry in entries))
            # What is for another endpoint, or has other credentials, is not ours to send.
            to_send = [e for e in entries if e.addressee == self._spool.addressee.fingerprint]
            if not to_send:
                with self._changed:
                    self._failures = 0  # nothing left to ask with: the next request asks
            if not ours:
                with self._changed:
                    if self._waiting:
                        self._due = time.monotonic() + LOCKED_SECONDS
                return
            self._spool.remove_unfinished()
            going = self._drop_over_bounds(entries)
            for entry in to_send:
                if not entry.corrupt and entry not in going and not self._send_entry(entry):
                    return
            with self._changed:
                if self._waiting:
                    # Others are at what waits, or it cannot be read: no need to look at once.
                    idle = tries == self._tries and waiting.issuperset(self._waiting)
                    self._due = time.monotonic() + LOCKED_SECONDS if idle else 0.0

    def _say_no_locks(self) -> None:
        error = self._spool.no_locks
        if error is not None and not self._said_no_locks:
            self._said_no_locks = True
            self._accounting.warn(
                "spool_no_locks",
                "The file system of MLFLOW_OTEL_SPOOL_DIR has no file locks (%s). Requests are sent all "
                "the same, but after a crash one may be sent twice. Name a folder on a local disk.",
                error,
            )

    def _send_entry(self, entry: Entry) -> bool:
        """Send one; False when there is no point in going on."""
        if self._stopped:
            return False
        if entry.name in self._settled or not self._spool.claim(entry):
            return True
        with self._dropping:  # before it is read: the bounds leave alone what is being sent
            self._sending = entry
        try:
            body = self._body(entry)
            if body is None:
                return True
            return self._answered(entry, body, self._send(self._request(entry, body)))
        finally:
            self._sending = None

    def _body(self, entry: Entry) -> bytes | None:
        """Return what is in a file, or None, said and counted, when there is nothing to send."""
        try:
            return self._spool.read(entry)
        except FileNotFoundError:
            self._spool.unclaim(entry)
        except CorruptError as error:
            self._set_aside(entry, error)
        except OSError as error:
            self._say_unreadable(entry, error)
        return None

    def _set_aside(self, entry: Entry, error: CorruptError) -> None:
        with contextlib.suppress(OSError):
            self._spool.set_aside(entry)
        self._accounting.warn(
            "spool_corrupt",
            "%s in MLFLOW_OTEL_SPOOL_DIR is damaged (%s). It was set aside, and the %d items in it are "
            "lost. See to the disk.",
            entry.name,
            error,
            entry.number,
        )
        self._gone(entry, Outcome("rejected", "spool_corrupt", str(error)))

    def _say_unreadable(self, entry: Entry, error: OSError) -> None:
        self._spool.unclaim(entry)
        if entry.name not in self._unreadable:
            self._unreadable.add(entry.name)
            self._accounting.warn(
                "spool_unreadable",
                "%s in MLFLOW_OTEL_SPOOL_DIR cannot be read or removed (%s). It stays there, and the others "
                "are sent. Let this process own it, or remove it.",
                entry.name,
                error,
            )

    def _answered(self, entry: Entry, body: bytes, outcome: Outcome) -> bool:
        with self._changed:
            self._tries += 1
            news = outcome.unanswered and not self.is_down
            if outcome.unanswered and not self._stopped:
                self._down(outcome)
            elif not outcome.unanswered:
                self._failures = 0
        if news:
            self._accounting.count("backend_down")
        if outcome.unanswered:
            self._spool.unclaim(entry)
            return False
        if not self._stopped:
            self._gone(entry, outcome, body)
        return not self._stopped

    def _request(self, entry: Entry, body: bytes) -> Request:
        with self._changed:
            ours = entry.name in self._waiting or entry.name in self._writing
        return Request(body, entry.number, recovered=not ours)

    def _gone(self, entry: Entry, outcome: Outcome, body: bytes = b"") -> None:
        request = self._request(entry, body)
        # Answered first, removed then: a crash between the two sends it twice, never not at all.
        arrived = self._done(request, outcome)
        self._remove(entry)
        with self._changed:
            self._lost += not (arrived or request.recovered)
            self._waiting.pop(entry.name, None)
            self._writing.discard(entry.name)
            self._changed.notify_all()

    def _remove(self, entry: Entry) -> None:
        try:
            self._spool.remove(entry)
        except OSError as error:
            self._settled.add(entry.name)
            self._say_unreadable(entry, error)

    def _drop_over_bounds(self, entries: list[Entry], newest: Entry | None = None) -> set[Entry]:
        with self._dropping:
            going = {
                e for e in self._spool.over_bounds(entries) if e not in (newest, self._sending)
            }
            for entry in sorted(going):
                self._drop(entry)
        return going

    def _drop(self, entry: Entry) -> None:
        with self._changed:  # whose it is must be known before the spool's thread can miss the file
            ours = entry.name in self._waiting or entry.name in self._writing
            self._waiting.pop(entry.name, None)
            self._writing.discard(entry.name)
        try:
            removed = self._spool.remove(entry)
        except OSError as error:  # another user's
            self._say_unreadable(entry, error)
            if ours:
                with self._changed:
                    self._waiting[entry.name] = entry.number
            return
        if removed and not entry.corrupt:
            self._done(Request(b"", entry.number, recovered=not ours), GONE)
        with self._changed:
            self._lost += ours and removed
            self._taken_over += entry.number if ours and not removed else 0
            self._changed.notify_all()

    def _reconcile(self, missing: set[str]) -> None:
        with self._changed:
            for name in missing:
                self._taken_over += self._waiting.pop(name, 0)
            self._changed.notify_all()
