"""What every trace backend can be asked, and what it answers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys

DEFAULT_LIMIT: Final = 20
_IN_TIME: Final = operator.attrgetter("start", "span_id")


class Condition(NamedTuple):
    """An attribute and the value that it must have, compared as text.

    Args:
        key: The attribute, as it leaves over OTLP (``session.id``).
        value: Its value.
    """

    key: str
    value: str


class TraceQuery(NamedTuple):
    """Which traces are wanted.

    Args:
        conditions: All of them hold for one span of the trace.
        start: Nanoseconds since the epoch: that span started then or later.
        end: Nanoseconds since the epoch: that span started then or earlier.
        services: Those that are searched; all when empty.
        limit: How many traces are wanted; the newest are taken.
        all_or_none: Whether a window that is not complete is of no use: its traces may then come
            without their spans, and say when they began.
        outline: Whether spans may come without kind, status message, events, links, scope and all of the
            resource but the service's name, and with attributes that the backend made of these.
        name: What every span is called that meets the conditions; None when that is not known. A backend
            that finds spans by name may ask for it, too. Jaeger in memory then needs half of the time.
    """

    conditions: Sequence[Condition]
    start: int
    end: int
    services: Sequence[str] = ()
    limit: int = DEFAULT_LIMIT
    all_or_none: bool = False
    outline: bool = False
    name: str | None = None


class SpanEvent(NamedTuple):
    """An event of a span: its name, nanoseconds since the epoch, its attributes."""

    name: str
    time: int
    attributes: Mapping[str, Any]


class BackendSpan(NamedTuple):
    """A span as a backend holds it.

    Args:
        span_id: Its ID.
        parent_id: Its parent's ID, or None.
        name: Its name.
        start: Nanoseconds since the epoch.
        end: Nanoseconds since the epoch.
        attributes: In their own types; nested values as dict and list.
        kind: OpenTelemetry's name (``CLIENT``), or an empty text when it is not known.
        status: ``OK``, ``ERROR`` or ``UNSET``.
        status_message: What belongs to the status.
        events: In order.
        links: Trace ID and span ID of each.
        resource: The attributes of the resource it comes from.
        scope: The name of the instrumentation scope.
    """

    span_id: int
    parent_id: int | None
    name: str
    start: int
    end: int
    attributes: Mapping[str, Any] = MappingProxyType({})
    kind: str = ""
    status: str = "UNSET"
    status_message: str = ""
    events: Sequence[SpanEvent] = ()
    links: Sequence[tuple[int, int]] = ()
    resource: Mapping[str, Any] = MappingProxyType({})
    scope: str = ""


class TraceSummary(NamedTuple):
    """What is known of a trace without its spans.

    Args:
        trace_id: OpenTelemetry's ID.
        root: The span ID of its local root, or None when that is not known.
        start: Nanoseconds since the epoch.
        attributes: Those of the local root, or of the first span that is known.
    """

    trace_id: int
    root: int | None
    start: int
    attributes: Mapping[str, Any]


class BackendTrace(NamedTuple):
    """A trace as a backend holds it.

    Args:
        summary: What it says of itself.
        spans: Its spans by start time; a backend may have a part of them, or none.
    """

    summary: TraceSummary
    spans: Sequence[BackendSpan]


class Window(NamedTuple):
    """What a backend holds of a stretch of time.

    Args:
        traces: Traces with all their spans, in no order; see ``TraceQuery.all_or_none``. Outlines may be
            made while they are read, once.
        complete: Whether these are all; else the backend left some out, whichever they are.
    """

    traces: Iterable[BackendTrace]
    complete: bool


class TraceBackend(Protocol):
    """A place that holds traces and can be asked for them. Every call waits at most ``timeout`` seconds."""

    @property
    def where(self) -> str:
        """What is asked, for a message; without credentials."""
        ...

    def window(self, query: TraceQuery, timeout: float) -> Window:
        """Return the traces that match, whole, ``query.limit`` of them at most.

        Raises:
            BackendError: The backend did not answer in time or as expected, or cannot be asked this.
        """
        ...

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match, the newest first, each once.

        Raises:
            BackendError: The backend did not answer in time or as expected, or cannot be asked this.
        """
        ...

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:
        """Return a trace, or None when the backend does not hold it.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        ...

    def services(self, timeout: float) -> list[str]:
        """Return the names of the services that have traces, sorted.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        ...


class BackendError(Exception):
    """A trace backend could not be asked. The message names it, without credentials.

    Args:
        what: What happened.
        todo: The one thing to do, where it is known; it ends the message.
    """

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(f"{what}: {todo}" if todo else what)
        self.what = what
        self.todo = todo


class TooMuchError(BackendError):
    """An answer is larger than is read; a shorter stretch of time may be asked for."""


class TooSlowError(BackendError):
    """An answer did not come in time; one with less in it may."""


def text_of(value: object) -> str:
    """Return a value as the text that a condition compares."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def is_entry(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a span is an entry span of its trace, on which the trace-level attributes stand."""
    return keys.TRACE_STATE in attributes and not is_later(attributes)


def is_later(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a span was added to a trace after it ended: an evaluation, or a late change."""
    return genai.EVALUATION_NAME in attributes or keys.TRACE_UPDATE in attributes


def is_hollow(trace: BackendTrace) -> bool:
    """Tell whether nothing is there of a trace but what was added to it later."""
    return all(is_later(span.attributes) for span in trace.spans)


def trace_of(trace_id: int, spans: Iterable[BackendSpan]) -> BackendTrace:
    """Return a trace from its spans, each once. Those added later say nothing of when and how it began."""
    each = {span.span_id: span for span in spans}  # what was sent twice, a backend may hold twice
    ordered = sorted(each.values(), key=_IN_TIME)
    own = [span for span in ordered if not is_later(span.attributes)]
    entries = [span for span in own if keys.TRACE_STATE in span.attributes]
    first = next(iter(entries or own), None)
    summary = TraceSummary(
        trace_id,
        first.span_id if first is not None and entries else None,
        0 if first is None else first.start,
        {} if first is None else first.attributes,
    )
    return BackendTrace(summary, ordered)


def without_spans(trace_id: int, start: int) -> BackendTrace:
    """Return a trace of which no more is told than when it began, in nanoseconds since the epoch."""
    return BackendTrace(TraceSummary(trace_id, None, start, MappingProxyType({})), ())


def newest(traces: Iterable[TraceSummary], limit: int) -> list[TraceSummary]:
    """Return each trace once, the newest first, ``limit`` of them at most."""
    known = {trace.trace_id: trace for trace in traces}
    return sorted(known.values(), key=lambda trace: -trace.start)[:limit]
