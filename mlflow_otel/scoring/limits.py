"""What keeps a scorer from running too often: a token bucket, a cost cap a day, a breaker.

Each is asked before a run, with the time in seconds, and told afterwards. None has a lock: the one
who asks has one. They keep no time themselves, so a test needs no waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FAILURES: Final = 5
"""Failures in a row that open the breaker."""
PAUSE_SECONDS: Final = 60.0
"""How long it stays open before it lets one run through."""
DAY_SECONDS: Final = 24 * 3600


class TokenBucket:
    """Allows so many runs a minute. After a pause as many may come at once.

    Args:
        per_minute: How many.
        now: Seconds.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._most = max(per_minute, 1.0)
        self._tokens = self._most
        self._since = now

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        earned = max(now - self._since, 0.0) * self._rate
        self._tokens = min(self._tokens + earned, self._most)
        self._since = max(now, self._since)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class CostCap:
    """Allows runs until they have cost so much in a day (UTC).

    A run's cost is known when it is over, so the cap may be passed by what runs at that moment.

    Args:
        per_day: US dollars.
    """

    def __init__(self, per_day: float) -> None:
        self._per_day = per_day
        self._day = -1
        self.spent = 0.0
        """US dollars of the current day."""

    def allows(self, epoch: float) -> bool:
        """Tell whether another run may begin, at a time in seconds since the epoch."""
        self._turn(epoch)
        return self.spent < self._per_day

    def add(self, dollars: float, epoch: float) -> None:
        """Count what a run has cost."""
        self._turn(epoch)
        self.spent += max(dollars, 0.0)

    def _turn(self, epoch: float) -> None:
        day = int(epoch // DAY_SECONDS)
        if day != self._day:
            self._day, self.spent = day, 0.0


class Breaker:
    """Stops a scorer that fails again and again, and tries it once after a pause.

    Args:
        opened: Called each time the breaker opens after it was closed.
        failures: Failures in a row that open it.
        pause: Seconds that it stays open.
    """

    def __init__(
        self,
        opened: Callable[[], object],
        failures: int = FAILURES,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._opened = opened
        self._most = failures
        self._pause = pause
        self._in_a_row = 0
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has opened and no run succeeded since."""
        return self._open_until is not None

    def allows(self, now: float) -> bool:
        """Tell whether a run may begin; after a pause one may, and the pause begins anew."""
        if self._open_until is None:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + self._pause
        return True

    def succeeded(self) -> None:
        """Close."""
        self._in_a_row = 0
        self._open_until = None

    def failed(self, now: float) -> None:
        """Count a failure; open when there were too many in a row."""
        self._in_a_row += 1
        if self._in_a_row < self._most:
            return
        was_open = self.is_open
        self._open_until = now + self._pause
        if not was_open:
            self._opened()
