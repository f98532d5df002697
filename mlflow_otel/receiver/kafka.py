"""OTLP from Kafka: the records of a topic, read by a group of consumers that share its partitions.

On ``confluent-kafka`` (extra ``kafka``): Confluent's own client on librdkafka, with wheels for every
Python here. It is the one that brings all codecs of Kafka's producers, zstd among them, and sends
heartbeats from a thread of its own, so that a slow reader stays in its group.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from mlflow_otel.accounting import Accounting
from mlflow_otel.receiver.offsets import Offsets, Place, Progress
from mlflow_otel.receiver.topic_clock import TopicClock

INSTALL: Final = "Kafka needs a further package: pip install 'mlflow-otel[kafka]'"
OWN: Final[Mapping[str, str | int]] = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "earliest",
    "enable.partition.eof": "true",
    "partition.assignment.strategy": "cooperative-sticky",
    "queued.max.messages.kbytes": 16 * 1024,
    "topic.metadata.refresh.interval.ms": 10_000,
    "log_level": "2",  # what it says besides the errors that it reports here is for its developers
}
"""librdkafka's configuration, before what a file says."""
LOOK_SECONDS: Final = 1.0
"""How often the brokers are asked where the partitions end that were read to their end."""
LOOK_TIMEOUT: Final = 2.0
LATEST: Final = -1
"""Kafka's word for the end of a partition, in place of a time."""
COMMITTED_SECONDS: Final = 5.0
"""How long the broker may take to say how far a partition was read."""


class KafkaError(Exception):
    """Kafka cannot be read. The message says why, and what to do."""


class Record(NamedTuple):
    """A record of the topic.

    Args:
        place: Its partition.
        offset: Its place there.
        value: Its bytes.
        key: Its key.
        headers: Those whose values are text.
    """

    place: Place
    offset: int
    value: bytes
    key: bytes = b""
    headers: Mapping[str, str] = {}


