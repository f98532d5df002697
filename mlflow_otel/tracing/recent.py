"""What is remembered of traces, so that feedback finds them. It is bounded: the newest are kept."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import Final, NamedTuple, Protocol

from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.tracing.mlflow_adapter import TraceFacts


class KnownTrace(NamedTuple):
    """A trace of this process.

    Args:
        trace_id: OpenTelemetry's ID.
        facts: What MLflow knew of it.
        root: The span ID of its local root, or None.
        sampled: Whether its spans are exported.
    """

    trace_id: int
    facts: TraceFacts
    root: int | None
    sampled: bool = True


class TracesUnderWay(Protocol):
    """Knows the traces under way."""

    def find(self, trace_id: int) -> KnownTrace | None:
        """Return one, by OpenTelemetry's ID."""
        ...

    def of_request(self, client_request_id: str) -> list[KnownTrace]:
        """Return those of a request, the newest first."""
        ...


class RecentTraces:
    """The traces that ended lately, and those under way.

    The lock guards what is remembered. The processors are asked for traces under way without it. A
    forked child begins with a new lock and keeps what its parent remembered: feedback in the child
    may be about the parent's traces.

    Args:
        limit: How many that ended are kept; about 2.6 KB each.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self.limit = limit
        self._live: weakref.WeakSet[TracesUnderWay] = weakref.WeakSet()
        self._traces: OrderedDict[int, KnownTrace] = OrderedDict()
        self._by_request: dict[str, OrderedDict[int, None]] = {}
        self._left_out: OrderedDict[int, None] = OrderedDict()
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()

    def watch(self, live: TracesUnderWay) -> None:
        """Ask ``live``, too, from now on."""
        self._live.add(live)

    def remember(self, known: KnownTrace) -> None:
        """Remember a trace that ended. This replaces what was known of it before."""
        with self._lock:
            self._forget(known.trace_id)
            self._traces[known.trace_id] = known
            request = known.facts.client_request_id
            if request is not None:
                self._by_request.setdefault(request, OrderedDict())[known.trace_id] = None
            while len(self._traces) > self.limit:
                self._forget(next(iter(self._traces)))

    def change(self, known: KnownTrace) -> None:
        """Take over what became of a trace that is remembered; others stay as they are."""
        with self._lock:
            if known.trace_id in self._traces:
                self._traces[known.trace_id] = known

    def _forget(self, trace_id: int) -> None:
        known = self._traces.pop(trace_id, None)
        request = None if known is None else known.facts.client_request_id
        if request is not None:
            traces = self._by_request[request]
            del traces[trace_id]
            if not traces:
                del self._by_request[request]

    def note_sampled_out(self, trace_id: int) -> None:
        """Remember that a trace is sampled out."""
        with self._lock:
            self._left_out[trace_id] = None
            while len(self._left_out) > self.limit:
                self._left_out.popitem(last=False)

    def was_sampled_out(self, trace_id: int) -> bool:
        """Tell whether a trace was sampled out, as far as is remembered."""
        return trace_id in self._left_out

    def get(self, trace_id: int) -> KnownTrace | None:
        """Return a trace, or None when it is not known here."""
        for live in list(self._live):
            known = live.find(trace_id)
            if known is not None:
                return known
        with self._lock:
            return self._traces.get(trace_id)

    def newest(self) -> list[KnownTrace]:
        """Return every trace that ended and is remembered, the newest first."""
        with self._lock:
            return list(reversed(self._traces.values()))

    def of_request(self, client_request_id: str) -> list[KnownTrace]:
        """Return the traces of a request, the newest first."""
        live = [k for one in list(self._live) for k in one.of_request(client_request_id)]
        with self._lock:
            found = self._by_request.get(client_request_id, ())
            ended = [self._traces[trace_id] for trace_id in found]
        newer = {known.trace_id for known in live}
        return [*live, *(k for k in reversed(ended) if k.trace_id not in newer)]


RECENT: Final = RecentTraces()
"""The recent traces of this process."""
