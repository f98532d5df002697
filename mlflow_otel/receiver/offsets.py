"""Which records of a Kafka topic are done with, and so how far their partition may be committed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Offsets:
    """The records under way, by partition. Records may be done with in any order.

    A partition may be committed up to the first record that is not done with. The lock guards all
    fields.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Place, dict[int, bool]] = {}  # offsets in order; whether each is done
        self._next: dict[Place, int] = {}  # what may be committed and was not

    def took(self, place: Place, offset: int) -> None:
        """Note a record that was read."""
        with self._lock:
            self._under_way.setdefault(place, {})[offset] = False

    def done(self, place: Place, offset: int) -> None:
        """Note that a record is done with; one that is not known any more is another's now."""
        with self._lock:
            records = self._under_way.get(place)
            if records is None or offset not in records:
                return
            records[offset] = True
            for first in list(records):
                if not records[first]:
                    break
                del records[first]
                self._next[place] = first + 1

    def finished(self) -> Mapping[Place, int]:
        """Return what may be committed: the offset of the next record to read, by partition."""
        with self._lock:
            return dict(self._next)

    def committed(self, places: Mapping[Place, int]) -> None:
        """Note what was committed."""
        with self._lock:
            for place, offset in places.items():
                if self._next.get(place) == offset:
                    del self._next[place]

    def forget(self, places: Iterable[Place]) -> None:
        """Forget partitions that are another reader's now."""
        with self._lock:
            for place in places:
                self._under_way.pop(place, None)
                self._next.pop(place, None)

    @property
    def under_way(self) -> int:
        """Records that were read and are not done with."""
        with self._lock:
            return sum(len(records) for records in self._under_way.values())
