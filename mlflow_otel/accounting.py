"""Counts what happened to every span, and logs warnings about it, at most one a cause a minute."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from mlflow_otel import wording
from mlflow_otel.forking import begin_anew_in_child

logger: Final = logging.getLogger("mlflow_otel")

WARNING_INTERVAL_SECONDS: Final = 60.0
MAX_VALUE_CHARACTERS: Final = 1000
"""Of one value in a message."""


class Accounting:
    """Counters by outcome, and at most one logged warning a cause a minute.

    Counting and warning never raise. They never block on I/O, except on that of the logging handlers.
    The lock guards the counters. A warning is logged after the lock is released. A forked child begins
    with a new lock and counts from zero: the parent reports what it counted.

    Args:
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._secrets: frozenset[str] = frozenset()
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Count from zero, with a new lock. Called in a forked child too."""
        self._lock = threading.RLock()  # a signal handler may count in the middle of a call
        self._counts: Counter[str] = Counter()
        self._warned_at: dict[str, float] = {}
        self._held_back: Counter[str] = Counter()

    def count(self, outcome: str, number: int = 1) -> None:
        """Add ``number`` to the counter of ``outcome``."""
        with self._lock:
            self._counts[outcome] += number

    def hide(self, secrets: Iterable[str]) -> None:
        """Hide these secrets in every warning from now on: an error of other code may contain them."""
        self._secrets = self._secrets.union(secrets)

    def warn(self, cause: str, message: str, *args: object, number: int = 1) -> None:
        """Count ``cause`` and log ``message``, at most once a minute for each cause.

        Args:
            cause: A short stable name; it is the counter's name too.
            message: What happened and what to do about it, in ``%``-style.
            args: The values of ``message``. Texts and errors are shown as ``wording`` shows a
                server's text: one line, without what ``hide`` was told.
            number: To how many spans or other items it happened.
        """
        with self._lock:
            self._counts[cause] += number
            now = self._clock()
            last = self._warned_at.get(cause)
            if last is not None and now - last < WARNING_INTERVAL_SECONDS:
                self._held_back[cause] += 1
                return
            self._warned_at[cause] = now
            held_back = self._held_back.pop(cause, 0)
        if held_back:
            message += f" ({held_back} more like this since the last warning)"
        logger.warning(message, *(_Shown.of(value, self._secrets) for value in args))

    def snapshot(self) -> dict[str, int]:
        """Return all counters as they are now."""
        with self._lock:
            return dict(self._counts)

    def prefixed(self, prefix: str) -> Accounting:
        """Return a view whose counters and causes are this one's, with a prefix."""
        return _Prefixed(self, prefix) if prefix else self


class _Prefixed(Accounting):
    def __init__(self, whole: Accounting, prefix: str) -> None:  # its state is the whole's
        self._whole = whole
        self._prefix = prefix

    def hide(self, secrets: Iterable[str]) -> None:
        self._whole.hide(secrets)

    def count(self, outcome: str, number: int = 1) -> None:
        self._whole.count(self._prefix + outcome, number)

    def warn(self, cause: str, message: str, *args: object, number: int = 1) -> None:
        self._whole.warn(self._prefix + cause, message, *args, number=number)

    def snapshot(self) -> dict[str, int]:
        start = len(self._prefix)
        counts = self._whole.snapshot().items()
        return {key[start:]: n for key, n in counts if key.startswith(self._prefix)}


class Silent(Accounting):
    """Counts what would be warned about, and logs nothing: for commands that show it themselves."""

    def warn(self, cause: str, message: str, *args: object, number: int = 1) -> None:  # noqa: ARG002
        """Count ``cause``."""
        self.count(cause, number)


class _Shown:
    """A value in a message. Secrets are hidden in it when the message is written."""

    __slots__ = ("_secrets", "_value")

    def __init__(self, value: object, secrets: frozenset[str]) -> None:
        self._value = value
        self._secrets = secrets

    @classmethod
    def of(cls, value: object, secrets: frozenset[str]) -> object:
        return value if isinstance(value, (int, float)) else cls(value, secrets)

    def __str__(self) -> str:
        return wording.server_text(str(self._value), self._secrets, MAX_VALUE_CHARACTERS)

    def __repr__(self) -> str:
        return wording.server_text(repr(self._value), self._secrets, MAX_VALUE_CHARACTERS)


ACCOUNTING: Final = Accounting()
"""The process's own: what ``handle.stats()`` reads."""
