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

from mlflow_otel.accounting import Accounting
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.holding.held_trace import EARLY, Release
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.tracing import mlflow_adapter
from mlflow_otel.tracing.snapshot import Snapshot
from mlflow_otel.tracing.span_trace import SpanTrace

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


class WholeTraces:
    """Gives each trace of MLflow's, when its last local root ended, to whoever wants it.

    It has no lock of its own: the parts have one.

    Args:
        max_bytes: Of the spans that were released before their root ended.
        accounting: Counts the traces that cannot be given whole.
    """

    wanting: Callable[[int], Callable[[EndedTrace], bool] | None] | None = None
    """Called with the ID of each trace of MLflow's whose last local root ended.

    Returns what takes the whole trace, or None. What takes it returns whether it is read later.
    """

    def __init__(self, max_bytes: int, accounting: Accounting) -> None:
        self._parts = Parts(max_bytes)
        self._accounting = accounting

    def ended(
        self,
        release: Release[ReadableSpan, SpanTrace],
        trace: SpanTrace,
        spans: Sequence[ReadableSpan],
        root: ReadableSpan | None,
    ) -> bool:
        """Take note of spans that are released.

        Args:
            release: The release.
            trace: The spans' trace.
            spans: The spans.
            root: The local root when the trace ended, else None.

        Returns:
            Whether the spans are read later.
        """
        trace_id = release.trace_id
        if self.wanting is None or trace.scorer is not None:
            return False
        if root is None:
            if release.reason in EARLY or trace_id in self._parts:
                self._parts.keep(trace_id, spans, release.size)
            return False
        take = self.wanting(trace_id)
        if take is None:
            self._parts.forget(trace_id)
            return False
        assert trace.context is not None  # noqa: S101 (a root has ended)
        assessments = mlflow_adapter.assessments(trace.info)
        whole = EndedTrace(trace_id, root, spans, trace.context, assessments, release.size)
        if trace_id not in self._parts:
            return take(whole)
        joined = self._parts.join(whole, trace.context)
        if joined is not None:
            return take(joined)
        self._accounting.warn(
            "scorer.dropped.not_whole",
            "A trace is not scored, because it is larger than what may be held. "
            "MLFLOW_OTEL_MAX_HELD_BYTES sets how many bytes may be.",
        )
        return False
