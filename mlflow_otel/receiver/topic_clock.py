"""The time in which a trace of a topic ages: it stands still while the reader is behind.

What a trace still lacks may lie in the topic, unread: while a bridge waits for its backend, while partitions move
to it, while it does not reach the brokers, when it comes back after an hour. By the clock on the wall such a trace would be too old, and would leave
without the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable

from mlflow_otel.receiver.offsets import Place


class TopicClock:
    """Tells until when everything that was written to the topic was read here.

    It never goes back, and is never ahead of ``now``. A partition of which nothing was read yet holds it back,
    and so does one that is paused, or of which the brokers do not say that nothing more lies there. The thread that reads writes to it; any thread may ask.

    Args:
        now: Monotonic seconds; a test passes its own.
        wall: Seconds since 1970, as in the records' timestamps; a test passes its own.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._wall = wall
        self._read_until: dict[Place, float] = {}
        self._paused: set[Place] = set()
        self._asked = self._before = self._time = now()

    def __call__(self) -> float:
        """Return it, in seconds that compare with ``now``."""
        return self._time

    def got(self, places: Collection[Place]) -> None:
        """Note partitions that are read here from now on. They are not paused."""
        self._read_until.update(dict.fromkeys(places, -math.inf))

    def lost(self, places: Iterable[Place]) -> None:
        """Note partitions that another one reads."""
        for place in places:
            self._read_until.pop(place, None)
            self._paused.discard(place)

    def pause(self, *, paused: bool) -> None:
        """Note that nothing is read for now, or that reading goes on."""
        self._paused = set(self._read_until) if paused else set()

    def asks(self) -> None:
        """Note that the topic is asked for the next record."""
        self._before, self._asked = self._asked, self._now()
        self._go_on()

    def read(self, place: Place, written: float | None) -> None:
        """Note a record.

        Args:
            place: Its partition.
            written: Its timestamp, in seconds since 1970; None if it has none.
        """
        if place in self._read_until and written is not None:
            self._read_until[place] = min(self._before, written - self._wall() + self._now())
        self._go_on()

    def read_all(self, place: Place, moment: float) -> None:
        """Note that all records of a partition were read that were there at a moment.

        Args:
            place: The partition.
            moment: When the brokers were asked where it ends, or before; on the clock of ``now``.
        """
        if place in self._read_until and place not in self._paused:
            self._read_until[place] = max(self._read_until[place], moment)
        self._go_on()

    def _go_on(self) -> None:
        self._time = max(self._time, min(self._read_until.values(), default=self._before))
