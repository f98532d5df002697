"""Requests on their way: several at once, each retried on its own, all accounted for."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery.retry import backoff
from mlflow_otel.delivery.transport import Outcome, Transport

IDLE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """An encoded request: its bytes, made once, and the number of spans in them."""

    body: bytes
    spans: int


class Sender:
    """Sends requests until each is accepted, refused for good, or out of time.

    Threads are started as needed, at most ``workers``, and end when idle. Nothing here raises.

    Args:
        open_transport: Opens the connection; called again in a forked child.
        workers: Requests in flight at once.
        timeout: Seconds one try may take.
        retry_timeout: Seconds one request may be retried.
        accounting: Gets ``retried``.
        done: Called with each request and its last outcome, in the thread that sent it; returns
            whether its spans arrived.
    """

    def __init__(
        self,
        open_transport: Callable[[], Transport],
        *,
        workers: int,
        timeout: float,
        retry_timeout: float,
        accounting: Accounting,
        done: Callable[[Request, Outcome], bool],
    ) -> None:
        self._open_transport = open_transport
        self._workers = workers
        self._timeout = timeout
        self._retry_timeout = retry_timeout
        self._accounting = accounting
        self._done = done
        self._begin()
        if hasattr(os, "register_at_fork"):
            weak = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (begin := weak()) and begin())

    def _begin(self) -> None:
        # Also after a fork, in the child: connections, threads and requests are the parent's.
        self._changed = threading.Condition()
        self._transport: Transport | None = None
        self._waiting: deque[Request] = deque()
        self._threads = 0
        self._idle = 0
        self._flying: dict[int, Request] = {}  # taken and not yet done, by identity
        self._failed = 0
        self._stop_at: float | None = None

    @property
    def in_flight(self) -> int:
        """Spans taken and not yet done."""
        with self._changed:
            return sum(request.spans for request in self._flying.values())

    def submit(self, request: Request) -> bool:
        """Take a request, waiting for a free worker; False when stopped before there was one."""
        with self._changed:
            while len(self._flying) >= self._workers:
                remaining = None if self._stop_at is None else self._stop_at - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                self._changed.wait(remaining)
            self._flying[id(request)] = request
            self._waiting.append(request)
            if self._idle < len(self._waiting) and self._threads < self._workers:
                self._threads += 1
                threading.Thread(target=self._work, name="MlflowSpanExporter", daemon=True).start()
            self._changed.notify_all()
        return True

    def send_now(self, request: Request) -> bool:
        """Send a request in the calling thread, within one timeout; True if its spans arrived."""
        outcome = self._send(request, min(self._timeout, self._retry_timeout))
        return self._done(request, outcome)

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is in flight; True if all since the last flush was accepted in time."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._flying:
                remaining = until - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(remaining)
            failed, self._failed = self._failed, 0
        return failed == 0

    def stop(self, seconds: float) -> None:
        """Let what is in flight have ``seconds`` more; nothing is retried or waited for after."""
        with self._changed:
            stop_at = time.monotonic() + seconds
            self._stop_at = stop_at if self._stop_at is None else min(self._stop_at, stop_at)
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for what is in flight, until the time ``stop`` gave, and close the connection.

        What is in flight then is reported as done without an answer: a server that hangs cannot be
        waited for, and HTTP cannot be called back.
        """
        self.stop(0.0 if self._stop_at is None else max(self._stop_at - time.monotonic(), 0.0))
        self.flush(max((self._stop_at or 0.0) - time.monotonic(), 0.0))
        with self._changed:
            abandoned, self._flying = list(self._flying.values()), {}
            self._waiting.clear()
        for request in abandoned:
            self._done(request, Outcome("retryable", "stopped", "no answer came in time"))
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
            outcome = self._send(request, self._retry_timeout)
            self._finish(request, outcome)

    def _finish(self, request: Request, outcome: Outcome) -> None:
        if id(request) not in self._flying:
            return  # given up by close(), and reported then
        arrived = False
        try:
            arrived = self._done(request, outcome)
        finally:
            with self._changed:
                self._flying.pop(id(request), None)
                self._failed += not arrived
                self._changed.notify_all()

    def _send(self, request: Request, budget: float) -> Outcome:
        give_up_at = time.monotonic() + budget
        attempt = 0
        while True:
            outcome = self._try(request, give_up_at)
            if outcome.result != "retryable":
                return outcome
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

    def _try(self, request: Request, give_up_at: float) -> Outcome:
        left = self._last_moment(give_up_at) - time.monotonic()
        if left <= 0:
            return Outcome("rejected", "stopped", "there was no time left to send it")
        try:
            with self._changed:
                if self._transport is None:
                    self._transport = self._open_transport()
                transport = self._transport
        except Exception as error:
            return Outcome("rejected", type(error).__name__, str(error))
        return transport.send(request.body, min(self._timeout, left))

    def _last_moment(self, give_up_at: float) -> float:
        return give_up_at if self._stop_at is None else min(give_up_at, self._stop_at)
