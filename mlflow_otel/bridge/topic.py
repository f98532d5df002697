"""A Kafka topic of pieces, written: a client is answered when all brokers in sync have what it sent.

Records are keyed by the trace's ID in hex digits, as the Collector's Kafka exporter keys them with
``partition_traces_by_id``, and partitioned as Java's clients do. On ``confluent-kafka``, as
``mlflow_otel.receiver.kafka``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import pieces
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.pieces import Piece
from mlflow_otel.holding.sweeper import Sweeper
from mlflow_otel.otlp import wire
from mlflow_otel.receiver.kafka import INSTALL, KafkaError, hide_secrets

WRITE_SECONDS: Final = 8.0
"""How long the brokers may take. OTLP's clients wait for 10 s."""
OWN: Final[Mapping[str, str | int]] = {
    "acks": "all",
    "enable.idempotence": "true",
    "partitioner": "murmur2_random",
    "compression.type": "zstd",
    "message.max.bytes": 128 * 1024 * 1024,
    "message.timeout.ms": int(WRITE_SECONDS * 1000),
    "topic.metadata.refresh.interval.ms": 10_000,
    "log_level": "2",  # what it says besides the errors that it reports here is for its developers
}
"""librdkafka's configuration, before what a file says."""
POLL_SECONDS: Final = 0.1
PROBE_SECONDS: Final = 1.0
PROBE_TIMEOUT: Final = 3.0


class _Answers:
    """What the brokers say of the pieces of one request. The condition guards both fields."""

    def __init__(self, number: int) -> None:
        self._changed = threading.Condition()
        self._missing = number
        self.failed: Any = None

    def told(self, error: Any, _message: Any) -> None:
        with self._changed:
            self._missing -= 1
            self.failed = self.failed or error
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._missing <= 0, seconds)


class Topic:
    """Writes pieces. Safe to call from any thread.

    While the brokers do not answer, what comes is refused at once: a thread asks them each second.

    Args:
        brokers: Addresses, with commas between them.
        name: The topic's.
        accounting: Gets ``kafka.written``, ``kafka.refused``.
        config: More of librdkafka's configuration: TLS, SASL.

    Raises:
        KafkaError: The client is not installed, or the configuration is not valid.
    """

    def __init__(
        self, brokers: str, name: str, accounting: Accounting, config: Mapping[str, str]
    ) -> None:
        try:
            import confluent_kafka  # noqa: PLC0415 (only the extra brings it)
        except ImportError:
            raise KafkaError(INSTALL) from None
        self._kafka = confluent_kafka
        self._name = name
        self._accounting = accounting
        hide_secrets(accounting, config)
        self._down: str | None = "Kafka was not reached yet"
        self._suspect = False  # the client lost its connections: perhaps only idle ones
        self._why = ""  # what it said of that last: the answer to a question is that nobody answers
        self._stopped = threading.Event()
        whole = {**OWN, "bootstrap.servers": brokers, **config}
        try:
            self._producer = confluent_kafka.Producer({**whole, "error_cb": self._failed})
        except (confluent_kafka.KafkaException, ValueError, TypeError) as error:
            raise KafkaError(f"Kafka's configuration is not valid: {error}") from error
        self._poller = threading.Thread(target=self._poll, name="mlflow-otel kafka", daemon=True)
        self._poller.start()
        self._prober = Sweeper(self.probe, PROBE_SECONDS, "mlflow-otel kafka probe")
        self._prober.start()

    @property
    def down(self) -> str | None:
        """Why nothing can be written now, or None."""
        return self._down

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(POLL_SECONDS)

    def _failed(self, error: Any) -> None:
        if error.fatal():
            self._lost(error.str())
        if error.code() != self._kafka.KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 (documented)
            self._why = error.str()
        self._suspect = True

    def _lost(self, why: str) -> None:
        self._down = f"Kafka cannot be written: {why}"
        self._accounting.warn(
            "kafka.failed",
            "Kafka cannot be written (%s). Clients are asked to come again, so nothing is lost; see the "
            "brokers' addresses, the topic and the configuration.",
            why,
        )

    def probe(self) -> None:
        """Ask the brokers for the topic, if something is wrong with them; a thread calls this."""
        if self._down is None and not self._suspect:
            return
        self._suspect = False
        try:
            found = self._producer.list_topics(self._name, PROBE_TIMEOUT).topics[self._name]
        except self._kafka.KafkaException as error:
            self._lost(self._why or error.args[0].str())
            return
        if found.error is not None:
            self._lost(found.error.str())
        else:
            self._down, self._why = None, ""

    def write(self, written: Sequence[Piece]) -> None:
        """Write pieces; return when the brokers have all of them.

        Raises:
            RefusedError: With 503: they do not; some may be written all the same. With 413: a piece is
                larger than they take.
        """
        if self._down is not None:
            self._refuse(503, self._down)
        answers = _Answers(len(written))
        for piece in written:
            self._produce(piece, answers)
        if not answers.wait(WRITE_SECONDS + PROBE_TIMEOUT):
            self._refuse(503, "Kafka does not answer")
        error = answers.failed
        if error is None:
            self._accounting.count("kafka.written", len(written))
            return
        if error.code() == self._kafka.KafkaError.MSG_SIZE_TOO_LARGE:
            self._accounting.warn(
                "kafka.too_large",
                "A span or a TraceInfo was refused: it is larger than the topic takes. Raise its "
                "max.message.bytes.",
            )
            self._refuse(413, "a span is larger than Kafka's topic takes (max.message.bytes)")
        self._lost(error.str())
        self._refuse(503, self._down or "Kafka cannot be written")

    def _produce(self, piece: Piece, answers: _Answers) -> None:
        said = {name: wire.text(value) for name, value in pieces.headers(piece).items()}
        key = piece.trace_id.hex().encode() or None
        try:
            self._producer.produce(
                self._name, piece.value, key, headers=said, on_delivery=answers.told
            )
        except BufferError:
            self._refuse(503, "too much waits for Kafka")
        except self._kafka.KafkaException as error:
            answers.told(error.args[0], None)

    def _refuse(self, status: int, why: str) -> None:
        self._accounting.count("kafka.refused")
        raise RefusedError(status, why)

    def close(self, seconds: float) -> None:
        """Wait for what is on its way."""
        self._prober.stop()
        self._stopped.set()
        self._poller.join()
        self._producer.flush(seconds)
