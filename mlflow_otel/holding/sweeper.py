"""A thread that calls a method at intervals, as long as the method's object lives."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable

from mlflow_otel.forking import begin_anew_in_child


class Sweeper:
    """A thread that is started when it is first needed and ends with the object it works for.

    The lock guards ``running``, so that two threads do not start it twice. A forked child starts a
    thread of its own.

    Args:
        sweep: A bound method. Its object is not kept alive.
        pause: Seconds between two calls.
        name: The thread's.
    """

    def __init__(self, sweep: Callable[[], object], pause: float, name: str) -> None:
        self._sweep = weakref.WeakMethod(sweep)
        self._pause = pause
        self._name = name
        self._stopped = threading.Event()
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have no thread. Called in a forked child too."""
        self._lock = threading.RLock()
        stopped, self._stopped = self._stopped, threading.Event()
        if stopped.is_set():
            self._stopped.set()
        self.running = False
        """Whether the thread was started."""

    def start(self) -> None:
        """Start the thread, unless it runs or ``stop`` was called."""
        with self._lock:
            if self.running or self._stopped.is_set():
                return
            self.running = True
        thread = threading.Thread(
            target=_work,
            args=(self._sweep, self._stopped, self._pause),
            name=self._name,
            daemon=True,
        )
        with contextlib.suppress(RuntimeError):  # Python exits and starts none (3.12 and later)
            thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()


def _work(
    sweep: weakref.WeakMethod[Callable[[], object]], stopped: threading.Event, pause: float
) -> None:
    while not stopped.wait(pause):
        live = sweep()
        if live is None:
            return
        live()
        del live
