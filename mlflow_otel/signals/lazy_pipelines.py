"""The logs and metrics pipelines of one instrumentation: opened when needed, flushed and ended together."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.settings import Settings
from mlflow_otel.signals.background import BackgroundJobs

if TYPE_CHECKING:
    from mlflow_otel.signals.pipelines import Events, Meters


class LazyPipelines:
    """Opens the pipelines of events and metrics. Nothing is opened before it is asked for.

    ``_opening`` is an opening lock (docs/architecture.md): each pipeline is opened once, under it. A
    forked child begins with a new lock and opens metrics of its own.

    Args:
        settings: The configuration.
        resource: Whose signals these are; called when a pipeline is opened.
        accounting: Gets ``logs.*`` and ``metrics.*``.
    """

    def __init__(
        self,
        settings: Settings,
        resource: Callable[[], Resource],
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        self.settings = settings
        self.accounting = accounting
        self.jobs = BackgroundJobs()
        """Runs what the app's threads need not wait for."""
        self.closed = False
        """Whether ``shutdown`` was called."""
        self._resource = resource
        self._events: Events | None = None
        self._begin()
        self._forked = False
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. The child opens metrics of its own. Called in a forked child."""
        # The parent reports what it counted. A child counts from zero, as an instance of its own. Else
        # the two would overwrite each other.
        self._begin()
        self._forked = True

    def _begin(self) -> None:
        self._opening = threading.RLock()
        self._meters: Meters | None = None

    # The SDK's logs and metrics are imported when they are used: an app that sends neither need not
    # load them. And in the caller's thread: when the interpreter exits, no other can open them.

    def events(self) -> Events:
        """Return the pipeline of events."""
        with self._opening:
            if self._events is None:
                from mlflow_otel.signals.pipelines import Events  # noqa: PLC0415

                self._events = Events(self.settings, self._resource(), self.accounting)
            return self._events

    def meters(self) -> Meters:
        """Return the pipeline of metrics. After a fork it is the child's own."""
        with self._opening:
            if self._meters is None:
                from mlflow_otel.signals.pipelines import Meters  # noqa: PLC0415

                resource = self._resource()
                if self._forked:
                    resource = resource.merge(Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())}))
                self._meters = Meters(self.settings, resource, self.accounting)
            return self._meters

    @property
    def meters_shared(self) -> bool:
        """Whether the metrics go to the app's own provider."""
        sdk = sys.modules.get("opentelemetry.sdk.metrics")
        if self.settings.isolated or sdk is None:
            return False
        return isinstance(metrics.get_meter_provider(), sdk.MeterProvider)

    @property
    def is_open(self) -> bool:
        """Whether a pipeline was opened. Then ending it takes a moment."""
        return bool(self._pipelines)

    @property
    def _pipelines(self) -> list[tuple[str, Events | Meters]]:
        pipelines = (("logs.", self._events), ("metrics.", self._meters))
        return [(name, pipeline) for name, pipeline in pipelines if pipeline is not None]

    def stats(self) -> dict[str, int]:
        """Return how many log records and metrics are in flight and spooled."""
        return {k: n for name, one in self._pipelines for k, n in one.stats(name).items()}

    def force_flush(self, seconds: float) -> bool:
        """Export events and metrics that wait. True if everything was accepted in time."""
        until = time.monotonic() + seconds
        if not self.jobs.drain(seconds):
            return False
        flushed = [
            one.force_flush(max(until - time.monotonic(), 0.0)) for _, one in self._pipelines
        ]
        return all(flushed)

    def shutdown(self, seconds: float) -> None:
        """Export what waits and end, in time. Once."""
        until = time.monotonic() + seconds
        self.closed = True
        self.jobs.drain(seconds / 2)
        for _, pipeline in self._pipelines:
            pipeline.stop_by(max(until - time.monotonic(), 0.0))
        for _, pipeline in self._pipelines:
            pipeline.shutdown(max(until - time.monotonic(), 0.0))
        self._events = self._meters = None
