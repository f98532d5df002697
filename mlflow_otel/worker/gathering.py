"""The spans of each trace, held until nothing more of it comes: until it is quiet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mlflow_otel.accounting import Accounting
from mlflow_otel.holding.held_trace import HeldTrace, HoldBounds, Reason, Release
from mlflow_otel.holding.holder import Holder
from mlflow_otel.receiver.tickets import Ticket, let_go_of
from mlflow_otel.scoring.started import Started
from mlflow_otel.worker.arrivals import Arrival

QUIET: Final = "quiet"
"""What a trace is held for."""
FULL: Final = 0.75
"""The part of a bound from which on nothing is taken: room for the requests that are under way."""


@dataclass(slots=True)
class GatheredTrace(HeldTrace[Arrival]):
    """What is known of a trace besides its spans.

    Args:
        last: When the last span of it came. Seconds of the holder's clock.
        came: The same by the clock on the wall.
        rooted: Whether a span without a parent came.
        tickets: Of the requests that spans of it came with, until it is done with.
        judged: Whether nothing holds its tickets any more.
        chosen: The scorers whose samples it is in.
    """

    last: float = 0.0
    came: float = 0.0
    rooted: bool = False
    tickets: list[Ticket] = field(default_factory=list)
    judged: bool = False
    chosen: Sequence[Started] = ()


class Gathered(NamedTuple):
    """A trace of which nothing more is expected.

    Args:
        trace_id: OpenTelemetry's ID.
        arrivals: Its spans.
        chosen: The scorers that are to judge it.
        size: Bytes of the spans.
        whole: False when it was released before it was quiet: a bound was passed.
        done: Call it when the trace is done with.
    """

    trace_id: int
    arrivals: Sequence[Arrival]
    chosen: Sequence[Started]
    size: int
    whole: bool
    done: Callable[[], None]


class Gatherer:
    """Gathers traces. What must leave is returned by the call that made it leave.

    The lock guards the traces' fields.

    Args:
        bounds: How much is held.
        quiet: Seconds without a span after which a trace is whole.
        patience: The same for a trace whose root has not come.
        wanted: Returns the scorers whose samples a trace is in, given MLflow's ID, or None when it
            need not be held. Asked once for each trace.
        accounting: Gets ``received.traces``, ``duplicates``, ``late`` and ``released_early.*``.
        clock: Seconds in which a trace is quiet. It may stand still while more of the trace may lie
            somewhere, unread (``TopicClock``).
        now: Monotonic seconds. They count instead while there is no room for more to be read.
    """

    def __init__(
        self,
        bounds: HoldBounds,
        quiet: float,
        patience: float,
        wanted: Callable[[str], Sequence[Started] | None],
        accounting: Accounting,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holder: Holder[Arrival, GatheredTrace] = Holder(bounds, GatheredTrace, clock)
        self._quiet = quiet
        self._patience = max(patience, quiet)
        self._wanted = wanted
        self._accounting = accounting
        self._clock = clock
        self._now = now
        self._max_bytes = bounds.max_bytes
        self._max_traces = bounds.max_traces
        self._lock = threading.RLock()

    @property
    def is_full(self) -> bool:
        """Whether so much is held that another request may pass a bound."""
        held = self._holder.stats()
        return held["bytes"] >= self._max_bytes * FULL or held["traces"] >= self._max_traces * FULL

    def add(self, arrivals: Iterable[Arrival], ticket: Ticket | None = None) -> list[Gathered]:
        """Take the spans of a request."""
        left: list[Gathered] = []
        number = 0
        with self._lock:
            for arrival in arrivals:
                left += self._add(arrival, ticket)
                number += 1
        self._accounting.count("received.traces", number)
        return left

    def _add(self, arrival: Arrival, ticket: Ticket | None) -> list[Gathered]:
        trace_id = arrival.trace_id
        trace = self._holder.get(trace_id, remembered=True)
        releases: list[Release[Arrival, GatheredTrace]] = []
        if trace is None:
            if arrival.is_later:
                return []  # of a trace that was judged long ago: ours, maybe
            trace, more = self._holder.expect(trace_id, QUIET)
            releases += more
            chosen = self._wanted(f"tr-{trace_id:032x}")
            if chosen is None:
                trace.judged = True
                self._holder.came(trace_id, QUIET)
            else:
                trace.chosen = chosen
        if trace.released and not trace.chosen and trace.judged:
            return self._all(releases)  # nobody wants it
        trace.last, trace.came = self._clock(), self._now()
        trace.rooted = trace.rooted or arrival.is_root
        if ticket is not None and not trace.judged and trace.tickets[-1:] != [ticket]:
            ticket.hold()
            trace.tickets.append(ticket)
        releases += self._holder.add(trace_id, arrival.span_id, arrival, arrival.size) or ()
        return self._all(releases)

    def due(self) -> list[Gathered]:
        """Return the traces that are quiet, and those that are too old to wait for."""
        with self._lock:
            quiet_time, now, is_full = self._clock(), self._now(), self.is_full
            left: list[Gathered] = []
            for trace_id, trace in self._holder.under_way():
                wait = self._quiet if trace.rooted else self._patience
                if quiet_time - trace.last >= wait or (is_full and now - trace.came >= wait):
                    left += self._all(self._holder.came(trace_id, QUIET) or ())
            return left + self._all(self._holder.release_aged())

    def everything(self) -> list[Gathered]:
        """Return every trace that is held."""
        with self._lock:
            held = [i for i, _ in self._holder.under_way()]
            return [one for i in held for one in self._all(self._holder.came(i, QUIET) or ())]

    def forget(self, origins: Collection[Hashable]) -> None:
        """Drop what is held of requests from these origins: another worker gets them again."""
        with self._lock:
            for trace_id, trace in self._holder.under_way():
                if any(ticket.origin in origins for ticket in trace.tickets):
                    self._holder.forget(trace_id)
                    tickets, trace.tickets = trace.tickets, []
                    let_go_of(tickets)

    def stats(self) -> dict[str, int]:
        """Return how many ``traces``, ``items`` and ``bytes`` are held."""
        return self._holder.stats()

    def _all(self, releases: Iterable[Release[Arrival, GatheredTrace]]) -> list[Gathered]:
        left = []
        for release in releases:
            number = len(release.items)
            if release.reason in AFTERWARDS:
                self._accounting.count(AFTERWARDS[release.reason], number)
            elif release.trace is not None and number:
                if release.reason != "ended":
                    self._accounting.count(f"released_early.{release.reason}")
                left.append(self._gathered(release, release.trace))
        return left

    def _gathered(self, release: Release[Arrival, GatheredTrace], trace: GatheredTrace) -> Gathered:
        whole = release.reason == "ended"
        if not whole:  # what comes of it now comes late
            self._holder.came(release.trace_id, QUIET)

        def done() -> None:
            with self._lock:
                trace.judged = True
                tickets, trace.tickets = trace.tickets, []
            let_go_of(tickets)

        return Gathered(
            release.trace_id,
            tuple(release.items.values()),
            trace.chosen,
            release.size,
            whole,
            done,
        )


AFTERWARDS: Final[dict[Reason, str]] = {
    "duplicate": "duplicates",
    "late": "late",
    "unknown": "late",
}
"""Why a span is not held, and how that is counted."""
