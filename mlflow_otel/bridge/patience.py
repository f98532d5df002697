"""When a client that was refused is asked to come again: the later, the longer nothing was taken."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

LEAST_SECONDS: Final = 2
MOST_SECONDS: Final = 30
FORGOTTEN_SECONDS: Final = 2 * MOST_SECONDS
"""After so long without a refusal the next one is the first."""


class Patience:
    """Says how long a client is asked to wait: as long as nothing has been taken, up to twice that.

    MLflow's Python client sends a request eight times and keeps to ``Retry-After``. With the same two seconds
    each time, it would give up after fourteen. So a client that is refused from the start on tries for a
    minute and a half at least, and for up to three and a half. Where some requests are taken between the
    refused ones, there is too much to do, but it gets done: then clients wait no longer than they must.

    Clients that were refused in one second are asked to come in different ones. Else all come at once, and
    most of them are refused again, for as long as the last of them has something to send.

    The lock guards the two moments.

    Args:
        clock: Monotonic seconds; a test passes its own.
        between: Returns a whole number from the first to the second, both included.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        between: Callable[[int, int], int] = random.randint,
    ) -> None:
        self._clock = clock
        self._between = between
        self._lock = threading.Lock()
        self._first: float | None = None
        self._last = 0.0

    def seconds(self) -> int:
        """Note a refusal; return how long that client is to wait."""
        now = self._clock()
        with self._lock:
            if self._first is None or now - self._last >= FORGOTTEN_SECONDS:
                self._first = now
            self._last = now
            least = max(LEAST_SECONDS, min(MOST_SECONDS, int(now - self._first)))
        return self._between(least, min(2 * least, MOST_SECONDS))

    def taken(self) -> None:
        """Note that something was taken: the next refusal is the first."""
        if self._first is not None:
            with self._lock:
                self._first = None


PATIENCE: Final = Patience()
"""That of this process for spans, logs, metrics and TraceInfos, whatever their clients speak."""
ANSWERS: Final = Patience()
"""That for all else, which may need another server's answer: it may be away while spans are taken."""
