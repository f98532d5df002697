"""What takes everything that comes in: this process, or worker processes that share the traces among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from mlflow_otel.bridge.experiments import Experiments
from mlflow_otel.bridge.soon import Soon
from mlflow_otel.bridge.trace_info import TraceInfo
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.otlp.envelope import Group
from mlflow_otel.settings import Signal

FULL: Final = "too much waits for the backend: try again later"
"""Why nothing is taken."""


class Taken(NamedTuple):
    """What became of an OTLP request.

    Args:
        rejected: How many of its items were not taken.
        message: Why.
    """

    rejected: int = 0
    message: str = ""


class Known(NamedTuple):
    """What is remembered of a trace.

    Args:
        info: What its client said of it last.
        root_id: The root's span ID, if it was seen.
        resource: ``ResourceSpans`` without spans, encoded, of the span that came first.
        seen: Whether any span of it came.
    """

    info: TraceInfo | None = None
    root_id: int | None = None
    resource: bytes = b""
    seen: bool = False


class Seen(NamedTuple):
    """What a worker took of a trace.

    Args:
        trace_id: OpenTelemetry's ID.
        span_ids: Of the spans.
        roots: Those of them that are roots.
        info: Whether its ``TraceInfo`` is among it.
    """

    trace_id: int
    span_ids: list[int]
    roots: list[int]
    info: bool = False


class Made(NamedTuple):
    """What the bridge itself made of a trace.

    Args:
        trace_id: OpenTelemetry's ID.
        remembered: Spans that can be read.
        logs: Log records that are sent.
        spans: Spans that are sent.
    """

    trace_id: int
    remembered: list[Group]
    logs: list[Group]
    spans: list[Group]


class WayIn(Protocol):
    """Takes what clients send. Safe to call from any thread.

    What returns ``Soon`` may be called in the event loop. The rest may wait for another process.
    """

    @property
    def experiments(self) -> Experiments:
        """The experiments that clients asked for."""
        ...

    @property
    def options(self) -> MappingOptions:
        """How to map."""
        ...

    @property
    def waits(self) -> bool:
        """Whether ``otlp`` and ``info`` wait for others than a backend: then they are called in a thread."""
        ...

    @property
    def unready(self) -> str | None:
        """Why clients should send to another bridge for now, or None."""
        ...

    def make_sure_of_room(self) -> None:
        """Refuse what comes while too much waits. Never waits. ``info`` does so by itself.

        Raises:
            RefusedError: With 503; the client is to come again later.
        """
        ...

    def otlp(self, signal: Signal, request: Any, experiment_id: str | None = None) -> Soon[Taken]:
        """Take an export request of any client's.

        Args:
            signal: Of what.
            request: The message.
            experiment_id: What the client named in ``x-mlflow-experiment-id``.

        Raises:
            RefusedError: It has too many spans.
        """
        ...

    def info(self, info: TraceInfo) -> Soon[Known | None]:
        """Take a ``TraceInfo``; return what is known of its trace.

        One that spans wait for is taken even if there is no room. It is small, and lets them go. Were it
        refused as well, they would be held in vain, and leave without their trace's meaning.

        Raises:
            RefusedError: With 503: too much waits, and no span waits for this.
        """
        ...

    def uploaded(self, trace_id: int, body: Any, experiment_id: str | None) -> None:
        """Take a ``traces.json``.

        Raises:
            MalformedError: It is none.
        """
        ...

    def send(self, made: Made) -> None:
        """Send what the bridge itself made of a trace, and remember what of it is to be read."""
        ...

    def known(self, trace_id: int) -> Known | None:
        """Return what is remembered of a trace."""
        ...

    def of_request(self, client_request_id: str) -> int | None:
        """Return the ID of a request's newest trace that is remembered, or None."""
        ...

    def set_tag(self, trace_id: int, key: str, value: str) -> None:
        """Set a tag of a trace that is known.

        Raises:
            KeyError: It is not known.
        """
        ...

    def delete_tag(self, trace_id: int, key: str) -> None:
        """Remove a tag of a trace that is known.

        Raises:
            KeyError: Trace or tag are not known.
        """
        ...

    def update(
        self, trace_id: int, root_id: int | None, context: TraceContext, removed: tuple[str, ...]
    ) -> None:
        """Send what changed of a trace that is not remembered, but lies in a backend.

        Args:
            trace_id: OpenTelemetry's ID.
            root_id: The root's span ID, if it is known.
            context: Whose trace it is, and what was set.
            removed: Tags that were removed.
        """
        ...

    def count(self, outcome: str, number: int = 1) -> None:
        """Count something that happened."""
        ...

    def stats(self) -> Mapping[str, int]:
        """Return all counters, and how much is held or on its way now."""
        ...
