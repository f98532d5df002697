"""A ``ReadableSpan`` with its trace's context. It is mapped when it is first read.

Touches the SDK's private fields: ``ReadableSpan.to_json`` (the console exporter's) and the stock
encoders of the supported SDKs read fields such as ``_attributes`` and ``_name``, so these are
properties here.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.conventions.versions import LATEST, RELEASED, Version
from mlflow_otel.export.hooks import SpanToExport
from mlflow_otel.mapping import content
from mlflow_otel.mapping.model import EventView, Mapped, MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.redaction import STATUS_TEXT, redacted
from mlflow_otel.mapping.span import map_span
from mlflow_otel.mapping.values import dumps, to_otlp
from mlflow_otel.version import __version__

SCOPES: Final = {
    url: InstrumentationScope("mlflow_otel", __version__, url)
    for url in (RELEASED.schema_url, LATEST.schema_url)
}
SCOPE: Final = SCOPES[RELEASED.schema_url]
OURS: Final = frozenset(SCOPES.values())


def scope_of(version: Version) -> InstrumentationScope:
    """Return our instrumentation scope, with the schema of the version that is written."""
    return SCOPES[version.schema_url]


NO_CONTEXT: Final = TraceContext()


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return an ended span's attributes. The SDK's view of them takes a lock for each attribute read."""
    held = span._attributes  # noqa: SLF001
    try:
        return held._dict  # type: ignore[union-attr, no-any-return] # noqa: SLF001
    except AttributeError:
        return held or {}


NOTHING_DROPPED: Final = (0, 0, 0)


def dropped_of(span: ReadableSpan) -> tuple[int, int, int]:
    """Return how many attributes, events and links the SDK's limits dropped."""
    attributes: Any = span._attributes  # noqa: SLF001
    events: Any = span._events  # noqa: SLF001
    links: Any = span._links  # noqa: SLF001
    try:
        return attributes.dropped, events.dropped, links.dropped
    except AttributeError:  # a span that was put together without limits
        return tuple(getattr(o, "dropped", 0) for o in (attributes, events, links))  # type: ignore[return-value]


def _events_of(span: ReadableSpan) -> Sequence[EventView]:
    held = span._events  # noqa: SLF001
    if not len(held):
        return ()
    return [
        EventView(e.name, e.timestamp, e.attributes or {}, getattr(e.attributes, "dropped", 0))
        for e in held
    ]


def made_by_mlflow(span: ReadableSpan) -> bool:
    """Tell whether MLflow made a span, by the instrumentation scope its tracer has."""
    scope = span._instrumentation_scope  # noqa: SLF001
    known = _scopes.get(id(scope))
    if known is not None and known[0] is scope:
        return known[1]
    found = scope is not None and (scope.name == "mlflow" or scope.name.startswith("mlflow."))
    if len(_scopes) >= SCOPES_KEPT:
        _scopes.clear()  # an app may make a tracer for each span
    _scopes[id(scope)] = scope, found
    return found


SCOPES_KEPT: Final = 256
_scopes: dict[int, tuple[InstrumentationScope | None, bool]] = {}


@dataclass(slots=True)
class BatchContext:
    """What the spans that are handed on together share.

    Args:
        context: Gives what is known of their trace; called when the first of them is read.
        options: How to map.
        accounting: Gets the failures.
        cost: Works out a span's cost (USD, by MLflow's keys) from its raw attributes when MLflow
            did not write one.
        keep: Tells whether a span leaves, or None: all do.
        entries: IDs of the spans that trace-level attributes belong on; None: those without parent.
        size: Bytes they take up while they wait to be read.
        read: Gets ``size`` when the first of them is read.
        outlines: Gets what is counted of each span of MLflow's when it is mapped, by span ID; None where
            nothing is measured.
        put_back: Returns a span's raw attributes with the media that MLflow took out of them.
    """

    context: Callable[[], TraceContext] = lambda: NO_CONTEXT
    options: MappingOptions = field(default_factory=MappingOptions)
    accounting: Accounting = ACCOUNTING
    cost: Callable[[Mapping[str, Any]], Mapping[str, float]] = lambda _: {}
    entries: Collection[int] | None = None
    size: int = 0
    read: deque[int] | None = None
    keep: Callable[[SpanToExport], bool] | None = None
    outlines: dict[int, Mapping[str, Any]] | None = None
    put_back: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda attributes: attributes

    def was_read(self) -> None:
        """Give ``read`` the size, once."""
        if self.read is not None:
            self.read.append(self.size)  # a deque: no lock, whatever thread this is
            self.read = None


def view_of(span: ReadableSpan, batch: BatchContext) -> SpanView:
    """Return a span's plain values."""
    entries, parent = batch.entries, span.parent
    attributes = batch.put_back(attributes_of(span))
    if keys.CHAT_TOKEN_USAGE in attributes and keys.LLM_COST not in attributes:
        found = batch.cost(attributes)
        if found:
            attributes = {**attributes, keys.LLM_COST: dumps(found)}
    events = _events_of(span)
    return SpanView(
        name=span.name,
        attributes=attributes,
        events=events,
        start_time=span.start_time or 0,
        failed=span.status.status_code is StatusCode.ERROR,
        made_by_mlflow=made_by_mlflow(span),
        is_entry=parent is None if entries is None else span.context.span_id in entries,
        dropped_events=getattr(span._events, "dropped", 0) if events else 0,  # noqa: SLF001
    )


