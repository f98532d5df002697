"""Runs jobs that a caller need not wait for: in one thread, in order, bounded."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.forking import begin_anew_in_child

IDLE_SECONDS: Final = 5.0
MAX_JOBS: Final = 10_000


class BackgroundJobs:
    """Runs jobs in a thread. The thread is started when needed, and ends when idle.

    The condition guards the jobs. No job runs under it. A forked child begins with a new condition
    and no jobs: the parent runs the jobs that it has.
    """

    def __init__(self) -> None:
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have no jobs and no thread. Called in a forked child too."""
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], object]] = deque()
        self._delayed: deque[tuple[float, Callable[[], object]]] = deque()
        self._hurry = 0
        self._thread: threading.Thread | None = None
        self._busy = False

    def run(self, job: Callable[[], object], after: float = 0.0) -> bool:
        """Take a job. False when too many wait.

        Args:
            job: What to do.
            after: Seconds that it waits before it runs, the same for all waiting jobs. ``drain`` runs it at once.
        """
        with self._changed:
            if len(self._jobs) + len(self._delayed) >= MAX_JOBS:
                return False
            if self._thread is not None or self._start():
                if after:
                    self._delayed.append((time.monotonic() + after, job))
                else:
                    self._jobs.append(job)
                    self._changed.notify_all()
                return True
        job()  # Python exits and starts no threads (3.12 and later)
        return True

    def _start(self) -> bool:
        thread = threading.Thread(
            target=self._work, name="mlflow-otel background jobs", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def drain(self, seconds: float, *, hurry: bool = True) -> bool:
        """Wait until jobs are done. False when that takes too long.

        Args:
            seconds: How long to wait.
            hurry: Whether jobs that are to run later are run now. Else they are left.
        """
        until = time.monotonic() + seconds
        with self._changed:
            self._hurry += hurry
            self._changed.notify_all()
            try:
                while self._jobs or self._busy or (hurry and self._delayed):
                    left = until - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(left)
            finally:
                self._hurry -= hurry
        return True

    def _next(self) -> Callable[[], object] | None:
        """Return the next job that is due."""
        if self._jobs:
            return self._jobs.popleft()
        if self._delayed and (self._hurry or self._delayed[0][0] <= time.monotonic()):
            return self._delayed.popleft()[1]
        return None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                job = self._next()
                while job is None:
                    seconds = IDLE_SECONDS
                    if self._delayed:
                        seconds = max(
                            min(self._delayed[0][0] - time.monotonic(), IDLE_SECONDS), 0.0
                        )
                    heard = self._changed.wait(seconds)
                    if not (heard or self._jobs or self._delayed):
                        self._thread = None
                        return
                    job = self._next()
                self._busy = True
            try:
                job()
            except Exception as error:  # the thread goes on, or all that waits would be lost
                ACCOUNTING.warn(
                    "later.failed",
                    "An assessment or a metric was not exported (%s: %s). Please report it to "
                    "mlflow-otel.",
                    type(error).__name__,
                    error,
                )
