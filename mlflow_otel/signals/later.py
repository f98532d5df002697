"""Jobs that a caller need not wait for: one thread, in order, bounded."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.forking import begin_anew_in_child

IDLE_SECONDS: Final = 5.0
MOST: Final = 10_000


class Later:
    """Runs jobs in a thread that is started as needed and ends when idle.

    A forked child begins with none: what the parent has yet to do is the parent's.
    """

    def __init__(self) -> None:
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Begin with new locks and nothing of the parent's. Called in a forked child too."""
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], object]] = deque()
        self._thread: threading.Thread | None = None
        self._busy = False

    def run(self, job: Callable[[], object]) -> bool:
        """Take a job; False when too many wait."""
        with self._changed:
            if len(self._jobs) >= MOST:
                return False
            if self._thread is not None or self._start():
                self._jobs.append(job)
                self._changed.notify_all()
                return True
        job()  # Python exits and starts no threads (3.12 and later)
        return True

    def _start(self) -> bool:
        thread = threading.Thread(target=self._work, name="mlflow-otel later", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def drain(self, seconds: float) -> bool:
        """Wait until all that was taken is done; False when it is not in time."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._jobs or self._busy:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                while not self._jobs:
                    if not self._changed.wait(IDLE_SECONDS) and not self._jobs:
                        self._thread = None
                        return
                job = self._jobs.popleft()
                self._busy = True
            try:
                job()
            except Exception as error:  # the thread goes on, or all that waits would be lost
                ACCOUNTING.warn(
                    "later.failed",
                    "An assessment or a metric did not leave (%s: %s). Please report it to mlflow-otel.",
                    type(error).__name__, error,
                )  # fmt: skip
