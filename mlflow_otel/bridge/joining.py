"""The parts of a trace, put together: spans and ``TraceInfo`` in any order, each span once.

A trace is held until its root span and its ``TraceInfo`` are here. What comes later leaves at once,
with the meaning that the trace had.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import trace_info
from mlflow_otel.bridge.meaning import meaning_of
from mlflow_otel.bridge.trace_info import TraceInfo
from mlflow_otel.bridge.way_in import Seen
from mlflow_otel.holding.held_trace import EARLY, HeldTrace, HoldBounds, Release
from mlflow_otel.holding.holder import Holder
from mlflow_otel.mapping.model import TraceContext

ROOT: Final = "root"
INFO: Final = "info"
MAX_REQUESTS: Final = 100_000
"""Client request IDs that are remembered; the oldest are forgotten."""
OVERHEAD_BYTES: Final = 1000
"""What a held span takes up besides its encoded bytes."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A span of MLflow's that a client sent.

    Args:
        span: The message.
        resource: Its resource's holder, encoded (``ResourceSpans`` without spans).
        decoded: Whether its attributes are decoded values; else they are MLflow's JSON text.
        experiment_id: The experiment that the client named, if any.
    """

    span: Span
    resource: bytes = b""
    decoded: bool = False
    experiment_id: str | None = None

    @property
    def trace_id(self) -> int:
        """The trace's ID."""
        return int.from_bytes(self.span.trace_id, "big")

    @property
    def span_id(self) -> int:
        """The span's ID."""
        return int.from_bytes(self.span.span_id, "big")

    @property
    def parent_id(self) -> int | None:
        """The parent's ID; None of a root."""
        return int.from_bytes(self.span.parent_span_id, "big") or None

    @property
    def size(self) -> int:
        """Bytes that it takes up while it is held."""
        return self.span.ByteSize() + OVERHEAD_BYTES


class Leaving(NamedTuple):
    """Spans that leave together, with the meaning of their trace.

    Args:
        trace_id: OpenTelemetry's ID.
        context: What is known of their trace.
        arrivals: The spans. May be empty when ``update`` is true.
        entries: IDs of the spans that trace-level attributes belong on.
        update: Whether spans of the trace left before with less: the context leaves by itself, too.
        root_id: The root's span ID, if it was seen.
        resource: Of one of the trace's spans.
        removed: Tags that were removed after they left.
        update_id: Span ID of the update, if it matters which.
    """

    trace_id: int
    context: TraceContext
    arrivals: tuple[Arrival, ...] = ()
    entries: frozenset[int] = frozenset()
    update: bool = False
    root_id: int | None = None
    resource: bytes = b""
    removed: tuple[str, ...] = ()
    update_id: bytes = b""

    @property
    def size(self) -> int:
        """Bytes that it takes up while it waits."""
        return OVERHEAD_BYTES + sum(arrival.size for arrival in self.arrivals)


@dataclass(slots=True)
class JoinedTrace(HeldTrace[Arrival]):
    """What is remembered of a trace besides its spans.

    Args:
        info: What the client said of it last.
        context: What its spans left with, once some did.
        root_id: The root's span ID, once it was seen.
        resource: Of the span that came first.
        seen: Whether any span of it came.
    """

    info: TraceInfo | None = None
    context: TraceContext | None = None
    root_id: int | None = None
    resource: bytes = b""
    seen: bool = False


_Release = Release[Arrival, JoinedTrace]


