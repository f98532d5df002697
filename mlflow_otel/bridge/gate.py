"""A gate in front of the outlets: what leaves waits here until it may."""

from __future__ import annotations

import threading

from mlflow_otel.delivery.outlet import Outlet, Waiting


class Gate:
    """Lets what leaves through to its outlet: at once while it is open, else when it is told to.

    The lock guards what waits. Safe to call from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: list[tuple[Outlet, Waiting]] = []

    def put(self, outlet: Outlet, waiting: Waiting) -> None:
        """Take what is to go to an outlet."""
        with self._lock:
            if self._closed:
                self._waiting.append((outlet, waiting))
                return
        outlet.put(waiting)

    def close(self) -> None:
        """Keep what comes from now on."""
        with self._lock:
            self._closed = True

    def let_through(self) -> None:
        """Hand on what waits, in the order in which it came."""
        with self._lock:
            found, self._waiting = self._waiting, []
        for outlet, waiting in found:
            outlet.put(waiting)

    def open(self) -> None:
        """Hand on what waits, and what comes from now on."""
        with self._lock:
            self._closed = False
        self.let_through()

    @property
    def items(self) -> int:
        """How many items wait."""
        with self._lock:
            return sum(waiting.number for _, waiting in self._waiting)

    @property
    def bytes(self) -> int:
        """How many bytes wait."""
        with self._lock:
            return sum(waiting.size for _, waiting in self._waiting)
