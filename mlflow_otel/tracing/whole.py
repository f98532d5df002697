"""Traces as a whole, for whoever needs all spans of one together: scorers.

As a rule a trace is released whole, and nothing is done here. One that is longer or larger than the
holder's bounds is released in parts; its spans are kept here, too, until its last local root ended.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.tracing.snapshot import Snapshot

MOST: Final = 10_000
"""Traces released in parts that are remembered."""


class EndedTrace(NamedTuple):
    """A trace of MLflow's whose last local root ended.

    Args:
        trace_id: OpenTelemetry's ID.
        root: The local root that ended last.
        spans: All spans of the trace that ended in this process by then, in the order they ended.
        context: Gives what is known of the trace.
        assessments: What was logged on it while it was under way: MLflow's assessments.
        size: Bytes of the spans.
    """

    trace_id: int
    root: ReadableSpan
    spans: Sequence[ReadableSpan]
    context: Callable[[], TraceContext]
    assessments: Sequence[Any]
    size: int


class _Parts:
    __slots__ = ("size", "spans")

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.size = 0


class Parts:
    """The spans of traces that were released in parts, bounded by bytes: the oldest traces go first.

    The lock guards all fields. A forked child begins with a new lock and nothing kept.

    Args:
        max_bytes: Of all of them together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Keep nothing. Called in a forked child too."""
        self._lock = threading.RLock()
        self._traces: OrderedDict[int, _Parts | None] = OrderedDict()
        self._bytes = 0

    def __contains__(self, trace_id: int) -> bool:
        """Tell whether a trace was released in parts. Asked for each trace, so without the lock."""
        return trace_id in self._traces

    def keep(self, trace_id: int, spans: Sequence[ReadableSpan], size: int) -> None:
        """Keep the spans of a trace that were released before its root ended."""
        with self._lock:
            parts = self._traces.setdefault(trace_id, _Parts())
            if parts is None:
                return  # it was too large before
            parts.spans += spans
            parts.size += size
            self._bytes += size
            for oldest, held in list(self._traces.items()):
                if self._bytes <= self._max_bytes:
                    break
                if held is not None:
                    self._bytes -= held.size
                    self._traces[oldest] = None
            while len(self._traces) > MOST:
                _, gone = self._traces.popitem(last=False)
                self._bytes -= 0 if gone is None else gone.size

    def forget(self, trace_id: int) -> None:
        """Keep nothing of a trace."""
        if trace_id in self._traces:
            with self._lock:
                parts = self._traces.pop(trace_id, None)
                self._bytes -= 0 if parts is None else parts.size

    def join(self, trace: EndedTrace, context: Snapshot) -> EndedTrace | None:
        """Return a trace with the spans that were released before; None when they are kept no more."""
        with self._lock:
            parts = self._traces.pop(trace.trace_id, None)
            if parts is None:
                return None
            self._bytes -= parts.size
        spans = [*parts.spans, *trace.spans]
        return trace._replace(
            spans=spans, context=context.over(trace.root, spans), size=trace.size + parts.size
        )
