"""Traces in memory, within bounds: the trace that came first is forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from mlflow_otel.backends.model import (
    BackendSpan,
    BackendTrace,
    Condition,
    TraceSummary,
    is_hollow,
    trace_of,
)
from mlflow_otel.forking import begin_anew_in_child

SERVICE: Final = "service.name"


class Piece(Protocol):
    """Spans of one trace that came together. They may be encoded until somebody asks for them."""

    def spans(self) -> Iterable[BackendSpan]:
        """Return the spans."""
        ...


@dataclass(slots=True)
class _Entry:
    """A trace: its pieces, their bytes, and what was read of them."""

    pieces: list[tuple[Piece, int]] = field(default_factory=list)
    size: int = 0
    trace: BackendTrace | None = None


class BoundedTraces:
    """Keeps traces in pieces; a trace is read when somebody asks for it.

    The lock guards the traces; it is not held while pieces are read.

    Args:
        max_bytes: Of all pieces. The newest piece is kept, whatever its size.
        max_traces: How many traces are kept; None for any number.
        forgets: Called when traces were forgotten.
    """

    def __init__(
        self,
        max_bytes: int,
        max_traces: int | None = None,
        forgets: Callable[[], object] = lambda: None,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_traces = max_traces
        self._forgets = forgets
        self._known: OrderedDict[int, _Entry] = OrderedDict()
        self._bytes = 0
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()

    def keep(self, trace_id: int, piece: Piece, size: int) -> None:
        """Keep spans of a trace.

        Args:
            trace_id: The trace.
            piece: The spans.
            size: Bytes that they take up.
        """
        with self._lock:
            entry = self._known.get(trace_id)
            if entry is None:
                entry = self._known[trace_id] = _Entry()
            entry.pieces.append((piece, size))
            entry.size += size
            entry.trace = None
            self._bytes += size
            forgot = self._forget()
        if forgot:
            self._forgets()

    def _forget(self) -> bool:
        """Forget what is past the bounds; tell whether something was."""
        forgot = False
        while self._is_past():
            forgot = True
            if len(self._known) > 1:
                self._bytes -= self._known.popitem(last=False)[1].size
                continue
            (entry,) = self._known.values()
            _, size = entry.pieces.pop(0)  # one trace that takes up everything
            entry.size, entry.trace = entry.size - size, None
            self._bytes -= size
        return forgot

    def _is_past(self) -> bool:
        if self._max_traces is not None and len(self._known) > self._max_traces:
            return True
        if self._bytes <= self._max_bytes:
            return False
        return len(self._known) > 1 or any(len(e.pieces) > 1 for e in self._known.values())

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace with the spans that are kept, or None.

        A trace of which only evaluations and late changes are kept is not known.
        """
        return self._known_trace(trace_id)

    def all(self) -> Iterable[BackendTrace]:
        """Return every trace, the one that came last first."""
        with self._lock:
            known = list(reversed(self._known))
        found = (self._known_trace(trace_id) for trace_id in known)
        return [trace for trace in found if trace is not None]

    def summaries(self, conditions: Sequence[Condition]) -> Iterable[TraceSummary]:  # noqa: ARG002
        """Return what the traces say of themselves."""
        return [trace.summary for trace in self.all()]

    def services(self) -> Iterable[str]:
        """Return the names under which the traces came."""
        return {
            str(span.resource[SERVICE])
            for trace in self.all()
            for span in trace.spans
            if SERVICE in span.resource
        }

    def _known_trace(self, trace_id: int) -> BackendTrace | None:
        trace = self._read(trace_id)
        return None if trace is None or is_hollow(trace) else trace

    def _read(self, trace_id: int) -> BackendTrace | None:
        """Return what is kept of a trace, each span once, or None."""
        with self._lock:
            entry = self._known.get(trace_id)
            if entry is None or entry.trace is not None:
                return None if entry is None else entry.trace
            pieces = tuple(entry.pieces)
        spans = [span for piece, _ in pieces for span in piece.spans()]
        trace = trace_of(trace_id, {span.span_id: span for span in spans}.values())
        with self._lock:
            if len(entry.pieces) == len(pieces) and entry.pieces[0] is pieces[0]:
                entry.trace = trace  # else more came meanwhile
        return trace
