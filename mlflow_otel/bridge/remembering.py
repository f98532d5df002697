"""The traces that came last, remembered as they leave: they can be read before a backend has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from mlflow_otel.backends.bounded import BoundedTraces
from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import BackendSpan, BackendTrace, is_hollow, trace_of
from mlflow_otel.backends.otlp_message import backend_span
from mlflow_otel.backends.together import merged
from mlflow_otel.bridge.joining import Leaving
from mlflow_otel.otlp.envelope import Group
from mlflow_otel.receiver.records import attributes

MAX_TRACES: Final = 2000
"""Traces that are remembered."""

WHERE: Final = "the traces that the bridge remembers"

Maps: TypeAlias = Callable[[Leaving], list[Group]]
Held: TypeAlias = Callable[[int], Leaving | None]


@dataclass(slots=True, eq=False)
class _Piece:
    """Spans of a trace that left together: as they came until they were mapped, then as they leave."""

    maps: Maps
    leaving: Leaving | None
    groups: Sequence[Group] = ()

    def spans(self) -> Iterator[BackendSpan]:
        """Yield the spans."""
        leaving = self.leaving
        return _spans_of(self.groups if leaving is None else self.maps(leaving))


class TraceMemory(BoundedTraces):
    """Remembers the traces that left last, within bounds; the oldest are forgotten first.

    What comes costs no more than being put into a dict: spans are mapped and read when somebody asks.

    Args:
        maps: Maps what leaves.
        held: Returns what is held of a trace and did not leave yet, or None.
        max_bytes: Of all that is remembered.
        max_traces: How many traces are.
    """

    def __init__(
        self, maps: Maps, held: Held, max_bytes: int, max_traces: int = MAX_TRACES
    ) -> None:
        super().__init__(max_bytes, max_traces)
        self._maps = maps
        self._held = held

    def leaves(self, leaving: Leaving) -> Callable[[], list[Group]]:
        """Remember what leaves; return what maps it, to be called once."""
        piece = _Piece(self._maps, leaving)
        self.keep(leaving.trace_id, piece, leaving.size)

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
        self.keep(trace_id, _Piece(self._maps, None, copied), size)

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace with the spans that are remembered, those that are held too, or None.

        A trace of which only evaluations and late changes are remembered is not known.
        """
        held = self._held(trace_id)
        if held is None:
            return super().get(trace_id)
        there = trace_of(trace_id, _spans_of(self._maps(held)))
        trace = merged(self._read(trace_id), there)
        return None if is_hollow(trace) else trace


class Memory(MemoryBackend):
    """What a bridge remembers, asked as any backend is."""

    where = WHERE


def _spans_of(groups: Iterable[Group]) -> Iterator[BackendSpan]:
    """Yield the spans of groups."""
    for group in groups:
        resource = attributes(ResourceSpans.FromString(group.resource).resource.attributes)
        scope = ScopeSpans.FromString(group.scope).scope.name
        for item in group.items:
            for span in ScopeSpans.FromString(item).spans:
                yield backend_span(span, resource, scope, attributes)
