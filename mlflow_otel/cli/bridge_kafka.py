"""The bridge with Kafka in it: who accepts, who maps, and how both begin and end (docs/bridge.md)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from mlflow_otel.accounting import Accounting
from mlflow_otel.backends.model import TraceBackend
from mlflow_otel.bridge.accepting import Accepting, AcceptingFeedback
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.intake import Intake
from mlflow_otel.bridge.leaving import Keep
from mlflow_otel.bridge.mlflow_api import context_of
from mlflow_otel.bridge.reading import Reading
from mlflow_otel.bridge.remembering import Memory
from mlflow_otel.bridge.taking import Taking
from mlflow_otel.bridge.topic import Topic
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.receiver.consuming import Consuming
from mlflow_otel.receiver.kafka import KafkaSource, read_config
from mlflow_otel.receiver.offsets import Place
from mlflow_otel.receiver.topic_clock import TopicClock
from mlflow_otel.settings import Settings

Role = Literal["accept", "map", "both"]
FOR_EVER_SECONDS: Final = 7 * 24 * 3600.0
"""How long a request to the backend is tried again: what is given up would be committed."""


@dataclass(frozen=True)
class KafkaOptions:
    """Where the topic is, and what this process does with it.

    Args:
        brokers: Addresses, with commas between them.
        topic: The topic.
        group: The group of mapping bridges that share its partitions.
        role: What this process does.
        config: A file with more of librdkafka's configuration.
    """

    brokers: str
    topic: str
    group: str
    role: Role = "both"
    config: str | None = None


class KafkaBridge:
    """One process of several that have a topic between them.

    Args:
        kafka: The topic, and the role.
        settings: Where to and how to deliver.
        options: How to map.
        accounting: Gets all counters.
        keep: Tells whether a span leaves, or None: all do.

    Raises:
        KafkaError: The client is not installed, or its configuration is not valid.
        OSError: The file with the configuration cannot be read.
        ValueError: It is none.
    """

    def __init__(
        self,
        kafka: KafkaOptions,
        settings: Settings,
        options: MappingOptions,
        accounting: Accounting,
        keep: Keep | None,
    ) -> None:
        config = {} if kafka.config is None else read_config(kafka.config)
        self.accepting: Accepting | None = None
        self._taking: Taking | None = None
        self._consuming: Consuming | None = None
        if kafka.role != "map":
            topic = Topic(kafka.brokers, kafka.topic, accounting, config)
            self.accepting = Accepting(settings, options, accounting, topic)
        if kafka.role != "accept":
            kept = replace(settings, spool_dir=None, retry_timeout=FOR_EVER_SECONDS)
            clock = TopicClock()
            taking = self._taking = Taking(kept, options, accounting, keep, clock)
            where = kafka.brokers, kafka.topic, kafka.group

            def opened(
                leaving: Callable[[], object], gone: Callable[[Collection[Place]], object]
            ) -> KafkaSource:
                return KafkaSource(*where, accounting, leaving, gone, config, clock)

            self._consuming = Consuming(opened, taking)
            if self.accepting is not None:
                self.accepting.beside = self._mapping_stats
            taking.beside = self._consuming.stats

    @property
    def face(self) -> Intake:
        """What clients talk to."""
        found = self.accepting or self._taking
        assert found is not None  # noqa: S101 (a role has one of them)
        return found

    @property
    def memory(self) -> TraceBackend:
        """The traces that came last; none if they only pass."""
        return Memory((self._taking or self.face).memory)

    def feedback(self, *asked: Any) -> Feedback:
        """Return what takes assessments, given the rest of its arguments."""
        if self.accepting is None:
            return Feedback(self.face, *asked)
        return AcceptingFeedback(self.accepting, *asked)

    @property
    def failed(self) -> str | None:
        """Why the topic is not read any more, or None."""
        return None if self._taking is None else self._taking.failed

    @staticmethod
    def _say_what_stays() -> None:
        print(
            "The backend did not accept everything in time. The rest stays in Kafka, for the next bridge.",
            file=sys.stderr,
        )

    def _mapping_stats(self) -> Mapping[str, int]:
        return {} if self._taking is None else self._taking.stats()

    def start(self, reading: Reading) -> None:
        """Begin to map.

        Args:
            reading: Asked for traces that are not remembered, when a tag of them changes.
        """
        taking, consuming = self._taking, self._consuming
        if taking is None or consuming is None:
            return

        def stored(trace_id: int) -> tuple[TraceContext, int | None] | None:
            try:
                found = reading.stored(trace_id)
            except RefusedError:
                return None  # the tag leaves with what is known
            return None if found is None else (context_of(found[0], {}), found[1])

        def ended() -> None:
            taking.failed = str(consuming.failed)
            os.kill(os.getpid(), signal.SIGTERM)

        taking.stored = stored
        consuming.start(ended)

    def close(self, seconds: float) -> None:
        """Deliver what was handed on, in time, commit it, and leave the group."""
        if self.accepting is not None:
            self.accepting.close(seconds / 2)
        if self._consuming is not None and self._taking is not None:
            self._consuming.stop_reading()
            accepted = self._taking.flush(seconds / 2)
            self._consuming.close(accepted=accepted)
            if accepted:
                self._taking.close(1)
            else:  # closing would count as lost what another bridge reads again
                self._say_what_stays()
