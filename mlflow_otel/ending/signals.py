"""A flush before SIGTERM's default action.

A process that SIGTERM ends by its default action runs no ``atexit``: its last batch is lost. So a
handler of ours replaces the default action while there is something to flush. It flushes, restores
the default action and sends the signal again. The exit status is the same.

Why ``signal.signal`` is replaced as well: servers put the default action back. uvicorn restores the
handlers it found and raises the signal again, gunicorn and Celery reset the handlers of each worker,
asyncio resets those it removes. An app that sets ``SIG_DFL`` for one of these signals gets our
handler. ``signal.signal`` and ``signal.getsignal`` return ``SIG_DFL`` for it. We neither wrap nor call
any other handler of the app. A process that such a handler ends by ``sys.exit`` runs ``atexit``.

Why not in other ways: ``set_wakeup_fd`` is not called for a signal with the default action, and it has
one reader, which is asyncio. Chaining the handler that is set at ``instrument()`` misses what servers
set later. Hooking each server by name misses the unknown ones.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.forking import begin_anew_in_child

_NAMES: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
SIGNALS: Final = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Signals that ask a process to end. SIGINT is Python's own to handle, unless it was reset."""

LOCKING: Final = frozenset(
    {
        "mlflow_otel",
        "mlflow",
        "opentelemetry",
        "logging",
        "threading",
        "queue",
        "concurrent",
        "importlib",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "gevent",
        "eventlet",
    }
)
"""Modules whose code may hold a lock that a flush needs (gevent: it may be the hub that was interrupted)."""

PATIENCE_SECONDS: Final = 8.0  # a limit, should a shutdown not keep its own


class Flushable(Protocol):
    """What is flushed at the end."""

    def force_flush(self, timeout_millis: int) -> bool:
        """Export what ended."""
        ...

    def shutdown(self) -> None:
        """Export all there is, and end."""
        ...


class DefaultAction:
    """Replaces the default action of the signals that end the process.

    A handler runs in the main thread, between two steps of whatever that thread was doing. The
    flush has a thread of its own. The handler waits for it, unless the interrupted code may hold a
    lock that the flush needs: then the handler returns, and the flush's thread sends the signal
    again when it is done.
    """

    def __init__(self) -> None:
        self._flushed: list[Flushable] = []
        self._signal: Callable[..., Any] = signal.signal
        self._getsignal: Callable[..., Any] = signal.getsignal
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have no flush under way. A flush of the parent is not the forked child's."""
        self._under_way: _thread.LockType | None = None
        self._done = False

    def add(self, flushed: Flushable) -> None:
        """Flush this before the default action, from now on."""
        if not self._flushed:
            self.begin_anew()
            self._signal, self._getsignal = signal.signal, signal.getsignal
            signal.signal, signal.getsignal = self._set_handler, self._get_handler
        self._flushed.append(flushed)
        for number in SIGNALS:
            if self._getsignal(number) == signal.SIG_DFL:
                self._replace_default(number)

    def _replace_default(self, number: int) -> None:
        try:
            self._signal(number, self._on_signal)
        except ValueError:  # not the main thread, or not the main interpreter
            if number == signal.SIGTERM:
                ACCOUNTING.warn(
                    "ending.not_main_thread",
                    "instrument() was not called in the main thread, so it cannot handle SIGTERM. "
                    "Spans that end in the last seconds before a SIGTERM are lost. Call "
                    "instrument() in the main thread.",
                )

    def remove(self, flushed: Flushable) -> None:
        """Flush this no more. When nothing is left to flush, the default action is back."""
        if flushed not in self._flushed:
            return
        self._flushed.remove(flushed)
        if self._flushed:
            return
        if signal.signal == self._set_handler:
            signal.signal = self._signal
        if signal.getsignal == self._get_handler:
            signal.getsignal = self._getsignal
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if self._getsignal(number) == self._on_signal:
                    self._signal(number, signal.SIG_DFL)

    def _set_handler(self, signalnum: int, handler: Any) -> Any:
        """Do what ``signal.signal`` does, with ours in the place of the default action."""
        if self._flushed and signalnum in SIGNALS and handler == signal.SIG_DFL:
            handler = self._on_signal
        return self._hidden_from_app(self._signal(signalnum, handler))

    def _get_handler(self, signalnum: int) -> Any:
        """Do what ``signal.getsignal`` does."""
        return self._hidden_from_app(self._getsignal(signalnum))

    def _hidden_from_app(self, handler: Any) -> Any:
        return signal.SIG_DFL if handler == self._on_signal else handler

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Flush, then take the default action. Python calls this in the main thread."""
        again = may_hold_locks(frame)
        if self._under_way is None:
            under_way = _thread.allocate_lock()
            under_way.acquire()
            try:
                # Not ``threading.Thread``: its start takes a lock that the interrupted code may hold.
                here = threading.get_native_id()
                _thread.start_new_thread(self._flush, (number, under_way, again, here))
            except RuntimeError:  # Python is about to exit: it flushes anyway
                return
            self._under_way = under_way
        elif again and not self._done:
            return
        if os.getpid() == 1:  # the kernel takes no default action for the first process
            return
        if not again and self._under_way.acquire(timeout=PATIENCE_SECONDS):
            self._under_way.release()
        if self._done or not again:
            self._signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _flush(self, number: int, under_way: _thread.LockType, again: bool, main: int) -> None:
        first = os.getpid() == 1
        try:
            for flushed in tuple(self._flushed):
                _flush(flushed, shut_down=not first)
        finally:
            if first:
                self.begin_anew()  # it lives on
            self._done = not first
            under_way.release()
        if again and not first:
            _send_to_main_thread(number, main)


def _flush(flushed: Flushable, *, shut_down: bool) -> None:
    try:
        if shut_down:
            flushed.shutdown()
        else:
            flushed.force_flush(int(PATIENCE_SECONDS * 1000))
    except Exception as error:
        ACCOUNTING.warn(
            "ending.failed",
            "The flush at a signal failed (%s: %s). Spans that ended before the signal may be "
            "lost. Please report it to mlflow-otel.",
            type(error).__name__,
            error,
        )


def _send_to_main_thread(number: int, native: int) -> None:
    main = threading.main_thread().ident
    # gevent and eventlet put greenlets in the place of threads: this is the main thread then, and
    # what they give as its identifier is none of the system's.
    if sys.platform == "win32" or main is None or threading.get_native_id() == native:
        signal.raise_signal(number)
    else:
        signal.pthread_kill(main, number)  # so that a sleeping main thread wakes up


def may_hold_locks(frame: FrameType | None) -> bool:
    """Tell whether the interrupted code may hold a lock that a flush needs.

    Args:
        frame: What was interrupted.
    """
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and name.partition(".")[0] in LOCKING:
            return True
        frame = frame.f_back
    return False


DEFAULT_ACTION: Final = DefaultAction()
"""The one of this process."""