def _limited(attributes: Mapping[str, Any], dropped: int) -> Mapping[str, Any]:
    """Return attributes that say how many of them the SDK's limits dropped."""
    if not dropped:
        return dict(attributes)
    limited = BoundedAttributes()
    limited._dict.update(attributes)  # noqa: SLF001 (the SDK has looked at these values before)
    limited.dropped = dropped
    return limited


def _of_the_span(name: str) -> Any:
    """Return a property that is the recorded span's own."""
    return property(operator.attrgetter(f"recorded.{name}"), doc="As recorded.")


class MappedSpan(ReadableSpan):
    """An ended span as it leaves: name, kind, attributes and events are mapped on first read.

    The recorded span is never changed. Reading never raises: a step that fails is counted and warned
    about once a minute, and what could be mapped leaves.

    It is made in the app's thread. So it holds little, and its constructor works out nothing.

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
        """Return what leaves, without keeping it. For callers that read the span once."""
        return self._map() if self._mapped is None else self._mapped

    def _map(self) -> Mapped:
        span, batch = self.recorded, self.batch
        batch.was_read()
        try:
            view = view_of(span, batch)
            outlines = batch.outlines
            mapped = map_span(view, batch.context(), batch.options, counts=outlines is not None)
        except Exception as error:
            self._failed(f"span: {type(error).__name__}")
            return Mapped(span.name, None, self._unmapped())
        if mapped.failures:
            self._failed(", ".join(mapped.failures))
        if outlines is not None and view.made_by_mlflow:
            outlines[span.context.span_id] = mapped.outline
        return mapped

    def _unmapped(self) -> dict[str, Any]:
        options = self.batch.options
        found = {str(k): to_otlp(v) for k, v in (self.recorded.attributes or {}).items()}
        if not options.capture_content:
            found = content.attributes(found, options)
        if options.redact is not None:
            found = redacted(self.recorded.name, found, options.redact)
        return found

    _kept: bool | None = None

    @property
    def kept(self) -> bool:
        """Whether the span leaves. The user's ``should_export`` is asked once."""
        if self._kept is None:
            keep = self.batch.keep
            self._kept = keep is None or keep(self.seen())
        return self._kept

    def seen(self) -> SpanToExport:
        """Return what ``should_export`` sees."""
        scope = self.instrumentation_scope
        return SpanToExport(self.name, self.attributes, scope, scope in OURS)

    def _failed(self, steps: str) -> None:
        self.batch.accounting.warn(
            "mapping_failed",
            "A span of %r could not be mapped in full (%s). It is exported with the attributes "
            "that could be mapped. Please report the shape of its inputs to mlflow-otel.",
            self.recorded.name,
            steps,
        )

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
        """The mapped attributes. An exporter that writes into them gets a ``TypeError``."""
        return MappingProxyType(self.mapped.attributes)

    @property
    def events(self) -> Sequence[Event]:
        """The events that leave."""
        return [
            Event(e.name, _limited(e.attributes, e.dropped_attributes), e.timestamp)
            for e in self.mapped.events
        ]

    @property
    def links(self) -> tuple[Link, ...]:
        """The span's links, with those of their attributes that may leave."""
        held = self.recorded._links  # noqa: SLF001
        if not len(held):
            return ()
        options = self.batch.options
        if options.capture_content and options.redact is None:
            return tuple(held)
        return tuple(self._guarded(link) for link in held)

    def _guarded(self, link: Link) -> Link:
        left = self._left_of(self.recorded.name, link.attributes or {})
        return Link(link.context, _limited(left, link.dropped_attributes))

    def _left_of(self, name: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what leaves of attributes that the mapping does not see."""
        options = self.batch.options
        if not options.capture_content:
            said = content.attributes(said, options)
        return said if options.redact is None else redacted(name, said, options.redact)

    @property
    def status(self) -> Status:
        """The span's status. Its text is an error's message, so it is redacted."""
        status, options = self.recorded.status, self.batch.options
        redact = options.redact
        if not status.description or (options.errors_speak and redact is None):
            return status
        if redact is None or not options.errors_speak:
            return Status(status.status_code)
        said = {STATUS_TEXT: status.description}
        left = redacted(self.recorded.name, said, redact).get(STATUS_TEXT)
        return Status(status.status_code, None if left is None else str(left))

    @property
    def dropped_attributes(self) -> int:
        """What the SDK's limits dropped."""
        return dropped_of(self.recorded)[0]

    @property
    def dropped_events(self) -> int:
        """What the SDK's limits dropped."""
        return dropped_of(self.recorded)[1]

    @property
    def dropped_links(self) -> int:
        """What the SDK's limits dropped."""
        return dropped_of(self.recorded)[2]

    @property
    def instrumentation_scope(self) -> InstrumentationScope | None:
        """Our scope for spans that MLflow made. The recorded scope for any other, with what of it may leave."""
        options = self.batch.options
        if made_by_mlflow(self.recorded):
            return scope_of(options.version)
        scope = self.recorded.instrumentation_scope
        said = getattr(scope, "attributes", None)
        if scope is None or not said or (options.capture_content and options.redact is None):
            return scope
        left = self._left_of(scope.name, said)
        return InstrumentationScope(scope.name, scope.version, scope.schema_url, left)

    context = _context = _of_the_span("context")
    parent = _parent = _of_the_span("parent")
    start_time = _start_time = _of_the_span("start_time")
    end_time = _end_time = _of_the_span("end_time")
    _status = status
    resource = _resource = _of_the_span("resource")
    _instrumentation_scope = instrumentation_scope
    _instrumentation_info = None
    _name = name
    _kind = kind
    _attributes = attributes
    _events = events
    _links = links
