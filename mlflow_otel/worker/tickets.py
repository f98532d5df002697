"""Tells whoever sent a request when everything in it is done with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable


class Ticket:
    """Counts those who still work at a request. When the last lets go, its sender is told.

    It is born held once, by the one who takes the request in. The lock guards the count; the sender
    is told without it.

    Args:
        done: Called once, in the thread that lets go last. Must not raise.
        origin: Where the request comes from.
    """

    __slots__ = ("_done", "_held", "_lock", "origin")

    def __init__(self, done: Callable[[], object], origin: Hashable = None) -> None:
        self.origin = origin
        self._done = done
        self._held = 1
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Have the sender wait for one more."""
        with self._lock:
            self._held += 1

    def let_go(self) -> None:
        """Say that one of those who held it is done."""
        with self._lock:
            self._held -= 1
            last = not self._held
        if last:
            self._done()
