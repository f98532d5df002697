"""``mlflow-otel bridge`` once its packages are there: its parts put together, served, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.backends.model import TraceBackend
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.bridge import server
from mlflow_otel.bridge.access import Access
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.mlflow_api import Api, MlflowApi
from mlflow_otel.bridge.owed import Owed
from mlflow_otel.bridge.reading import Reading
from mlflow_otel.bridge.server import Addresses
from mlflow_otel.bridge.tee import Tee
from mlflow_otel.bridge.upstream import Upstream
from mlflow_otel.bridge.way_in import WayIn
from mlflow_otel.bridge.workers import Workers
from mlflow_otel.cli.bridge_kafka import KafkaBridge, KafkaOptions
from mlflow_otel.cli.bridge_worker import SWITCH_SECONDS, way_in
from mlflow_otel.cli.keeping import keep_of
from mlflow_otel.export.guards import Guards
from mlflow_otel.settings import Settings

__all__ = ["Addresses", "Inside", "serve"]


class Inside(NamedTuple):
    """What a bridge is made of.

    Args:
        workers: Processes that map; 0: this one does.
        drain: Seconds that delivery may take at the end.
        log_format: How warnings are written.
        upstream: URL of a tracking server that gets everything, too, or None.
        kafka: A topic between those that accept and those that map, or None.
    """

    workers: int
    drain: float
    log_format: str
    upstream: str | None
    kafka: KafkaOptions | None


class _Parts(NamedTuple):
    """What takes everything that comes, and what knows it.

    Args:
        intake: Takes it.
        here: The traces that came last.
        feedback: Takes assessments.
        start: Begins what works beside the server.
        close: Delivers what is held, within so many seconds.
        failed: Returns why it ended by itself, or None.
    """

    intake: WayIn
    here: TraceBackend
    feedback: Feedback
    start: Callable[[Reading], None]
    close: Callable[[float], None]
    failed: Callable[[], str | None]


def _parts(
    settings: Settings, guards: Guards, inside: Inside, backend: TraceBackend | None
) -> _Parts:
    asked = settings.assessment_signals, backend, settings.trace_lookup_timeout
    if inside.kafka is not None:
        keep = keep_of(guards)
        by_kafka = KafkaBridge(inside.kafka, settings, guards.options, ACCOUNTING, keep)
        return _Parts(
            by_kafka.face,
            by_kafka.memory,
            by_kafka.feedback(*asked),
            by_kafka.start,
            by_kafka.close,
            lambda: by_kafka.failed,
        )
    intake, here = way_in(settings, guards, inside.workers, inside.drain, inside.log_format)

    def close(seconds: float) -> None:
        if not isinstance(intake, Workers):  # they are closed where they work
            intake.close(seconds)

    return _Parts(
        intake, here, Feedback(intake, *asked), lambda _reading: None, close, lambda: None
    )


def serve(
    settings: Settings, addresses: Addresses, access: Access, inside: Inside
) -> tuple[Mapping[str, int], str | None]:
    """Serve until interrupted, then deliver what is held; return the counters, and what failed.

    Raises:
        OSError: A port is taken, or a file cannot be read.
        ValueError: What is configured is not valid.
        BackendError: The backend that is to be asked cannot be opened.
        KafkaError: Kafka's client is not installed, or its configuration is not valid.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    guards = Guards.of(settings, ACCOUNTING)
    backend = open_backend(settings)
    parts = _parts(settings, guards, inside, backend)
    intake, feedback = parts.intake, parts.feedback
    reading = Reading(parts.here, backend, guards.options, settings.trace_lookup_timeout)
    alone = MlflowApi(intake, feedback, reading)
    api: Api = alone
    owed: Owed | None = None
    if inside.upstream is not None:
        upstream = Upstream(inside.upstream)
        owed = Owed(upstream, settings, ACCOUNTING)
        api = Tee(alone, feedback, intake.experiments, upstream, owed)
    seconds = inside.drain if owed is None else inside.drain / 2
    parts.start(reading)

    async def serving() -> None:
        around = (
            intake.working(seconds) if isinstance(intake, Workers) else contextlib.nullcontext()
        )
        async with around:
            await server.serve(
                intake,
                addresses,
                access,
                feedback,
                api,
                lambda *both: print("grpc {}\nhttp {}".format(*both), flush=True),
            )

    asyncio.run(serving())
    parts.close(seconds)
    if owed is not None:
        owed.close(seconds)
    return intake.stats(), parts.failed()
