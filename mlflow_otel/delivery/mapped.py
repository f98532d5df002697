"""The ``ReadableSpan`` that travels: a span and its trace's context, mapped when first read.

Touches the SDK's private fields: ``ReadableSpan.to_json`` (the console exporter's) and the stock
encoders of SDK 1.34 to 1.45 read ``_attributes``, ``_name``, ``_kind`` and ``_events``, so these
are properties here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.model import EventView, Mapped, MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.mapping.values import dumps, to_otlp
from mlflow_otel.version import __version__

SCOPE: Final = InstrumentationScope("mlflow_otel", __version__, genai.SCHEMA_URL)

NO_CONTEXT: Final = TraceContext()


def recorded(span: ReadableSpan) -> Mapping[str, Any]:
    """Return an ended span's attributes; the SDK's view of them takes a lock for each one read."""
    held = span._attributes  # noqa: SLF001
    return getattr(held, "_dict", held) or {}


def _events(span: ReadableSpan) -> Sequence[EventView]:
    held = span._events  # noqa: SLF001
    if not len(held):
        return ()
    return [EventView(e.name, e.timestamp, e.attributes or {}) for e in held]


def made_by_mlflow(span: ReadableSpan) -> bool:
    """Tell whether MLflow made a span, by the instrumentation scope its tracer has."""
    scope = span.instrumentation_scope
    return scope is not None and (scope.name == "mlflow" or scope.name.startswith("mlflow."))


class MappedSpan(ReadableSpan):
    """An ended span as it leaves: name, kind, attributes and events are mapped on first read.

    The span it stands for is never changed. Reading never raises: a step that cannot be done is
    counted and warned about once a minute, and what could be mapped leaves.

    Args:
        span: The ended span.
        context: Gives what is known of its trace; called on first read.
        options: How to map.
        entry: Whether trace-level attributes belong on it.
        resource: What describes the process.
        cost: Works out a span's cost (USD, by MLflow's keys) from its raw attributes when MLflow
            did not write one.
        accounting: Gets the failures.
        size: Bytes it takes up while it waits to be read.
        read: Gets ``size`` when it is read, or given up unread.
    """

    def __init__(
        self,
        span: ReadableSpan,
        context: Callable[[], TraceContext] = lambda: NO_CONTEXT,
        options: MappingOptions | None = None,
        *,
        entry: bool = False,
        resource: Resource | None = None,
        accounting: Accounting = ACCOUNTING,
        cost: Callable[[Mapping[str, Any]], Mapping[str, float]] = lambda _: {},
        size: int = 0,
        read: deque[int] | None = None,
    ) -> None:
        self._span = span
        self._size = size
        self._read = read
        self._cost = cost
        self._trace_context = context
        self._options = options or MappingOptions()
        self._entry = entry
        self._accounting = accounting
        self._mapped: Mapped | None = None
        self._by_mlflow = made_by_mlflow(span)
        self._context = span.context
        self._parent = span.parent
        self._start_time = span.start_time
        self._end_time = span.end_time
        self._status = span.status
        self._resource = span.resource if resource is None else resource
        self._instrumentation_scope = SCOPE if self._by_mlflow else span.instrumentation_scope
        self._instrumentation_info = None

    @property
    def mapped(self) -> Mapped:
        """What leaves in the span's place."""
        if self._mapped is None:
            self._mapped = self._map()
        return self._mapped

    def map_once(self) -> Mapped:
        """Return what leaves, without keeping it: for whoever reads the span once."""
        return self._map() if self._mapped is None else self._mapped

    def __del__(self) -> None:
        if self._read is not None:
            self._read.append(self._size)

    def _map(self) -> Mapped:
        span = self._span
        if self._read is not None:
            self._read.append(self._size)  # a deque: no lock, whatever thread this is
            self._read = None
        try:
            attributes = recorded(span)
            if keys.CHAT_TOKEN_USAGE in attributes and keys.LLM_COST not in attributes:
                found = self._cost(attributes)
                if found:
                    attributes = {**attributes, keys.LLM_COST: dumps(found)}
            view = SpanView(
                name=span.name,
                attributes=attributes,
                events=_events(span),
                start_time=span.start_time or 0,
                failed=span.status.status_code is StatusCode.ERROR,
                made_by_mlflow=self._by_mlflow,
                is_entry=self._entry,
            )
            mapped = map_span(view, self._trace_context(), self._options)
        except Exception as error:
            self._failed(f"span: {type(error).__name__}")
            kept = {str(k): to_otlp(v) for k, v in (span.attributes or {}).items()}
            return Mapped(span.name, None, kept if self._options.capture_content else {})
        if mapped.failures:
            self._failed(", ".join(mapped.failures))
        return mapped

    def _failed(self, steps: str) -> None:
        self._accounting.warn(
            "mapping_failed",
            "A span of %r could not be mapped in full (%s). It is exported with what could be; "
            "please report its inputs' shape to mlflow-otel.",
            self._span.name, steps,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The mapped name."""
        return self.mapped.name

    @property
    def kind(self) -> SpanKind:
        """The mapped kind."""
        kind = self.mapped.kind
        return self.recorded_kind if kind is None else SpanKind[kind]

    @property
    def recorded_kind(self) -> SpanKind:
        """The kind before mapping."""
        return self._span.kind

    @property
    def attributes(self) -> Any:
        """The mapped attributes."""
        return self.mapped.attributes

    @property
    def events(self) -> Sequence[Event]:
        """The events that leave."""
        return [Event(e.name, dict(e.attributes), e.timestamp) for e in self.mapped.events]

    @property
    def links(self) -> Any:
        """The span's links, unchanged."""
        held = self._span._links  # noqa: SLF001
        return tuple(held) if len(held) else ()

    @property
    def dropped_attributes(self) -> int:
        """What the SDK's limits dropped."""
        return getattr(self._span._attributes, "dropped", 0)  # noqa: SLF001

    @property
    def dropped_events(self) -> int:
        """What the SDK's limits dropped."""
        return getattr(self._span._events, "dropped", 0)  # noqa: SLF001

    @property
    def dropped_links(self) -> int:
        """What the SDK's limits dropped."""
        return getattr(self._span._links, "dropped", 0)  # noqa: SLF001

    _name = name
    _kind = kind
    _attributes = attributes
    _events = events
    _links = links
