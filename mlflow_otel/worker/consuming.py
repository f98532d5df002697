"""Traces from Kafka: read, judged, and committed when their results were accepted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

from google.protobuf.message import DecodeError

from mlflow_otel.accounting import Accounting
from mlflow_otel.receiver.kafka import KafkaError, KafkaSource, Record
from mlflow_otel.receiver.offsets import Place
from mlflow_otel.receiver.server import BusyError
from mlflow_otel.worker.service import ScoreWorker
from mlflow_otel.worker.tickets import Ticket

POLL_SECONDS: Final = 0.5
COMMIT_SECONDS: Final = 1.0
LEAVING_SECONDS: Final = 5.0


class Consuming:
    """Reads a topic until it is told to stop.

    A record is committed when its traces, and their sessions, were judged and the backend has accepted
    every result. So a worker that is killed loses nothing: another reads its records again, and says the
    same with the same IDs.

    Args:
        open_source: Opens the topic, given what to call before partitions go to another reader, and
            what to call with those that went.
        worker: Judges.
        accounting: Gets ``kafka.not_otlp``.
    """

    def __init__(
        self,
        open_source: Callable[
            [Callable[[], object], Callable[[Collection[Place]], object]], KafkaSource
        ],
        worker: ScoreWorker,
        accounting: Accounting,
    ) -> None:
        self._worker = worker
        self._accounting = accounting
        self._source = open_source(self._commit_now, worker.forget)
        self._stopped = threading.Event()
        self._accepted: Mapping[Place, int] = {}  # the backend has the results: to be committed
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
        waiting: deque[Record] = deque()  # read, and not taken: the worker is busy
        try:
            while not self._stopped.is_set():
                while waiting and self._take(waiting[0]):
                    waiting.popleft()
                accepted, self._accepted = self._accepted, {}
                self._source.commit(accepted)
                self._source.pause(paused=bool(waiting) or self._worker.busy is not None)
                record = self._source.poll(POLL_SECONDS)
                if record is not None and (waiting or not self._take(record)):
                    waiting.append(record)
        except KafkaError as error:
            self.failed = error
            self._ended()

    def _take(self, record: Record) -> bool:
        """Have a record judged; False when there is no room for it."""
        ticket = Ticket(
            partial(self._source.offsets.done, record.place, record.offset), record.place
        )
        try:
            self._worker.add("traces", record.value, ticket)
        except BusyError:
            return False
        except DecodeError as error:
            self._accounting.warn(
                "kafka.not_otlp",
                "A record of the topic is no OTLP request and was left out (%s). See that its producer "
                "writes otlp_proto.",
                error,
            )
        ticket.let_go()
        return True

    def _flush_often(self) -> None:
        # Commits are the reader's: one of another thread's would wait for partitions that are about
        # to move, and these for the reader.
        while not self._stopped.wait(COMMIT_SECONDS):
            finished = self._source.offsets.finished()
            if finished and self._worker.results.flush(LEAVING_SECONDS):
                self._accepted = finished

    def _commit_now(self) -> None:
        """Commit what can be, before partitions go to another worker. Called by the reader."""
        finished = self._source.offsets.finished()
        if finished and self._worker.results.flush(LEAVING_SECONDS):
            self._source.commit(finished)

    def stop_reading(self) -> None:
        """Read no more. What was read is judged as any other."""
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
