"""Records from Kafka: read, worked at, and committed when what came of them was accepted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final, Protocol

from mlflow_otel.receiver.kafka import KafkaError, KafkaSource, Record
from mlflow_otel.receiver.offsets import Place, Progress
from mlflow_otel.receiver.server import BusyError
from mlflow_otel.receiver.tickets import Ticket

POLL_SECONDS: Final = 0.5
COMMIT_SECONDS: Final = 1.0
LEAVING_SECONDS: Final = 5.0


class Works(Protocol):
    """Works at records. All but ``flush`` is called by the thread that reads."""

    @property
    def busy(self) -> str | None:
        """Why no record can be taken now, or None."""
        ...

    def take(self, record: Record, ticket: Ticket) -> None:
        """Take a record and its ticket. The ticket is let go of when nobody works at the record any more.

        What cannot be read is counted.

        Raises:
            BusyError: It cannot be taken now. The ticket is not used then.
        """
        ...

    def forget(self, places: Collection[Place]) -> None:
        """Drop what is not done with of these partitions: another reader gets it again."""
        ...

    def flush(self, seconds: float) -> bool:
        """Wait until all that came of finished records was accepted; True if it was, in time."""
        ...


class Consuming:
    """Reads a topic until it is told to stop.

    A record is committed when it is done with, and the backend has accepted everything that came of it. So
    a process that is killed loses nothing: another one reads its records again.

    Args:
        open_source: Opens the topic, given what to call before partitions go to another reader, and
            what to call with those that went.
        works: Works at the records.
    """

    def __init__(
        self,
        open_source: Callable[
            [Callable[[], object], Callable[[Collection[Place]], object]], KafkaSource
        ],
        works: Works,
    ) -> None:
        self._works = works
        self._source = open_source(self._commit_now, works.forget)
        self._stopped = threading.Event()
        self._accepted: Mapping[Place, Progress] = {}  # the backend has it: to be committed
        self.failed: KafkaError | None = None
        """Why it ended by itself."""
        self._reader = threading.Thread(target=self._read, name="mlflow-otel kafka", daemon=True)
        self._flusher = threading.Thread(
            target=self._flush_often, name="mlflow-otel kafka flush", daemon=True
        )

    def start(self, ended: Callable[[], object]) -> None:
        """Begin to read; ``ended`` is called when it cannot go on."""
        self._ended = ended
        self._reader.start()
        self._flusher.start()

    def _read(self) -> None:
        waiting: deque[Record] = deque()  # read, and not taken: there is no room
        try:
            while not self._stopped.is_set():
                while waiting and (self._is_gone(waiting[0]) or self._take(waiting[0])):
                    waiting.popleft()
                accepted, self._accepted = self._accepted, {}
                self._source.commit(accepted)
                self._source.pause(paused=bool(waiting) or self._works.busy is not None)
                record = self._source.poll(POLL_SECONDS)
                if record is not None and (waiting or not self._take(record)):
                    waiting.append(record)
        except KafkaError as error:
            self.failed = error
            self._ended()
        except (
            Exception
        ) as error:  # a fault of ours: another process reads on from what is committed
            self.failed = KafkaError(
                f"the topic is not read any more: {type(error).__name__}: {error}"
            )
            self._ended()

    def _is_gone(self, record: Record) -> bool:
        """Tell whether a record that waits is another reader's now."""
        return not self._source.offsets.is_under_way(record.place, record.offset)

    def _take(self, record: Record) -> bool:
        """Have a record worked at; False when there is no room for it."""
        ticket = Ticket(
            partial(self._source.offsets.done, record.place, record.offset),
            record.place,
            self._source.offsets.at_once,
        )
        try:
            self._works.take(record, ticket)
        except BusyError:
            return False
        return True

    def _flush_often(self) -> None:
        # Commits are the reader's: one of another thread's would wait for partitions that are about
        # to move, and these for the reader.
        while not self._stopped.wait(COMMIT_SECONDS):
            finished = self._source.offsets.finished()
            if finished and self._works.flush(LEAVING_SECONDS):
                self._accepted = finished

    def _commit_now(self) -> None:
        """Commit what can be, before partitions go to another reader. Called by the reader."""
        finished = self._source.offsets.finished()
        if finished and self._works.flush(LEAVING_SECONDS):
            self._source.commit(finished)

    def stop_reading(self) -> None:
        """Read no more. What was read is worked at as any other."""
        self._stopped.set()
        self._reader.join()
        self._flusher.join()

    def close(self, *, accepted: bool) -> None:
        """Commit what is done with, if the backend has accepted it, and leave the group."""
        finished = self._source.offsets.finished()
        if accepted:
            self._source.commit(finished)
        self._source.offsets.forget(finished)  # leaving commits what is finished
        self._source.close()

    def stats(self) -> Mapping[str, int]:
        """Return how many records are under way."""
        return {"kafka.under_way": self._source.offsets.under_way}
