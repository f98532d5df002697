"""The traces that came last, remembered as they leave: they can be read before a backend has them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from mlflow_otel.backends.model import (
    BackendSpan,
    BackendTrace,
    Condition,
    TraceSummary,
    is_later,
    trace_of,
)
from mlflow_otel.backends.otlp_message import backend_span
from mlflow_otel.bridge.joining import Leaving
from mlflow_otel.otlp.envelope import Group
from mlflow_otel.receiver.records import attributes

MAX_TRACES: Final = 2000
"""Traces that are remembered."""
SERVICE: Final = "service.name"

Maps: TypeAlias = Callable[[Leaving], list[Group]]
Held: TypeAlias = Callable[[int], Leaving | None]


@dataclass(slots=True)
class _Piece:
    """Spans of a trace that left together: as they came until they were mapped, then as they leave."""

    leaving: Leaving | None
    groups: Sequence[Group] = ()


@dataclass(slots=True)
class _Entry:
    """A trace: its pieces, their bytes, and its spans once somebody read them."""

    pieces: list[_Piece] = field(default_factory=list)
    size: int = 0
    read: BackendTrace | None = None


class TraceMemory:
    """Remembers the traces that left last, within bounds; the oldest are forgotten first.

    What comes costs no more than being put into a dict: spans are mapped and read when somebody asks.
    The lock guards the traces; it is not held while a span is mapped.

    Args:
        maps: Maps what leaves.
        held: Returns what is held of a trace and did not leave yet, or None.
        max_bytes: Of all that is remembered.
        max_traces: How many traces are.
    """

    def __init__(
        self, maps: Maps, held: Held, max_bytes: int, max_traces: int = MAX_TRACES
    ) -> None:
        self._maps = maps
        self._held = held
        self._max_bytes = max_bytes
        self._max_traces = max_traces
        self._known: OrderedDict[int, _Entry] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def leaves(self, leaving: Leaving) -> Callable[[], list[Group]]:
        """Remember what leaves; return what maps it, to be called once."""
        piece = _Piece(leaving)
        self._add(leaving.trace_id, piece, leaving.size)

        def groups() -> list[Group]:
            mapped = self._maps(leaving)
            # Whoever sends it may cut the groups; the encoded spans themselves are never changed.
            piece.groups = [Group(g.resource, g.scope, list(g.items)) for g in mapped]
            piece.leaving = None
            return mapped

        return groups

    def add(self, trace_id: int, groups: Sequence[Group]) -> None:
        """Remember spans that the bridge itself made."""
        copied = [Group(g.resource, g.scope, list(g.items)) for g in groups]
        size = sum(len(item) for group in copied for item in group.items)
        self._add(trace_id, _Piece(None, copied), size)

    def _add(self, trace_id: int, piece: _Piece, size: int) -> None:
        with self._lock:
            entry = self._known.get(trace_id)
            if entry is None:
                entry = self._known[trace_id] = _Entry()
            entry.pieces.append(piece)
            entry.size += size
            entry.read = None
            self._bytes += size
            while len(self._known) > self._max_traces or (
                self._bytes > self._max_bytes and len(self._known) > 1
            ):
                self._bytes -= self._known.popitem(last=False)[1].size

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace with the spans that are remembered, those that are held too, or None.

        A trace of which only evaluations and late changes are remembered is not known.
        """
        spans = list(self._spans(trace_id))
        held = self._held(trace_id)
        if held is not None:
            spans += _read(self._maps(held))
        return _trace(trace_id, spans)

    def all(self) -> Iterable[BackendTrace]:
        """Return every trace, the newest first, without what is held."""
        with self._lock:
            known = list(reversed(self._known))
        found = (_trace(trace_id, self._spans(trace_id)) for trace_id in known)
        return [trace for trace in found if trace is not None]

    def summaries(self, conditions: Sequence[Condition]) -> Iterable[TraceSummary]:  # noqa: ARG002
        """Return what the traces say of themselves."""
        return [trace.summary for trace in self.all()]

    def services(self) -> Iterable[str]:
        """Return the names under which the traces left."""
        return {
            str(span.resource[SERVICE])
            for trace in self.all()
            for span in trace.spans
            if SERVICE in span.resource
        }

    def _spans(self, trace_id: int) -> Sequence[BackendSpan]:
        with self._lock:
            entry = self._known.get(trace_id)
            pieces = () if entry is None else tuple(entry.pieces)
            read = None if entry is None else entry.read
        if entry is None:
            return ()
        if read is not None:
            return read.spans
        spans = [span for piece in pieces for span in _read(self._groups(piece))]
        with self._lock:
            if len(entry.pieces) == len(pieces):
                entry.read = trace_of(trace_id, spans)
        return spans

    def _groups(self, piece: _Piece) -> Sequence[Group]:
        leaving = piece.leaving
        return piece.groups if leaving is None else self._maps(leaving)


def _trace(trace_id: int, spans: Sequence[BackendSpan]) -> BackendTrace | None:
    if all(is_later(span.attributes) for span in spans):
        return None
    return trace_of(trace_id, {span.span_id: span for span in spans}.values())


def _read(groups: Iterable[Group]) -> Iterator[BackendSpan]:
    """Yield the spans of groups."""
    for group in groups:
        resource = attributes(ResourceSpans.FromString(group.resource).resource.attributes)
        scope = ScopeSpans.FromString(group.scope).scope.name
        for item in group.items:
            for span in ScopeSpans.FromString(item).spans:
                yield backend_span(span, resource, scope, attributes)
