"""``mlflow-otel score``: scorers in a process of their own, on traces that come over OTLP or through Kafka."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.cli.circle import sends_to_itself
from mlflow_otel.instrumentation import instrument, uninstrument
from mlflow_otel.receiver.consuming import Consuming
from mlflow_otel.receiver.kafka import KafkaError, KafkaSource, read_config
from mlflow_otel.receiver.offsets import Place
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.receiver.topic_clock import TopicClock
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter
from mlflow_otel.worker.service import ScoreWorker, Waits, open_worker

SERVICE: Final = "mlflow-otel-score"
FOR_EVER_SECONDS: Final = 7 * 24 * 3600.0
"""How long results are sent again that came of Kafka: what is given up is not committed, and judged again."""
REQUESTS_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Listening:
    """Where traces come from.

    Args:
        grpc: Host and port for OTLP/gRPC; port 0 for a free one.
        http: The same for OTLP/HTTP, health and metrics.
        tls: PEM files of certificate chain, private key and clients' CA.
        kafka: Addresses of Kafka's brokers; None: none.
        topic: The topic with the traces.
        group: The group of workers that share it.
        kafka_config: A file with more of librdkafka's configuration.
    """

    grpc: tuple[str, int]
    http: tuple[str, int]
    tls: tuple[str | None, str | None, str | None] = (None, None, None)
    kafka: str | None = None
    topic: str = "mlflow-traces"
    group: str = "mlflow-otel-score"
    kafka_config: str | None = None


def prepared(scorers: str | None) -> Settings | None:
    """Return the settings of a process of scorers; None when it cannot begin, which is said then."""
    os.environ.setdefault("OTEL_SERVICE_NAME", SERVICE)
    if not mlflow_adapter.available():
        _say(f"Scorers need MLflow, which is not installed: {mlflow_adapter.INSTALL_HINT}.")
        return None
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 (as `python -m` does: scorers lie in the project)
    named = os.environ.pop("MLFLOW_OTEL_SCORERS", None)  # they are the worker's, not instrument()'s
    settings = replace(Settings.from_environment(), scorers=scorers or named)
    if settings.scorers is None:
        _say("Name the scorers: --scorers package.module:SCORERS, or MLFLOW_OTEL_SCORERS.")
        return None
    if settings.disabled:
        _say("OTEL_SDK_DISABLED=true: no result would leave.")
        return None
    # What scorers call is traced too: it must reach no tracking server, and leave only if asked for.
    instrument()
    return settings


def started(worker: ScoreWorker, settings: Settings) -> bool:
    """Start the scorers that are named; say and return False when there is none."""
    worker.scorers.load()
    worker.scorers.load()  # the first time it may be too early in an app; here it never is
    if worker.scorers.list():
        return True
    _say(f"Cannot start: no scorer of {settings.scorers} can run; the warnings above say why.")
    return False


def score(scorers: str | None, listening: Listening, waits: Waits, drain: float) -> int:
    """Judge what comes until interrupted, then what is held.

    Args:
        scorers: ``package.module:NAME`` of a list of scorers.
        listening: Where traces come from.
        waits: How long nothing must come of a trace or a session.
        drain: Seconds that judging and delivery may take at the end.
    """
    settings = prepared(scorers)
    if settings is None:
        return 1
    circle = sends_to_itself(settings, (listening.grpc, listening.http))
    if circle is not None:
        _say(
            f"Cannot start: {circle} is this worker itself. Set OTEL_EXPORTER_OTLP_ENDPOINT to where "
            "results are to go, or listen elsewhere with --grpc and --http."
        )
        return 1
    if listening.kafka is not None:
        settings = replace(settings, retry_timeout=FOR_EVER_SECONDS)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    clock = TopicClock()
    by_kafka = listening.kafka is not None
    worker = open_worker(settings, ACCOUNTING, waits, clock if by_kafka else time.monotonic)
    if not started(worker, settings):
        return 1
    if listening.kafka is not None and worker.scorers.wants_sessions:
        _say(
            "Kafka's partitions are by trace, so a session's traces come to several workers: run scorers "
            "of sessions in one worker, with a --kafka-group of its own."
        )
    try:
        consuming = _consuming(listening, worker, clock)
        receiver = _receiver(listening, worker)
    except (OSError, RuntimeError, ValueError, KafkaError) as error:
        _say(f"Cannot start: {error}.")
        return 1
    worker.start()
    if consuming is not None:
        consuming.start(stop.set)
    print(f"grpc {receiver.grpc_endpoint}\nhttp {receiver.http_endpoint}", flush=True)
    stop.wait()
    return _end(worker, receiver, consuming, drain)


def _end(worker: ScoreWorker, receiver: Receiver, consuming: Consuming | None, drain: float) -> int:
    if consuming is not None:
        consuming.stop_reading()
    worker.stopping = True
    receiver.close(grace=min(REQUESTS_SECONDS, drain))
    accepted = worker.close(drain)
    uninstrument()
    if consuming is not None:
        consuming.close(accepted=accepted)
    counted = worker.stats()
    _say(
        f"{counted.get('scorer.runs', 0)} runs, {counted.get('scorer.failed', 0)} failed, "
        f"{counted.get('assessments', 0)} assessments."
    )
    lost = counted.get("dropped", 0)
    if lost:
        _say(f"{lost} results were lost; the warnings above say why.")
    if consuming is not None and consuming.failed is not None:
        _say(f"Ended: {consuming.failed}.")
        return 1
    return 0


def _receiver(listening: Listening, worker: ScoreWorker) -> Receiver:
    certificate, key, client_ca = listening.tls
    return Receiver(
        listening.grpc[1],
        listening.http[1],
        sink=worker,
        hosts=(listening.grpc[0], listening.http[0]),
        pages=worker.pages(),
        tls=None if certificate is None or key is None else (certificate, key),
        client_ca=client_ca,
    )


def _consuming(listening: Listening, worker: ScoreWorker, clock: TopicClock) -> Consuming | None:
    if listening.kafka is None:
        return None
    brokers = listening.kafka
    config = {} if listening.kafka_config is None else read_config(listening.kafka_config)

    def opened(
        leaving: Callable[[], object], gone: Callable[[Collection[Place]], object]
    ) -> KafkaSource:
        where = brokers, listening.topic, listening.group
        return KafkaSource(*where, ACCOUNTING, leaving, gone, config, clock)

    return Consuming(opened, worker)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
