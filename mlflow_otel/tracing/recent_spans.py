"""The spans of recent traces, kept as they left, so that MLflow's calls read them. Bounded by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from mlflow_otel.export.mapped import BatchContext, MappedSpan
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.settings import Settings

SHARE: Final = 4
"""At most this part of ``MLFLOW_OTEL_MAX_HELD_BYTES`` is kept, whatever is asked for."""


class _Kept:
    __slots__ = ("released", "size")

    def __init__(self) -> None:
        self.released: list[tuple[Sequence[ReadableSpan], BatchContext]] = []
        self.size = 0


class RecentSpans:
    """Spans that left, by trace; the traces that were changed longest ago go first.

    The lock guards the table. Nothing is mapped before a trace is read. A forked child begins with a new
    lock and keeps what its parent kept.

    Args:
        max_bytes: Of all of them together, by the sizes that the processor counts.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        self.max_bytes = max_bytes
        self._traces: OrderedDict[int, _Kept] = OrderedDict()
        self._bytes = 0
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()

    def begin(self, settings: Settings) -> None:
        """Keep spans from now on, where MLflow's calls are answered from them: no server has the traces."""
        most = min(settings.recent_bytes, settings.max_held_bytes // SHARE)
        self.max_bytes = 0 if settings.dual_export else most

    def end(self) -> None:
        """Keep none from now on, and let go of what is kept."""
        self.max_bytes = 0
        with self._lock:
            self._traces.clear()
            self._bytes = 0

    def keep(
        self, trace_id: int, spans: Sequence[ReadableSpan], batch: BatchContext, size: int
    ) -> None:
        """Keep spans that were handed on together."""
        if size > self.max_bytes:
            return  # also where none are kept at all
        with self._lock:
            held = self._traces.setdefault(trace_id, _Kept())
            self._traces.move_to_end(trace_id)
            held.released.append((spans, batch))
            held.size += size
            self._bytes += size
            while self._bytes > self.max_bytes:
                _, gone = self._traces.popitem(last=False)
                self._bytes -= gone.size

    def ids(self) -> list[int]:
        """Return the IDs of the traces that spans are kept of, the newest last."""
        with self._lock:
            return list(self._traces)

    def get(self, trace_id: int) -> list[ReadableSpan]:
        """Return a trace's spans as they left, those that ``should_export`` keeps."""
        with self._lock:
            held = self._traces.get(trace_id)
            released = [] if held is None else list(held.released)
        return [span for spans, batch in released for span in _mapped(spans, batch)]


def _mapped(spans: Sequence[ReadableSpan], batch: BatchContext) -> Iterator[ReadableSpan]:
    # Whoever reads here does not count as the exporter that they wait for.
    own = replace(batch, size=0, read=None, outlines=None)
    return (span for span in (MappedSpan(one, own) for one in spans) if span.kept)


RECENT_SPANS: Final = RecentSpans()
"""The spans of this process's recent traces."""
