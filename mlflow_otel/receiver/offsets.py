"""Which records of a Kafka topic are done with, and so how far their partition may be committed.

A partition can be committed up to its first record that is not done with. What is done with beyond it stands in the
commit's metadata, so that whoever reads the partition next leaves it out.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

VERSION: Final = "r1"
"""What the metadata begins with; what begins otherwise is somebody else's."""
MAX_METADATA: Final = 4000
"""Characters. Brokers take 4096 bytes (``offset.metadata.max.bytes``); what does not fit is read again."""


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Progress(NamedTuple):
    """How far a partition was read.

    Args:
        offset: Of the first record that is not done with.
        beyond: Which of the later ones are, as the commit's metadata says it.
    """

    offset: int
    beyond: str = ""


class Offsets:
    """The records under way, by partition. Records may be done with in any order.

    The lock guards all fields.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._under_way: dict[Place, OrderedDict[int, bool]] = {}  # whether each is done, in order
        self._next: dict[Place, int] = {}  # the first that is not done with, where all are
        self._changed: set[Place] = set()  # what was not committed as it is now
        self._skip: dict[Place, list[range]] = {}

    @property
    def at_once(self) -> AbstractContextManager[object]:
        """Enter it while several records become done with: all of them are committed, or none."""
        return self._lock

    def took(self, place: Place, offset: int) -> None:
        """Note a record that was read."""
        with self._lock:
            self._under_way.setdefault(place, OrderedDict())[offset] = False

    def done(self, place: Place, offset: int) -> None:
        """Note that a record is done with; one that is not known any more is another's now."""
        with self._lock:
            records = self._under_way.get(place)
            if records is None or offset not in records:
                return
            records[offset] = True
            self._changed.add(place)
            while records and records[first := next(iter(records))]:
                del records[first]
                self._next[place] = first + 1

    def finished(self) -> Mapping[Place, Progress]:
        """Return what may be committed, by partition, where it is not what was committed."""
        with self._lock:
            return {place: self._progress(place) for place in self._changed}

    def _progress(self, place: Place) -> Progress:
        records = self._under_way.get(place)
        if not records:
            return Progress(self._next[place])
        first = next(iter(records))
        return Progress(first, written(first, [o for o, is_done in records.items() if is_done]))

    def committed(self, places: Mapping[Place, Progress]) -> None:
        """Note what was committed."""
        with self._lock:
            for place, progress in places.items():
                if place in self._changed and self._progress(place) == progress:
                    self._changed.discard(place)

    def skip(self, place: Place, progress: Progress) -> None:
        """Note which records of a partition were done with when somebody committed it."""
        with self._lock:
            self._skip[place] = read(progress)

    def is_done(self, place: Place, offset: int) -> bool:
        """Tell whether a record was done with before it was read here. Ask in the order of offsets."""
        with self._lock:
            left = self._skip.get(place, [])
            while left and left[0].stop <= offset:
                left.pop(0)
            return bool(left) and offset in left[0]

    def is_under_way(self, place: Place, offset: int) -> bool:
        """Tell whether a record was read by this reader, and is not done with."""
        with self._lock:
            records = self._under_way.get(place)
            return records is not None and records.get(offset) is False

    def forget(self, places: Iterable[Place]) -> None:
        """Forget partitions that are another reader's now."""
        with self._lock:
            for place in places:
                self._under_way.pop(place, None)
                self._next.pop(place, None)
                self._skip.pop(place, None)
                self._changed.discard(place)

    @property
    def under_way(self) -> int:
        """Records that were read and stand before one that is not done with, or are none themselves."""
        with self._lock:
            return sum(len(records) for records in self._under_way.values())


def written(first: int, done: Collection[int]) -> str:
    """Return offsets as runs: how many are left out, how many follow, and so on, from ``first`` on.

    Args:
        first: Where to begin.
        done: Offsets above, in order.
    """
    numbers: list[int] = []
    after = first
    for offset in done:
        if numbers and offset == after:
            numbers[-1] += 1
        else:
            numbers += (offset - after, 1)
        after = offset + 1
    text = ",".join((VERSION, *map(str, numbers)))
    while len(text) > MAX_METADATA:  # the last ones are read again
        numbers = numbers[: len(numbers) * MAX_METADATA // len(text) // 2 * 2]
        text = ",".join((VERSION, *map(str, numbers)))
    return text if numbers else ""


def read(progress: Progress) -> list[range]:
    """Return the runs of a commit's metadata; none if it is not ours."""
    version, *numbers = (progress.beyond or "").split(",")
    if version != VERSION or len(numbers) % 2 or not all(map(_is_number, numbers)):
        return []
    runs = []
    at = progress.offset
    for left_out, number in zip(numbers[::2], numbers[1::2], strict=True):
        runs.append(range(at + int(left_out), at + int(left_out) + int(number)))
        at = runs[-1].stop
    return runs


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
