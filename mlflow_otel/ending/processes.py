"""How processes end, and what flushes in each, as one table.

A new way of ending is a row of ``PROCESS_ENDS``.
"""

from __future__ import annotations

import atexit
import multiprocessing.util
import sys
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Final, NamedTuple, Protocol

from mlflow_otel.ending import providers
from mlflow_otel.ending.signals import DEFAULT_ACTION, Flushable
from mlflow_otel.forking import begin_anew_in_child

PROVIDERS_SECONDS: Final = 2.0  # for the app's own providers


class FlushedAtEnd(Flushable, Protocol):
    """What is flushed when the process ends."""

    def flush_in_flight(self, seconds: float) -> None:
        """Wait for what exporters in the app's own providers have in flight."""
        ...

    def flush_at_roots(self) -> None:
        """Flush at the end of each local root from now on."""
        ...


class ProcessEnd(NamedTuple):
    """One way of processes to end.

    Args:
        whose: Whose processes end so, for the reader.
        watch: Makes such an end call the given object's flush. Called by ``instrument()`` and in each
            forked child. A second call changes nothing.
    """

    whose: str
    watch: Callable[[FlushAtEnd], None]


class FlushAtEnd:
    """Exports what is left when the process ends, whichever way it ends.

    Args:
        ended: What is flushed.
        signals: Whether the default action of SIGTERM waits for a flush.
    """

    def __init__(self, ended: FlushedAtEnd, *, signals: bool) -> None:
        self.ended = ended
        self._signals = signals

    def start(self) -> None:
        """Watch for the end, here and in forked children."""
        atexit.register(self.ended.shutdown)
        if self._signals:
            DEFAULT_ACTION.add(self)
        # The children that multiprocessing forks run its finalizers, and no atexit.
        multiprocessing.util.register_after_fork(self, FlushAtEnd.finalize)
        self.finalize()
        self.watch()
        begin_anew_in_child(self)

    def be_first(self) -> None:
        """Have ``atexit`` call it before what was registered since."""
        atexit.unregister(self.ended.shutdown)
        atexit.register(self.ended.shutdown)

    def watch(self) -> None:
        """Prepare for those of ``PROCESS_ENDS`` that this process may have."""
        for process_end in PROCESS_ENDS:
            process_end.watch(self)

    def begin_anew(self) -> None:
        """Prepare anew in a forked child, which may end in another way than its parent."""
        self.watch()

    def finalize(self) -> None:
        """Register ``shutdown`` for the end of a process of multiprocessing."""
        multiprocessing.util.Finalize(self, _WeakShutdown(self), exitpriority=0)

    def force_flush(self, timeout_millis: int) -> bool:
        """Export what ended: the process lives on."""
        return self.ended.force_flush(timeout_millis)

    def shutdown(self, **_: object) -> None:
        """Export what there is: the process ends, and runs no ``atexit``."""
        self.ended.shutdown()
        until = time.monotonic() + PROVIDERS_SECONDS
        providers.flush(PROVIDERS_SECONDS)
        # The SDK may have handed its batches to an exporter of ours, which still sends them.
        self.ended.flush_in_flight(max(until - time.monotonic(), 0.0))

    def stop(self) -> None:
        """Watch no more."""
        atexit.unregister(self.ended.shutdown)
        DEFAULT_ACTION.remove(self)


class _WeakShutdown:
    """Calls ``shutdown`` of a ``FlushAtEnd``, if it still lives: multiprocessing keeps what it calls alive."""

    def __init__(self, at_end: FlushAtEnd) -> None:
        self._live = weakref.ref(at_end)

    def __call__(self) -> None:
        at_end = self._live()
        if at_end is not None:
            at_end.shutdown()


def _celery(at_end: FlushAtEnd) -> None:
    """Celery tells the processes of its prefork pool that they end. Then billiard calls ``os._exit``."""
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(
            at_end.shutdown, weak=False, dispatch_uid=f"mlflow-otel {id(at_end)}"
        )


def _rq(at_end: FlushAtEnd) -> None:
    """RQ's work horses end by ``os._exit``, and RQ calls nothing of ours before it."""
    if "rq" in sys.modules and is_called_by("rq", RQ_HORSES):
        at_end.ended.flush_at_roots()


RQ_HORSES: Final = frozenset({"fork_work_horse", "main_work_horse"})
PROCESS_ENDS: Final = (
    ProcessEnd("Celery's prefork pool", _celery),
    ProcessEnd("RQ's workers that fork or spawn a process for each job", _rq),
)


def is_called_by(package: str, functions: frozenset[str]) -> bool:
    """Tell whether one of a package's functions is among the callers."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name in functions and module.partition(".")[0] == package:
            return True
        frame = frame.f_back
    return False