class KafkaSource:
    """Reads a topic as one of a group.

    Args:
        brokers: Addresses, with commas between them.
        topic: The topic.
        group: The group that shares the topic's partitions.
        accounting: Gets ``kafka.*``.
        leaving: Called in the reading thread before partitions go to another reader: what is done
            with may still be committed.
        gone: Called with the partitions that went to another, who reads again what is not committed.
        config: More of librdkafka's configuration: TLS, SASL.
        clock: Told how far the topic was read.

    Raises:
        KafkaError: The client is not installed, or the configuration is not valid.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        group: str,
        accounting: Accounting,
        leaving: Callable[[], object] = lambda: None,
        gone: Callable[[Collection[Place]], object] = lambda _: None,
        config: Mapping[str, str] | None = None,
        clock: TopicClock | None = None,
    ) -> None:
        try:
            import confluent_kafka  # noqa: PLC0415 (only the extra brings it)
        except ImportError:
            raise KafkaError(INSTALL) from None
        self._kafka = confluent_kafka
        # Its documentation names it so: the underscore says that no broker sends it.
        self._end_of_partition = confluent_kafka.KafkaError._PARTITION_EOF  # noqa: SLF001
        self._accounting = accounting
        self._leaving = leaving
        self._gone = gone
        self._clock = clock or TopicClock()
        self._paused: bool | None = None  # None: some partitions are, others are not
        self._assigned: set[Place] = set()
        self._ends: dict[Place, int] = {}  # of partitions that were read to there, and no further
        self._look_at = 0.0
        self.offsets = Offsets()
        """What is read, and what is done with."""
        whole = {**OWN, "bootstrap.servers": brokers, "group.id": group, **(config or {})}
        hide_secrets(accounting, config or {})
        try:
            self._consumer = confluent_kafka.Consumer({**whole, "error_cb": self._failed})
            self._consumer.subscribe(
                [topic], on_assign=self._got, on_revoke=self._lose, on_lost=self._lost
            )
        except (confluent_kafka.KafkaException, ValueError, TypeError) as error:
            raise KafkaError(f"Kafka's configuration is not valid: {error}") from error

    def _failed(self, error: Any) -> None:
        self._accounting.warn(
            "kafka.failed",
            "Kafka cannot be reached, or refuses (%s). It is tried again; see the brokers' addresses "
            "and the configuration.",
            error.str(),
        )

    def _got(self, consumer: Any, places: Iterable[Any]) -> None:
        got = _places(places)
        self._assigned |= set(got)
        self._clock.got(got)
        self._paused = None  # what is newly assigned is not: see pause()
        try:
            found = consumer.committed(list(places), timeout=COMMITTED_SECONDS)
        except self._kafka.KafkaException:
            return  # what was done with out of order is read again
        for one in found:
            if one.offset >= 0 and one.metadata:
                self.offsets.skip(
                    Place(one.topic, one.partition), Progress(one.offset, one.metadata)
                )

    def _lose(self, _consumer: Any, places: Iterable[Any]) -> None:
        self._leaving()
        self._lost(_consumer, places)

    def _lost(self, _consumer: Any, places: Iterable[Any]) -> None:
        gone = _places(places)
        self._assigned -= set(gone)
        for place in gone:
            self._ends.pop(place, None)
        self._clock.lost(gone)
        self.offsets.forget(gone)
        self._gone(gone)

    def poll(self, seconds: float) -> Record | None:
        """Return the next record; None when there is none in time. Call it all the time.

        Raises:
            KafkaError: The group cannot be read any more.
        """
        self._clock.asks()
        self._look()
        try:
            message = self._consumer.poll(seconds)
        except self._kafka.KafkaException as error:
            raise KafkaError(f"Kafka cannot be read: {error}") from error
        if message is None:
            return None
        place = Place(message.topic(), message.partition())
        wrong = message.error()
        if wrong is not None and wrong.code() == self._end_of_partition:
            self._ends[place] = message.offset()
            return None
        if wrong is not None:
            if wrong.fatal():
                raise KafkaError(f"Kafka cannot be read: {wrong.str()}")
            self._failed(wrong)
            return None
        self._ends.pop(place, None)
        known, written = message.timestamp()
        self._clock.read(place, written / 1000 if known else None)
        record = Record(
            place,
            message.offset(),
            message.value() or b"",
            message.key() or b"",
            _texts(message.headers() or ()),
        )
        self.offsets.took(record.place, record.offset)
        if self.offsets.is_done(record.place, record.offset):
            self.offsets.done(record.place, record.offset)
            self._accounting.count("kafka.skipped")
            return None
        self._accounting.count("kafka.records")
        return record

    def _look(self) -> None:
        """Ask the brokers whether more was written to partitions that were read to their end.

        That nothing comes says nothing: they may be out of reach.
        """
        now = time.monotonic()
        if now < self._look_at or not self._ends:
            return
        asked = [self._kafka.TopicPartition(*place, LATEST) for place in self._ends]
        with contextlib.suppress(self._kafka.KafkaException):
            for one in self._consumer.offsets_for_times(asked, timeout=LOOK_TIMEOUT):
                place = Place(one.topic, one.partition)
                if one.error is None and one.offset == self._ends.get(place):
                    self._clock.read_all(place, now)
        self._look_at = time.monotonic() + LOOK_SECONDS

    def pause(self, *, paused: bool) -> None:
        """Read nothing for now, but stay in the group; or go on."""
        if paused == self._paused or not self._assigned:
            return
        places = [self._kafka.TopicPartition(*place) for place in self._assigned]
        with contextlib.suppress(self._kafka.KafkaException):  # one was just taken away
            (self._consumer.pause if paused else self._consumer.resume)(places)
            self._paused = paused
            self._clock.pause(paused=paused)

    def commit(self, finished: Mapping[Place, Progress]) -> bool:
        """Commit how far each partition was read; False when it is not taken, to be tried again.

        Partitions that are another reader's now are left out: it may have committed more.
        """
        places = [
            self._kafka.TopicPartition(*place, done.offset, done.beyond)
            for place, done in finished.items()
            if place in self._assigned
        ]
        if not places:
            return True
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except self._kafka.KafkaException as error:
            self._accounting.warn(
                "kafka.not_committed",
                "Kafka did not take how far was read (%s). It is tried again; what was read is read once "
                "more after a restart.",
                error,
            )
            return False
        self.offsets.committed(finished)
        return True

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


def _places(places: Iterable[Any]) -> list[Place]:
    return [Place(one.topic, one.partition) for one in places]


def _texts(pairs: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in pairs}


def hide_secrets(accounting: Accounting, config: Mapping[str, str]) -> None:
    """Keep the secrets of a configuration out of all messages."""
    accounting.hide(v for k, v in config.items() if "password" in k or "secret" in k)


def read_config(file: str) -> dict[str, str]:
    """Return the properties of a file: a line each, ``key=value``; ``#`` begins a comment.

    Raises:
        OSError: It cannot be read.
        ValueError: A line is none of these.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"line {number} of {file} is not key=value")
        found[key.strip()] = value.strip()
    return found
