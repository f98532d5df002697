"""Requests on their way: several at once, each retried on its own, all accounted for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery.backlog import Backlog
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.retry import backoff
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.delivery.transport import Outcome, Result, Transport
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.settings import Compression
from mlflow_otel.untraced import untraced

IDLE_SECONDS: Final = 5.0
KEEPING_SECONDS: Final = 1.0  # for what is being spooled when all else is given up
SPOOLED: Final = Outcome("spooled", "spooled")


class Sender:
    """Sends requests until each is accepted, refused for good, or out of time.

    Threads are started as needed, at most ``workers``, and end when idle. Nothing here raises.

    The condition guards all fields but the transport; requests are sent and spooled without it.
    ``_opening`` is an opening lock (docs/architecture.md): the transport is opened once, under it. A
    forked child begins with new ones, a connection of its own and no requests: the parent sends
    what it took.

    Args:
        open_transport: Opens the connection; called again in a forked child.
        compression: Of the bodies that the transport takes.
        workers: Requests in flight at once.
        timeout: Seconds one try may take.
        retry_timeout: Seconds one request may be retried.
        accounting: Gets ``retried`` and what goes wrong with the spool.
        spool: Keeps what the backend does not take at the first try, or None to retry from memory.
        done: Called with each request and its last outcome, in the thread that sent it; returns
            whether it arrived.
        tried: Called with the seconds and the outcome of each try.
    """

    def __init__(
        self,
        open_transport: Callable[[], Transport],
        *,
        compression: Compression,
        workers: int,
        timeout: float,
        retry_timeout: float,
        accounting: Accounting,
        done: Callable[[Request, Outcome], bool],
        spool: Spool | None = None,
        tried: Callable[[float, Outcome], None] = lambda _seconds, _outcome: None,
    ) -> None:
        self._open_transport = open_transport
        self._compression = compression
        self._workers = workers
        self._timeout = timeout
        self._retry_timeout = retry_timeout
        self._accounting = accounting
        self._done = done
        self._spool = spool
        self._tried = tried
        self._begin()
        if self._backlog is not None:
            self._backlog.start()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have nothing on its way and no connection. Called in a forked child."""
        # In the child: connections, threads, requests and the spool's lock are the parent's.
        if self._spool is not None:
            self._spool.forked()
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._opening = threading.RLock()
        self._transport: Transport | None = None
        self._waiting: deque[Request] = deque()
        self._threads = 0
        self._idle = 0
        self._flying: dict[int, Request] = {}  # taken and not yet done, by identity
        self._keeping: set[int] = set()  # of those, what goes, or went, to the spool
        self._given_up: dict[int, Request] = {}  # by close(), whatever their threads hear yet
        self._failed = 0
        self._stop_at: float | None = None
        self._backlog = self._new_backlog()

    def _new_backlog(self) -> Backlog | None:
        if self._spool is None:
            return None
        return Backlog(self._spool, self._try_once, self._done, self._accounting)

    @property
    def spooled(self) -> int:
        """Items left to the spool."""
        return 0 if self._backlog is None else self._backlog.number

    @property
    def in_flight(self) -> int:
        """Items taken and not yet done."""
        with self._changed:
            return sum(request.number for request in self._flying.values())

    def submit(self, request: Request) -> bool:
        """Take a request, waiting for a free worker; False when stopped before there was one."""
        backlog = self._backlog
        if backlog is not None:
            backlog.start()
        with self._changed:
            free = self._wait_for_worker()
            if free:
                self._flying[id(request)] = request
                if self._hand_to_thread(request):
                    return True
        if not free:  # without the lock: the spool writes a file
            return backlog is not None and backlog.keep(request)
        self._finish(request, self._send_safely(request, self._timeout))
        return True

    def _wait_for_worker(self) -> bool:
        """Wait until a worker is free; False when stopped before."""
        while len(self._flying) >= self._workers:
            remaining = None if self._stop_at is None else self._stop_at - time.monotonic()
            if remaining is not None and remaining <= 0:
                return False
            self._changed.wait(remaining)
        return True

    def _hand_to_thread(self, request: Request) -> bool:
        """Queue a request for a thread, starting one if need be; False when none can be started.

        Python starts no threads while it exits (3.12 and later).
        """
        if self._idle <= len(self._waiting) and self._threads < self._workers:
            try:
                threading.Thread(target=self._work, name="MlflowSpanExporter", daemon=True).start()
                self._threads += 1
            except RuntimeError:
                if self._threads == 0:
                    return False
        self._waiting.append(request)
        self._changed.notify_all()
        return True

    def send_now(self, request: Request, *, retry: bool) -> bool:
        """Send a request in the calling thread; True if it arrived or is kept.

        Args:
            request: What to send.
            retry: Whether as long as any request may be retried, or within one timeout.
        """
        budget = self._retry_timeout if retry else min(self._timeout, self._retry_timeout)
        return self._settle(request, self._send_safely(request, budget))

    def flush(self, seconds: float) -> bool:
        """Wait for what is in flight; True if all since the last flush was accepted in time."""
        until = time.monotonic() + seconds
        if not self._landed(until):
            return False
        with self._changed:
            failed, self._failed = self._failed, 0
        drained = self._backlog is None or self._backlog.drain(until)
        return drained and failed == 0

    def _landed(self, until: float) -> bool:
        with self._changed:
            awaited = list(self._flying.values())  # what comes meanwhile is for the next flush
            while any(id(request) in self._flying for request in awaited):
                remaining = until - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(remaining)
        return True

    def stop(self, seconds: float) -> None:
        """Let what is in flight have ``seconds`` more; nothing is retried or waited for after."""
        with self._changed:
            stop_at = time.monotonic() + seconds
            self._stop_at = stop_at if self._stop_at is None else min(self._stop_at, stop_at)
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for what is in flight, until the time ``stop`` gave, and close the connection.

        What is in flight then is spooled, or reported as done without an answer: a server that
        hangs cannot be waited for, and HTTP cannot be called back.
        """
        self.stop(0.0 if self._stop_at is None else max(self._stop_at - time.monotonic(), 0.0))
        until = self._stop_at or 0.0
        self._landed(until)
        with self._changed:
            self._given_up = {i: r for i, r in self._flying.items() if i not in self._keeping}
            self._flying = {i: r for i, r in self._flying.items() if i in self._keeping}
            self._waiting.clear()
        for request in self._given_up.values():
            outcome = Outcome("retryable", "stopped", "no answer came in time")
            if self._backlog is None or not self._backlog.keep(request, outcome):
                self._done(request, outcome)
        self._landed(time.monotonic() + KEEPING_SECONDS)
        if self._backlog is not None:
            if not self._backlog.is_down:
                self._backlog.drain(until)
            self._backlog.stop()
        if self._transport is not None:
            self._transport.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting:
                    if not self._changed.wait(IDLE_SECONDS) and not self._waiting:
                        self._idle -= 1
                        self._threads -= 1
                        return
                self._idle -= 1
                request = self._waiting.popleft()
            outcome = self._send_safely(request, self._retry_timeout)
            if id(request) in self._flying:  # else given up by close(), and settled then
                self._finish(request, outcome)

    def _send_safely(self, request: Request, budget: float) -> Outcome:
        try:
            return self._send(request, budget)
        except Exception as error:  # a fault of ours must not end the thread
            return Outcome("unsent", type(error).__name__, str(error))

    def _finish(self, request: Request, outcome: Outcome) -> None:
        settled = False
        try:
            settled = self._settle(request, outcome)
        except Exception as error:  # a fault of ours must not end the thread
            self._accounting.count("dropped", request.number)
            self._accounting.warn(
                "dropped.error",
                "%d items were lost by a fault of mlflow-otel itself (%s: %s). Report it, please.",
                request.number,
                type(error).__name__,
                error,
                number=request.number,
            )
        finally:
            with self._changed:
                self._flying.pop(id(request), None)
                self._keeping.discard(id(request))
                self._failed += not settled
                self._changed.notify_all()

    def _settle(self, request: Request, outcome: Outcome) -> bool:
        """Report a request's last outcome, or spool it when that was no answer."""
        if outcome.unanswered and self._keep(request, outcome):
            outcome = SPOOLED
        return outcome is SPOOLED or self._done(request, outcome)

    def _keep(self, request: Request, outcome: Outcome | None = None) -> bool:
        """Spool a request, unless ``close`` has done so; False when that is not possible."""
        if self._backlog is None:
            return False
        with self._changed:
            if id(request) in self._given_up:
                return True
            if id(request) in self._flying:
                self._keeping.add(id(request))  # until it is done: close() keeps it no second time
        kept = self._backlog.keep(request, outcome)
        if not kept:
            with self._changed:
                self._keeping.discard(id(request))
        return kept

    def _send(self, request: Request, budget: float) -> Outcome:
        started = time.monotonic()
        give_up_at = started + budget
        # The first try is no retry: it has all of its time, also where nothing is retried.
        until_first = max(give_up_at, started + self._timeout)
        attempt = 0
        if self._backlog is not None and self._backlog.is_down and self._keep(request):
            return SPOOLED
        while True:
            outcome = self._try(request, give_up_at if attempt else until_first)
            if outcome.result != "retryable":
                return outcome
            if self._keep(request, outcome):
                return SPOOLED
            asked = outcome.retry_after
            pause = backoff(attempt) if asked is None else asked
            attempt += 1
            with self._changed:
                until = time.monotonic() + pause
                while (now := time.monotonic()) < until:
                    if until > self._last_moment(give_up_at):
                        return outcome
                    self._changed.wait(until - now)
            self._accounting.count("retried")

    def _try_once(self, request: Request) -> Outcome:
        return self._try(request, time.monotonic() + self._timeout)

    def _try(self, request: Request, give_up_at: float) -> Outcome:
        left = self._last_moment(give_up_at) - time.monotonic()
        if left <= 0:
            return Outcome("unsent", "stopped", "there was no time left to send it")
        try:
            with self._opening:
                if self._transport is None:
                    self._transport = self._open_transport()
                transport = self._transport
        except Exception as error:
            # A certificate's file may be there later; an endpoint that names no host stays wrong.
            result: Result = "retryable" if isinstance(error, OSError) else "unsent"
            outcome = Outcome(result, type(error).__name__, str(error))
            self._tried(0.0, outcome)
            return outcome
        body = request.compressed(self._compression)
        started = time.monotonic()
        with untraced():
            outcome = transport.send(body, min(self._timeout, left))
        self._tried(time.monotonic() - started, outcome)
        return outcome

    def _last_moment(self, give_up_at: float) -> float:
        return give_up_at if self._stop_at is None else min(give_up_at, self._stop_at)