class Joiner:
    """Joins what comes of each trace. What must leave is returned by the call that made it leave.

    The lock guards the traces' fields; mapping is done by whoever takes what leaves.

    Args:
        bounds: How much is held, and how long.
        accounting: Gets ``duplicates``, ``late`` and ``released_early.*``.
        experiment_name: Returns the name of an experiment, or None.
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(
        self,
        bounds: HoldBounds,
        accounting: Accounting,
        experiment_name: Callable[[str], str | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holder: Holder[Arrival, JoinedTrace] = Holder(bounds, JoinedTrace, clock)
        self._accounting = accounting
        self._experiment_name = experiment_name
        self._clock = clock
        self._requests: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.RLock()

    def add_spans(self, arrivals: Iterable[Arrival]) -> list[Leaving]:
        """Take spans of any traces."""
        left: list[Leaving] = []
        with self._lock:
            for arrival in arrivals:
                left += self._add(arrival)
        return left

    def _add(self, arrival: Arrival) -> list[Leaving]:
        trace_id = arrival.trace_id
        trace, releases = self._met(trace_id)
        if not trace.seen:
            trace.seen, trace.resource = True, arrival.resource
        if arrival.parent_id is None and trace.root_id is None:
            trace.root_id = arrival.span_id
        releases += self._holder.add(trace_id, arrival.span_id, arrival, arrival.size) or ()
        if arrival.parent_id is None:
            releases += self._holder.came(trace_id, ROOT) or ()
        return self._all_leaving(releases)

    def had(self, seen: Seen) -> list[Leaving]:
        """Note what a process had of a trace that is no more: it is not waited for, and does not leave twice."""
        with self._lock:
            trace, releases = self._met(seen.trace_id)
            if seen.span_ids:
                trace.seen = True
                self._holder.had(seen.trace_id, seen.span_ids)
            if seen.roots:
                trace.root_id = seen.roots[0] if trace.root_id is None else trace.root_id
                releases += self._holder.came(seen.trace_id, ROOT) or ()
            if seen.info:
                releases += self._holder.came(seen.trace_id, INFO) or ()
            return self._all_leaving(releases)

    def add_info(self, info: TraceInfo) -> list[Leaving]:
        """Take what a client says of a trace; what it says again replaces what it said."""
        with self._lock:
            trace, releases = self._met(info.trace_id)
            before, trace.info = trace.info, info
            self._remember_request(info, before)
            releases += self._holder.came(info.trace_id, INFO) or ()
            left = self._all_leaving(releases)
            if trace.context is not None and before != info and not any(r.items for r in releases):
                left.append(self._update(info.trace_id, trace, info))
        return left

    def waits_for_info(self, trace_id: int) -> bool:
        """Tell whether spans of a trace are held that its ``TraceInfo`` may let go."""
        trace = self._holder.get(trace_id)
        return trace is not None and bool(trace.items) and INFO in trace.expected

    def _remember_request(self, info: TraceInfo, before: TraceInfo | None) -> None:
        request = info.client_request_id
        if request is None or (before is not None and before.client_request_id == request):
            return  # what is said again of an older trace makes it no newer
        self._requests[request] = self._clock(), info.trace_id
        self._requests.move_to_end(request)
        if len(self._requests) > MAX_REQUESTS:
            self._requests.popitem(last=False)

    def of_request(self, client_request_id: str) -> tuple[float, int] | None:
        """Return when a request's newest trace was met and its ID, or None if it is not remembered."""
        with self._lock:
            found = self._requests.get(client_request_id)
        return None if found is None or self.known(found[1]) is None else found

    def change_tags(self, trace_id: int, change: Callable[[dict[str, str]], None]) -> list[Leaving]:
        """Change the tags of a trace that is known.

        Raises:
            KeyError: It is not known, or ``change`` raises it.
        """
        with self._lock:
            trace = self._holder.get(trace_id, remembered=True)
            if trace is None or trace.info is None:
                raise KeyError(trace_id)
            tags = trace.info.tags
            before = set(tags)
            change(tags)
            trace.info = trace.info.with_tags(tags)
            if trace.context is None:
                return []
            update = self._update(trace_id, trace, trace.info)
            return [update._replace(removed=tuple(sorted(before - set(tags))))]

    def _update(self, trace_id: int, trace: JoinedTrace, info: TraceInfo) -> Leaving:
        """Return what a trace whose spans left is now known to be."""
        known = trace_info.context(info, self._name(info.experiment_id))
        former = trace.context or known
        trace.context = replace(
            known,
            token_usage=known.token_usage or former.token_usage,
            cost=known.cost or former.cost,
            memo=[],
        )
        return Leaving(
            trace_id, trace.context, update=True, root_id=trace.root_id, resource=trace.resource
        )

    def forget(self, trace_id: int) -> None:
        """Know nothing of a trace any more; what is held of it is dropped: another bridge has it."""
        with self._lock:
            self._holder.forget(trace_id)

    def known(self, trace_id: int) -> JoinedTrace | None:
        """Return what is remembered of a trace, or None."""
        return self._holder.get(trace_id, remembered=True)

    def held(self, trace_id: int) -> Leaving | None:
        """Return what is held of a trace as it would leave now, or None. Nothing changes by it."""
        with self._lock:
            trace = self._holder.get(trace_id)
            if trace is None or not trace.items:
                return None
            arrivals = tuple(trace.items.values())
            context = trace.context or self._context(trace.info, trace_id, arrivals)
            return self._leaving_of(trace_id, trace, context, arrivals)

    def release_aged(self) -> list[Leaving]:
        """Release what waited too long for its root or its ``TraceInfo``."""
        with self._lock:
            return self._all_leaving(self._holder.release_aged())

    def release_all(self) -> list[Leaving]:
        """Release everything."""
        with self._lock:
            return self._all_leaving(self._holder.release_all())

    def stats(self) -> dict[str, int]:
        """Return how many ``traces``, ``items`` and ``bytes`` are held."""
        return self._holder.stats()

    def _met(self, trace_id: int) -> tuple[JoinedTrace, list[_Release]]:
        trace = self._holder.get(trace_id, remembered=True)
        if trace is not None:
            return trace, []
        trace, releases = self._holder.expect(trace_id, ROOT)
        # The second call finds the trace there, so that nothing more must leave.
        self._holder.expect(trace_id, INFO)
        return trace, list(releases)

    def _all_leaving(self, releases: Iterable[_Release]) -> list[Leaving]:
        left = []
        for release in releases:
            number = len(release.items)
            if release.reason == "duplicate":
                self._accounting.count("duplicates", number)
                continue
            if release.reason == "late":
                self._accounting.count("late", number)
            elif release.reason in EARLY and (number or release.complete):
                self._accounting.count(f"released_early.{release.reason}")
            if number:
                left.append(self._leaving(release))
        return left

    def _leaving(self, release: _Release) -> Leaving:
        trace, arrivals = release.trace, tuple(release.items.values())
        if trace is None:  # the holder forgot it between two calls: it leaves as it is
            return Leaving(
                release.trace_id, self._context(None, release.trace_id, arrivals), arrivals
            )
        if trace.context is None or (trace.info is None and not trace.released):
            trace.context = self._context(trace.info, release.trace_id, arrivals)
        return self._leaving_of(release.trace_id, trace, trace.context, arrivals)

    @staticmethod
    def _leaving_of(
        trace_id: int, trace: JoinedTrace, context: TraceContext, arrivals: tuple[Arrival, ...]
    ) -> Leaving:
        roots = {a.span_id for a in arrivals if a.parent_id is None}
        if not roots and trace.root_id is None:
            ids = {a.span_id for a in arrivals}  # the root is elsewhere: the topmost that are here
            roots = {a.span_id for a in arrivals if a.parent_id not in ids}
        return Leaving(
            trace_id,
            context,
            arrivals,
            frozenset(roots),
            root_id=trace.root_id,
            resource=trace.resource,
        )

    def _context(
        self, info: TraceInfo | None, trace_id: int, arrivals: tuple[Arrival, ...]
    ) -> TraceContext:
        experiment = next((a.experiment_id for a in arrivals if a.experiment_id), None)
        if info is None:
            known = TraceContext(
                trace_id=trace_info.mlflow_id(trace_id),
                experiment_id=experiment,
                experiment_name=self._name(experiment),
            )
        else:
            known = trace_info.context(info, self._name(info.experiment_id))
        return meaning_of(known, [(a.span, a.decoded) for a in arrivals])

    def _name(self, experiment_id: str | None) -> str | None:
        return None if experiment_id is None else self._experiment_name(experiment_id)
