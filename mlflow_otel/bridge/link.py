"""The accepting process's end of one worker: asks it, starts it anew when it dies, and keeps its books.

``ask`` and ``tell`` hand over to the event loop's thread, where all fields are changed. So no lock is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import subprocess
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.frames import Answered, Asked, cut, frame
from mlflow_otel.bridge.way_in import Seen

Start: TypeAlias = Callable[[int], "subprocess.Popen[bytes]"]
"""Starts a worker's process that has the socket of this number."""
READ_BYTES: Final = 256 * 1024
START_SECONDS: Final = 120.0
FIRST_PAUSE_SECONDS: Final = 0.2
MAX_PAUSE_SECONDS: Final = 30.0
MAX_TRIES: Final = 2
"""How often a piece is handed to a worker: one that ends the worker must not do so for ever."""
END_SECONDS: Final = 5.0
"""How much longer than told a worker may take to end."""
SILENT_SECONDS: Final = 60.0
"""How long a worker that is asked something may say nothing at all: then it hangs, and is ended."""
LOOKS: Final = 12
"""How often it is looked at in that time. A bridge that stood still itself misses looks, and ends nobody."""
SEEN_SECONDS: Final = 120.0
MAX_SEEN: Final = 50_000
"""How long, and of how many requests, the IDs of spans are remembered that a worker took: a client that missed
an answer sends them again, also after the worker died."""
GAUGES: Final = ("held.", "waiting.", "in_flight")
"""What the names of counters begin with that say what is there now."""
OWED: Final = ("held.items", "in_flight")
"""What a worker has taken and not yet delivered, in items."""


@dataclass(slots=True, eq=False)
class _Question:
    """What a worker was asked and did not answer yet.

    Args:
        frame: As it is sent.
        items: How many spans the worker takes by it.
        seen: Those of them whose IDs are remembered.
        answer: Gets the answer.
        tries: How often it was sent.
    """

    frame: bytes
    items: int
    seen: Sequence[Seen]
    answer: Future[Any]
    tries: int = 0


