"""The traces of each session, kept until nothing more of it comes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from mlflow_otel.accounting import Accounting
from mlflow_otel.scoring.started import Started
from mlflow_otel.worker.subjects import PlacedSubject, SessionSubject

KEPT_SECONDS: Final = 3600.0
"""How long a judged session is kept, so that it is judged whole if it goes on."""


class IdleSession(NamedTuple):
    """A session that is to be judged.

    Args:
        chosen: The scorers that are to judge it.
        subject: It.
        done: Call it when it was judged.
    """

    chosen: Sequence[Started]
    subject: SessionSubject
    done: Callable[[], None]


class _Session:
    __slots__ = ("chosen", "done", "last", "traces", "waits")

    def __init__(self, chosen: Sequence[Started]) -> None:
        self.chosen = chosen
        self.traces: dict[str, PlacedSubject] = {}
        self.done: list[Callable[[], None]] = []
        self.last = 0.0
        self.waits = False

    @property
    def size(self) -> int:
        return sum(one.size for one in self.traces.values())


class Sessions:
    """Keeps the traces of sessions. Bounded by bytes: the session that was idle longest is judged early.

    The lock guards all fields.

    Args:
        idle: Seconds without a trace after which a session is judged.
        max_bytes: Of all traces together.
        chosen: Returns the scorers whose samples a session is in. Asked once for each session.
        accounting: Gets ``sessions``, ``sessions.released_early`` and ``sessions.forgotten``.
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(
        self,
        idle: float,
        max_bytes: int,
        chosen: Callable[[str], Sequence[Started]],
        accounting: Accounting,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle = idle
        self._max_bytes = max_bytes
        self._chosen = chosen
        self._accounting = accounting
        self._clock = clock
        self._lock = threading.RLock()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()  # the longest idle first
        self._bytes = 0

    def add(
        self, session: str, trace: PlacedSubject, done: Callable[[], None]
    ) -> list[IdleSession]:
        """Take a trace of a session; return the sessions that must be judged for the bound to hold.

        Args:
            session: The session's ID.
            trace: The trace.
            done: Called when the session was judged with it.
        """
        with self._lock:
            known = self._sessions.get(session)
            if known is None:
                known = self._sessions[session] = _Session(self._chosen(session))
            known.last = self._clock()
            self._sessions.move_to_end(session)
            if known.chosen:
                former = known.traces.get(trace.trace_id)
                self._bytes += trace.size - (0 if former is None else former.size)
                known.traces[trace.trace_id] = trace
                known.done.append(done)
                known.waits = True
                return self._over_bytes()
        done()
        return []

    def _over_bytes(self) -> list[IdleSession]:
        early: list[IdleSession] = []
        for name, session in list(self._sessions.items()):
            if self._bytes <= self._max_bytes:
                break
            if session.waits:
                self._accounting.count("sessions.released_early")
                early.append(self._to_be_judged(name, session))
            self._forget(name)
        return early

    def due(self, *, everything: bool = False) -> list[IdleSession]:
        """Return the sessions that are idle, or all that wait; forget those that were judged long ago."""
        with self._lock:
            now = self._clock()
            due: list[IdleSession] = []
            for name, session in list(self._sessions.items()):
                silent = now - session.last
                if silent < self._idle and not everything:
                    break
                if session.waits:
                    due.append(self._to_be_judged(name, session))
                elif silent >= self._idle + KEPT_SECONDS:
                    self._forget(name)
            return due

    def _to_be_judged(self, name: str, session: _Session) -> IdleSession:
        self._accounting.count("sessions")
        session.waits = False
        waiting, session.done = session.done, []

        def done() -> None:
            for one in waiting:
                one()

        return IdleSession(
            session.chosen, SessionSubject(name, tuple(session.traces.values())), done
        )

    def _forget(self, name: str) -> None:
        self._bytes -= self._sessions.pop(name).size

    def stats(self) -> dict[str, int]:
        """Return how many sessions, traces and bytes are kept."""
        with self._lock:
            traces = sum(len(session.traces) for session in self._sessions.values())
            return {"sessions": len(self._sessions), "traces": traces, "bytes": self._bytes}
