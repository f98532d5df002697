"""Tells whoever sent a request when everything in it is done with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext


class Ticket:
    """Counts those who still work at a request. When the last lets go, its sender is told.

    It is born held once, by the one who takes the request in. The lock guards the count; the sender
    is told without it.

    Args:
        done: Called once, in the thread that lets go last. Must not raise.
        origin: Where the request comes from.
        at_once: Entered while several of the same sender are let go of (``let_go_of``).
    """

    __slots__ = ("_done", "_held", "_lock", "at_once", "origin")

    def __init__(
        self,
        done: Callable[[], object],
        origin: Hashable = None,
        at_once: AbstractContextManager[object] | None = None,
    ) -> None:
        self.origin = origin
        self.at_once = at_once or nullcontext()
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


def let_go_of(tickets: Iterable[Ticket]) -> None:
    """Let go of all tickets of a trace at once.

    Its sender finds all of them done with, or none. Else a part of a trace could be committed, and whoever
    reads the partition next would get the rest alone: a root without its ``TraceInfo``.

    Args:
        tickets: Of one sender.
    """
    every = list(tickets)
    if every:
        with every[0].at_once:
            for ticket in every:
                ticket.let_go()