class Link(asyncio.Protocol):
    """One worker.

    Args:
        start: Starts its process.
        first: Returns what each new process is to be asked before all else.
        accounting: Gets what the worker lost when it died.
        silent: Seconds after which a worker that says nothing is ended.
    """

    def __init__(
        self,
        start: Start,
        first: Callable[[], Asked],
        accounting: Accounting,
        silent: float = SILENT_SECONDS,
    ) -> None:
        self._start = start
        self._first = first
        self._accounting = accounting
        self._pause_of_looks = silent / LOOKS
        self._silent = 0  # looks in a row at which it owed an answer and had said nothing
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._numbers = itertools.count(1)
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._asked: dict[int, _Question] = {}
        self._transport: asyncio.Transport | None = None
        self._left: socket.socket | None = None  # reads what the loop left of a dead worker
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._restarting: asyncio.Task[None] | None = None
        self._told: Mapping[str, int] = {}
        self._before: Counter[str] = Counter()  # counters of processes that ended
        self._taken_since_told = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._seen: deque[tuple[float, Sequence[Seen]]] = deque()
        self._stopping = False
        self.bytes_asked = 0
        """Bytes of what was asked and is not answered yet."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the backend in the worker."""
        return self._told.get("waiting.bytes", 0)

    def stats(self) -> Counter[str]:
        """Return the counters of this worker and of those that died in its place."""
        found = Counter(self._before)
        found.update(self._told)
        return found

    async def open(self) -> None:
        """Start the process, and wait until it can work.

        Raises:
            OSError: It ended at once, or is not ready in time.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs, _signals_held_back():
                self._process = self._start(theirs.fileno())
            self._left = ours.dup()
            await self._loop.create_unix_connection(lambda: self, sock=ours)
            await asyncio.wait_for(asyncio.shield(self._ready), START_SECONDS)
        except BaseException as error:
            if self._transport is not None:
                self._transport.abort()
            ours.close()  # the process sees it, and ends
            self._close_left()
            if isinstance(error, (OSError, asyncio.TimeoutError)):
                said = str(error) or f"it is not ready after {START_SECONDS:g} s"
                raise OSError(f"a worker of the bridge does not start: {said}") from error
            raise

    def ask(self, kind: str, *said: Any, items: int = 0, seen: Sequence[Seen] = ()) -> Future[Any]:
        """Ask the worker something; from any thread.

        Args:
            kind: What is asked.
            said: Its values.
            items: How many spans it takes by it.
            seen: Those that the next worker is to know when this one dies, so that they do not leave twice.
        """
        number = next(self._numbers)
        question = _Question(frame(Asked(number, kind, said)), items, seen, Future())
        if threading.get_ident() == self._thread:
            self._put(number, question)
        else:
            self._loop.call_soon_threadsafe(self._put, number, question)
        return question.answer

    def tell(self, said: Asked) -> None:
        """Tell the worker something that is not answered; from any thread. A new process is told ``first``."""
        encoded = frame(said)
        if threading.get_ident() == self._thread:
            self._write(encoded)
        else:
            self._loop.call_soon_threadsafe(self._write, encoded)

    def _write(self, encoded: bytes) -> None:
        """Write a frame with all others of this turn of the loop: each write wakes the worker."""
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(encoded)

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _put(self, number: int, question: _Question) -> None:
        if self._stopping:
            question.answer.set_exception(RefusedError(503, "the bridge is ending"))
            return
        self._asked[number] = question
        self.bytes_asked += len(question.frame)
        if self._transport is not None:
            question.tries += 1
            self._write(question.frame)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with what every process is told, and with what the one before did not answer."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (a stream's)
        self._transport = transport
        transport.write(frame(self._first()))
        had = [one for _, several in self._seen for one in several]
        transport.write(frame(Asked(0, "had", (had,))))
        self._silent = 0
        if self._process is not None:
            self._loop.call_later(self._pause_of_looks, self._look, self._process)
        for number, question in list(self._asked.items()):
            if question.tries >= MAX_TRIES:
                self._settle(
                    number,
                    RefusedError(503, "a worker of the bridge ended: try again later"),
                    failed=True,
                )
                continue
            question.tries += 1
            transport.write(question.frame)

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        """End a process that hangs; another takes its place."""
        if self._process is not process or self._transport is None:
            return
        # A process that starts has its own time (START_SECONDS).
        self._silent = self._silent + 1 if self._asked and self._ready.done() else 0
        if self._silent <= LOOKS:
            self._loop.call_later(self._pause_of_looks, self._look, process)
            return
        self._accounting.warn(
            "workers.hung",
            "A worker of the bridge did not answer for %g s and is ended. Another one takes its place. "
            "Please report it to mlflow-otel.",
            self._pause_of_looks * LOOKS,
        )
        process.kill()

    def data_received(self, data: bytes) -> None:
        """Take answers."""
        self._silent = 0
        self._buffer += data
        for said in cut(self._buffer):
            answer = Answered(*said)
            if answer.number:
                self._settle(answer.number, answer.value, failed=answer.failed)
                continue
            self._told, self._taken_since_told = answer.value, 0
            if not self._ready.done():
                self._ready.set_result(None)

    def _settle(self, number: int, value: Any, *, failed: bool) -> None:
        question = self._asked.pop(number, None)
        if question is None:
            return
        self.bytes_asked -= len(question.frame)
        self._pause = FIRST_PAUSE_SECONDS
        if failed:
            question.answer.set_exception(value)
        else:
            self._taken_since_told += question.items
            self._remember(question.seen)
            question.answer.set_result(value)

    def _remember(self, seen: Sequence[Seen]) -> None:
        now = self._loop.time()
        if seen:
            self._seen.append((now, seen))
        while self._seen and (self._seen[0][0] < now - SEEN_SECONDS or len(self._seen) > MAX_SEEN):
            self._seen.popleft()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Count what the worker lost, and start another."""
        self._take_what_is_left()
        self._transport = None
        self._out.clear()  # questions are asked again
        self._buffer.clear()
        self._close_books()
        if not self._ready.done():
            self._ready.set_exception(OSError("it ended at once; what it wrote is above"))
        elif not self._stopping:
            self._restarting = self._loop.create_task(self._restart())
        if not self._ended.done() and self._stopping:
            self._ended.set_result(None)

    def _take_what_is_left(self) -> None:
        """Take the answers that the loop did not read: it stops reading when a write to a dead worker fails.

        What is not answered is asked again, and what is answered may have been delivered.
        """
        if self._left is not None:
            with contextlib.suppress(OSError):
                while came := self._left.recv(READ_BYTES, socket.MSG_DONTWAIT):
                    self.data_received(came)
        self._close_left()

    def _close_left(self) -> None:
        if self._left is not None:
            self._left.close()
            self._left = None

    def _close_books(self) -> None:
        lost = sum(self._told.get(name, 0) for name in OWED) + self._taken_since_told
        kept = {k: n for k, n in self._told.items() if not k.startswith(GAUGES)}
        self._before.update(kept)
        self._before["received.traces"] += self._taken_since_told
        self._told, self._taken_since_told = {}, 0
        if lost:
            self._accounting.count("dropped", lost)
            self._accounting.warn(
                "dropped.worker",
                "A worker of the bridge ended, and up to %d items that it had taken are lost. Another one "
                "takes its place. See what ended it: the system's log tells of a lack of memory.",
                lost,
                number=lost,
            )

    async def _restart(self) -> None:
        while not self._stopping:
            await self._reap()
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)
            self._ready = self._loop.create_future()
            try:
                await self.open()
            except OSError as error:
                self._accounting.warn(
                    "workers.not_started", "The bridge works with fewer workers: %s.", error
                )
                continue
            self._accounting.count("workers.restarted")
            return

    async def _reap(self) -> None:
        """Wait for the process, which has closed its socket; end it if it lives on."""
        process = self._process
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def close(self, seconds: float) -> None:
        """Let the worker deliver what it holds, in time, and end."""
        self._stopping = True
        if self._restarting is not None:
            self._restarting.cancel()
        self._flush()
        if self._transport is not None:
            self._transport.write(frame(Asked(0, "stop", (seconds,))))
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), seconds + END_SECONDS)
            if self._transport is not None:
                self._transport.abort()
        for number in list(self._asked):
            self._settle(number, RefusedError(503, "the bridge is ending"), failed=True)
        if self._process is not None and self._process.poll() is None:
            await self._reap()


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let a process that is started now begin with the signals blocked that are for the accepting process.

    Ctrl-C and a service manager reach the whole group. A worker ends when it is told to (``worker``).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
