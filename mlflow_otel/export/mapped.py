"""The ``ReadableSpan`` that travels: a span and its trace's context, mapped when first read.

Touches the SDK's private fields: ``ReadableSpan.to_json`` (the console exporter's) and the stock
encoders of SDK 1.34 to 1.45 read fields such as ``_attributes`` and ``_name``, so these are
properties here.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

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


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return an ended span's attributes; the SDK's view of them takes a lock for each one read."""
    held = span._attributes  # noqa: SLF001
    try:
        return held._dict  # type: ignore[union-attr, no-any-return] # noqa: SLF001
    except AttributeError:
        return held or {}


def _events_of(span: ReadableSpan) -> Sequence[EventView]:
    held = span._events  # noqa: SLF001
    if not len(held):
        return ()
    return [EventView(e.name, e.timestamp, e.attributes or {}) for e in held]


def made_by_mlflow(span: ReadableSpan) -> bool:
    """Tell whether MLflow made a span, by the instrumentation scope its tracer has."""
    scope = span._instrumentation_scope  # noqa: SLF001
    known = _scopes.get(id(scope))
    if known is not None and known[0] is scope:
        return known[1]
    found = scope is not None and (scope.name == "mlflow" or scope.name.startswith("mlflow."))
    if len(_scopes) >= SCOPES_KEPT:
        _scopes.clear()  # an app that makes a tracer a span
    _scopes[id(scope)] = scope, found
    return found


SCOPES_KEPT: Final = 256
_scopes: dict[int, tuple[InstrumentationScope | None, bool]] = {}


@dataclass(slots=True)
class BatchContext:
    """What spans that are passed on together share.

    Args:
        context: Gives what is known of their trace; called when the first of them is read.
        options: How to map.
        accounting: Gets the failures.
        cost: Works out a span's cost (USD, by MLflow's keys) from its raw attributes when MLflow
            did not write one.
        entries: IDs of the spans that trace-level attributes belong on; None: those without parent.
        size: Bytes they take up while they wait to be read.
        read: Gets ``size`` when the first of them is read.
    """

    context: Callable[[], TraceContext] = lambda: NO_CONTEXT
    options: MappingOptions = field(default_factory=MappingOptions)
    accounting: Accounting = ACCOUNTING
    cost: Callable[[Mapping[str, Any]], Mapping[str, float]] = lambda _: {}
    entries: Collection[int] | None = None
    size: int = 0
    read: deque[int] | None = None


def view_of(span: ReadableSpan, batch: BatchContext) -> SpanView:
    """Return a span's plain values."""
    entries, parent = batch.entries, span.parent
    attributes = attributes_of(span)
    if keys.CHAT_TOKEN_USAGE in attributes and keys.LLM_COST not in attributes:
        found = batch.cost(attributes)
        if found:
            attributes = {**attributes, keys.LLM_COST: dumps(found)}
    return SpanView(
        name=span.name,
        attributes=attributes,
        events=_events_of(span),
        start_time=span.start_time or 0,
        failed=span.status.status_code is StatusCode.ERROR,
        made_by_mlflow=made_by_mlflow(span),
        is_entry=parent is None if entries is None else span.context.span_id in entries,
    )


def _of_the_span(name: str) -> Any:
    """Return a property that is the recorded span's own."""
    return property(operator.attrgetter(f"recorded.{name}"), doc="As recorded.")


class MappedSpan(ReadableSpan):
    """An ended span as it leaves: name, kind, attributes and events are mapped on first read.

    The span it stands for is never changed. Reading never raises: a step that cannot be done is
    counted and warned about once a minute, and what could be mapped leaves.

    Made in the app's thread, so that it holds little and works out nothing.

    Args:
        recorded: The ended span.
        batch: What it shares with the spans passed on beside it.
    """

    def __init__(self, recorded: ReadableSpan, batch: BatchContext) -> None:
        self.recorded = recorded
        self.batch = batch

    _mapped: Mapped | None = None

    @property
    def mapped(self) -> Mapped:
        """What leaves in the span's place."""
        if self._mapped is None:
            self._mapped = self._map()
        return self._mapped

    def map_once(self) -> Mapped:
        """Return what leaves, without keeping it: for whoever reads the span once."""
        return self._map() if self._mapped is None else self._mapped

    def _map(self) -> Mapped:
        span, batch = self.recorded, self.batch
        if batch.read is not None:
            batch.read.append(batch.size)  # a deque: no lock, whatever thread this is
            batch.read = None
        try:
            view = view_of(span, batch)
            mapped = map_span(view, batch.context(), batch.options)
        except Exception as error:
            self._failed(f"span: {type(error).__name__}")
            kept = {str(k): to_otlp(v) for k, v in (span.attributes or {}).items()}
            return Mapped(span.name, None, kept if batch.options.capture_content else {})
        if mapped.failures:
            self._failed(", ".join(mapped.failures))
        return mapped

    def _failed(self, steps: str) -> None:
        self.batch.accounting.warn(
            "mapping_failed",
            "A span of %r could not be mapped in full (%s). It is exported with what could be; "
            "please report its inputs' shape to mlflow-otel.",
            self.recorded.name, steps,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The mapped name."""
        return self.mapped.name

    @property
    def kind(self) -> SpanKind:
        """The mapped kind."""
        kind = self.mapped.kind
        return self.recorded.kind if kind is None else SpanKind[kind]

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
        held = self.recorded._links  # noqa: SLF001
        return tuple(held) if len(held) else ()

    @property
    def dropped_attributes(self) -> int:
        """What the SDK's limits dropped."""
        return getattr(self.recorded._attributes, "dropped", 0)  # noqa: SLF001

    @property
    def dropped_events(self) -> int:
        """What the SDK's limits dropped."""
        return getattr(self.recorded._events, "dropped", 0)  # noqa: SLF001

    @property
    def dropped_links(self) -> int:
        """What the SDK's limits dropped."""
        return getattr(self.recorded._links, "dropped", 0)  # noqa: SLF001

    @property
    def instrumentation_scope(self) -> InstrumentationScope | None:
        """Ours for the spans MLflow made, as recorded for any other."""
        span = self.recorded
        return SCOPE if made_by_mlflow(span) else span.instrumentation_scope

    context = _context = _of_the_span("context")
    parent = _parent = _of_the_span("parent")
    start_time = _start_time = _of_the_span("start_time")
    end_time = _end_time = _of_the_span("end_time")
    status = _status = _of_the_span("status")
    resource = _resource = _of_the_span("resource")
    _instrumentation_scope = instrumentation_scope
    _instrumentation_info = None
    _name = name
    _kind = kind
    _attributes = attributes
    _events = events
    _links = links
