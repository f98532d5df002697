"""When a client that was refused is asked to come again: the later, the longer nothing can be taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

LEAST_SECONDS: Final = 2
MOST_SECONDS: Final = 30
FORGOTTEN_SECONDS: Final = 2 * MOST_SECONDS
"""After so long without a refusal the next one is the first."""


class Patience:
    """Says how long a client is asked to wait: as long as clients have been refused until now.

    MLflow's Python client sends a request eight times and keeps to ``Retry-After``. With the same two seconds
    each time, it would give up after fourteen. So a client that is refused from the start on tries for a
    minute and a half, and one that comes later for up to three and a half.

    The lock guards the two moments.

    Args:
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first = self._last = -float(FORGOTTEN_SECONDS)

    def seconds(self) -> int:
        """Note a refusal; return how long that client is to wait."""
        now = self._clock()
        with self._lock:
            if now - self._last >= FORGOTTEN_SECONDS:
                self._first = now
            self._last = now
            return max(LEAST_SECONDS, min(MOST_SECONDS, int(now - self._first)))


PATIENCE: Final = Patience()
"""That of this process, whatever its clients speak."""
