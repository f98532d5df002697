"""Holds the items of each trace until nothing more is expected of it, within bounds."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sized
from typing import Any, Final, Generic, TypeVar

from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.holding.held_trace import HeldTrace, HoldBounds, Item, Reason, Release

TraceT = TypeVar("TraceT", bound=HeldTrace[Any])

NOTHING: Final[list[Any]] = []


class Holder(Generic[Item, TraceT]):
    """Holds traces. Each call returns the items that leave because of it. Nothing is called back.

    The owner says what it sees, in any order: an item started (``started``), an item is here
    (``add``), something is expected of a trace (``expect``), it came (``came``). A trace is held
    while one of its roots has started and is not here, or while something else is expected. Then
    its items leave together. Items that come later leave at once. Past a bound the items of the
    oldest trace leave early. No item is lost. None leaves twice while its ID is remembered.

    The lock guards all fields, also those of the traces. It is never held while code of others
    runs. A forked child begins with a new lock and holds nothing: the parent sends what it holds.

    Args:
        bounds: How much may be held.
        new_trace: Makes a trace, given the time and whether the trace is already released.
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(
        self,
        bounds: HoldBounds,
        new_trace: Callable[[float, bool], TraceT],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_traces, self._max_items, self._max_bytes = bounds[:3]
        self._max_age, self._max_ids, self._max_remembered_age = bounds[3:]
        self._new_trace = new_trace
        self._clock = clock
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Forget everything. Called in a forked child too."""
        # An RLock: a signal handler or a finalizer may end a span in the middle of a call here.
        self._lock = threading.RLock()
        self._under_way: OrderedDict[int, TraceT] = OrderedDict()
        self._remembered: OrderedDict[int, TraceT] = (
            OrderedDict()
        )  # complete traces; items may still come late
        self._bytes = self._items = self._holding = 0  # what stats() says, without a walk
        self._ids = 0

    def started(
        self, trace_id: int, item_id: int, *, root: bool = False
    ) -> tuple[TraceT, list[Release[Item, TraceT]]]:
        """Note that an item of a trace started. The trace is not complete before the item is here.

        If the first item of a trace is no root, the trace is not held: its root is in another
        process, and nothing is expected. A root that starts in a complete trace begins it anew.

        Args:
            trace_id: The trace; it may be new.
            item_id: The item.
            root: Whether to hold the trace until this item is here.

        Returns:
            The trace, and what must leave for the bounds to hold.
        """
        releases: list[Release[Item, TraceT]] = NOTHING
        with self._lock:
            trace = self._under_way.get(trace_id)
            if trace is None:
                if root and trace_id in self._remembered:
                    self._forget(trace_id)
                trace = self._remembered.pop(trace_id, None)
                if trace is None:
                    trace = self._new_trace(self._clock(), not root)
                self._under_way[trace_id] = trace
                releases = self._release_over_traces()
            trace.open.add(item_id)
            if root:
                trace.released = False
                trace.expected += (item_id,)
        return trace, releases

    def expect(self, trace_id: int, what: Hashable) -> tuple[TraceT, list[Release[Item, TraceT]]]:
        """Hold a trace until ``came`` is called with ``what``. A released trace stays released.

        This is for an owner that does not see items start, and so does not know their roots.

        Args:
            trace_id: The trace; it may be new.
            what: A name of the owner's choice. It may be expected already.

        Returns:
            The trace, and what must leave for the bounds to hold.
        """
        releases: list[Release[Item, TraceT]] = NOTHING
        with self._lock:
            trace = self._under_way.get(trace_id) or self._remembered.get(trace_id)
            if trace is None:
                trace = self._under_way[trace_id] = self._new_trace(self._clock(), False)
                releases = self._release_over_traces()
            if not trace.released and what not in trace.expected:
                trace.expected += (what,)
        return trace, releases

    def add(
        self, trace_id: int, item_id: int, item: Item, size: int
    ) -> list[Release[Item, TraceT]] | None:
        """Take an item: hold it, or return what leaves now."""
        with self._lock:
            trace = self._under_way.get(trace_id) or self._remembered.get(trace_id)
            if trace is None:
                return [Release(trace_id, None, {item_id: item}, size, "unknown")]
            items = trace.items
            if item_id in items or (trace.left is not None and item_id in trace.left):
                return [Release(trace_id, trace, {item_id: item}, size, "duplicate")]
            self._holding += not items
            items[item_id] = item
            trace.size += size
            self._bytes += size
            self._items += 1
            trace.open.discard(item_id)
            if item_id in trace.expected:
                self._stop_expecting(trace, item_id)
                if trace.released:
                    return [self._release_items(trace_id, trace, "ended")]
            elif trace.released:
                return [self._release_items(trace_id, trace, "late")]
            if len(items) > self._max_items:
                return [self._release_items(trace_id, trace, "items")]
            if self._bytes > self._max_bytes:
                return self._release_over_bytes()
        return None

    def had(self, trace_id: int, item_ids: Collection[int]) -> None:
        """Note that items of a trace that is met left before, in a process that is no more."""
        with self._lock:
            trace = self._under_way.get(trace_id) or self._remembered.get(trace_id)
            if trace is None or not self._max_ids:
                return
            before = len(trace.left or ())
            trace.left = {*(trace.left or ()), *item_ids}
            self._ids += len(trace.left) - before
            if self._ids > self._max_ids:
                self._forget_ids()

    def came(self, trace_id: int, what: Hashable) -> list[Release[Item, TraceT]] | None:
        """Note that something came that was expected of a trace. Return what leaves now."""
        with self._lock:
            trace = self._under_way.get(trace_id) or self._remembered.get(trace_id)
            if trace is None or what not in trace.expected:
                return None
            self._stop_expecting(trace, what)
            return [self._release_items(trace_id, trace, "ended")] if trace.released else None

    @staticmethod
    def _stop_expecting(trace: TraceT, what: Hashable) -> None:
        trace.expected = tuple(x for x in trace.expected if x != what)
        trace.released = trace.released or not trace.expected

    def _release_items(self, trace_id: int, trace: TraceT, reason: Reason) -> Release[Item, TraceT]:
        items, size = trace.items, trace.size
        trace.items, trace.size = {}, 0
        self._gone(items, size)
        if self._max_ids and items:
            trace.left = trace.left or set()
            trace.left.update(items)
            self._ids += len(items)
        complete = trace.released and not trace.open
        if complete:
            trace.expected = ()
            self._remember(trace_id, trace)
        if self._ids > self._max_ids:
            self._forget_ids()
        return Release(trace_id, trace, items, size, reason, complete)

    def _remember(self, trace_id: int, trace: TraceT) -> None:
        if self._under_way.pop(trace_id, None) is not None:
            trace.since = self._clock()
            self._remembered[trace_id] = trace
            while len(self._remembered) > self._max_traces:
                self._forget(next(iter(self._remembered)))

    def _forget(self, trace_id: int) -> None:
        trace = self._remembered.pop(trace_id)
        self._ids -= len(trace.left or ())

    def _forget_ids(self) -> None:
        """Forget the IDs of items that left, the oldest traces first, until the bound holds."""
        for traces in (self._remembered, self._under_way):
            for trace in traces.values():
                if self._ids <= self._max_ids:
                    return
                if trace.left:
                    self._ids -= len(trace.left)
                    trace.left = None

    def _release_over_bytes(self) -> list[Release[Item, TraceT]]:
        releases = []
        for trace_id, trace in list(self._under_way.items()):
            if self._bytes <= self._max_bytes:
                break
            if trace.items:
                releases.append(self._release_items(trace_id, trace, "bytes"))
        return releases

    def _release_over_traces(self) -> list[Release[Item, TraceT]]:
        releases = []
        while len(self._under_way) > self._max_traces:
            trace_id, trace = next(iter(self._under_way.items()))
            trace.released = True
            releases.append(self._release_items(trace_id, trace, "traces"))
            self._remember(trace_id, trace)
        return releases

    def release(self, trace_id: int, reason: Reason = "asked") -> list[Release[Item, TraceT]]:
        """Release one trace now, even if something is still expected of it."""
        with self._lock:
            trace = self._under_way.get(trace_id)
            return [] if trace is None else self._release_each([(trace_id, trace)], reason)

    def forget(self, trace_id: int) -> None:
        """Know nothing of a trace any more. What is held of it is dropped: another has it."""
        with self._lock:
            if trace_id in self._remembered:
                self._forget(trace_id)
            trace = self._under_way.pop(trace_id, None)
            if trace is not None:
                self._gone(trace.items, trace.size)
                self._ids -= len(trace.left or ())

    def release_aged(self) -> list[Release[Item, TraceT]]:
        """Release the traces that are older than ``max_age``. Forget the released ones whose time is over."""
        with self._lock:
            now = self._clock()
            before = now - self._max_age
            forget = before if self._max_remembered_age is None else now - self._max_remembered_age
            while self._remembered:
                trace_id, trace = next(iter(self._remembered.items()))  # the oldest
                if trace.since > forget:
                    break
                self._forget(trace_id)
            aged = [(i, t) for i, t in self._under_way.items() if t.since <= before]
            return self._release_each(aged, "age")

    def release_all(self) -> list[Release[Item, TraceT]]:
        """Release every trace: nothing is expected any more. Items that come later leave at once."""
        with self._lock:
            every = list(self._under_way.items())
            for _, trace in every:
                trace.open.clear()
            return self._release_each(every, "shutdown")

    def _release_each(
        self, traces: list[tuple[int, TraceT]], reason: Reason
    ) -> list[Release[Item, TraceT]]:
        releases = []
        for trace_id, trace in traces:
            trace.released = True
            if trace.items or not trace.open:
                releases.append(self._release_items(trace_id, trace, reason))
        return releases

    def get(self, trace_id: int, *, remembered: bool = False) -> TraceT | None:
        """Return a trace under way, or None.

        Args:
            trace_id: Its ID.
            remembered: Whether to return a complete trace too, if it is remembered.
        """
        with self._lock:
            trace = self._under_way.get(trace_id)
            if trace is None and remembered:
                trace = self._remembered.get(trace_id)
            return trace

    def under_way(self) -> list[tuple[int, TraceT]]:
        """Return the traces under way with their IDs, the oldest first."""
        with self._lock:
            return list(self._under_way.items())

    def stats(self) -> dict[str, int]:
        """Return how many ``traces``, ``items`` and ``bytes`` are held now."""
        with self._lock:
            return {"traces": self._holding, "items": self._items, "bytes": self._bytes}

    def _gone(self, items: Sized, size: int) -> None:
        """Note that the items of a trace are held no more."""
        self._holding -= bool(items)
        self._items -= len(items)
        self._bytes -= size
