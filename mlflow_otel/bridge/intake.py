"""Everything that comes in, whatever the protocol: taken, joined, and put on its way out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import span_message, traces_json
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.experiments import Experiments
from mlflow_otel.bridge.gate import Gate
from mlflow_otel.bridge.joining import Arrival, Joiner, Leaving
from mlflow_otel.bridge.leaving import Keep, Mapper
from mlflow_otel.bridge.remembering import TraceMemory
from mlflow_otel.bridge.trace_info import TraceInfo
from mlflow_otel.bridge.way_in import FULL, Known, Made, Seen, Taken
from mlflow_otel.delivery.outlet import Outlet, Waiting
from mlflow_otel.holding.held_trace import HoldBounds
from mlflow_otel.holding.sweeper import Sweeper
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, Group
from mlflow_otel.settings import SIGNALS, Settings, Signal

MAX_IDS: Final = 1_000_000
"""Span IDs that are remembered, so that a span that comes twice leaves once."""
REMEMBER_SECONDS: Final = 3600.0
"""How long a trace that left is remembered at most. A client may send a span again long after the
trace left: MLflow's tries eight times, some of them minutes apart, and a proxy or a queue between may add
to it."""
MIN_TRACES: Final = 20_000
"""Traces that may be held, and that are remembered: many clients', where the setting means one app's."""
MAX_SPANS: Final = 50_000
"""Of one request."""
SWEEPS: Final = 4


class Intake:
    """Takes what clients send. Safe to call from any thread.

    Args:
        settings: Where to and how to deliver, and how much may be held.
        options: How to map.
        accounting: Gets the counters; ``received.*`` by signal among them.
        keep: Tells whether a span leaves, or None: all do.
        clock: Monotonic seconds, by which a trace ages.
    """

    waits: ClassVar[bool] = False
    """Whether spans and a ``TraceInfo`` may wait for others than the backend: then they are taken in a thread."""

    def __init__(
        self,
        settings: Settings,
        options: MappingOptions,
        accounting: Accounting,
        keep: Keep | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.experiments = Experiments()
        self.options = options
        self.mapper = Mapper(options, accounting, keep)
        self._accounting = accounting
        self._max_bytes = settings.max_held_bytes
        self._joiner = Joiner(
            HoldBounds(
                max_traces=max(settings.max_traces, MIN_TRACES),
                max_items=settings.max_spans_per_trace,
                max_bytes=settings.max_held_bytes,
                max_age=settings.trace_timeout,
                max_ids=MAX_IDS,
                max_remembered_age=REMEMBER_SECONDS,
            ),
            accounting,
            self.experiments.name_of,
            clock,
        )
        self.memory = TraceMemory(self.mapper.groups, self._joiner.held, settings.max_held_bytes)
        self.gate = Gate()
        """What leaves goes through it."""
        self._outlets = {signal: Outlet(signal, settings, accounting) for signal in SIGNALS}
        # A backend need not take the bridge's own events. Logs of clients that it refuses are lost.
        self._events = Outlet("logs", settings, accounting.prefixed("events."), optional=True)
        self._sweeper = Sweeper(self.release_aged, settings.trace_timeout / SWEEPS, "bridge ages")
        self._sweeper.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the backend."""
        return self.gate.bytes + sum(outlet.waiting_bytes for outlet in self._all_outlets())

    @property
    def unready(self) -> str | None:
        """Why clients should send to another bridge for now, or None."""
        return FULL if self.waiting_bytes > self._max_bytes else None

    def make_sure_of_room(self) -> None:
        """Refuse what comes while too much waits for the backend.

        Raises:
            RefusedError: With 503; the client is to come again later.
        """
        if self.waiting_bytes > self._max_bytes:
            self._accounting.count("refused.overload")
            raise RefusedError(503, FULL)

    def otlp(self, signal: Signal, request: Any, experiment_id: str | None = None) -> Taken:
        """Take an export request of any client's.

        Args:
            signal: Of what.
            request: The message.
            experiment_id: What the client named in ``x-mlflow-experiment-id``.
        """
        if signal != "traces":
            groups = envelope.parse(request.SerializeToString(), signal)
            self._pass_on(signal, groups)
            return Taken()
        number = spans_in(request)
        self._accounting.count("received.traces", number)
        arrivals: list[Arrival] = []
        others: list[Group] = []
        rejected = 0
        for holder in request.resource_spans:
            resource = ResourceSpans(resource=holder.resource, schema_url=holder.schema_url)
            encoded, decoded = resource.SerializeToString(), _is_python_client(holder.resource)
            for group in holder.scope_spans:
                theirs: list[Span] = []
                for span in group.spans:
                    if not span_message.made_by_mlflow(span, group.scope):
                        theirs.append(span)
                    elif is_whole(span):
                        arrivals.append(Arrival(span, encoded, decoded, experiment_id))
                    else:
                        rejected += 1
                if theirs:
                    others.append(self._others(theirs, encoded, group))
        self._pass_on("traces", others, counted=False)
        self._leave(self._joiner.add_spans(arrivals))
        return self.rejection(rejected)

    def rejection(self, rejected: int) -> Taken:
        """Return what became of a request of which some spans have no valid IDs, and count these."""
        if not rejected:
            return Taken()
        self._accounting.count("refused.spans", rejected)
        return Taken(rejected, "spans need a trace ID of 16 bytes and a span ID of 8, not all zero")

    def _others(self, spans: Iterable[Span], resource: bytes, holder: ScopeSpans) -> Group:
        group = Group(resource, self.mapper.others_scope(holder))
        for span in spans:
            if not self.mapper.changes_others or self.mapper.other(span, holder.scope.name):
                group.items.append(wire.field(ITEM, span.SerializeToString()))
        return group

    def _pass_on(self, signal: Signal, groups: list[Group], *, counted: bool = True) -> None:
        number = sum(len(group.items) for group in groups)
        if counted:
            self._accounting.count(f"received.{signal}", number)
        self._put(self._outlets[signal], groups)

    def send(self, made: Made) -> None:
        """Send what the bridge itself made of a trace, and remember what of it is to be read."""
        self.memory.add(made.trace_id, made.remembered)
        self._put(self._events, made.logs)
        self._accounting.count("evaluations", sum(len(group.items) for group in made.spans))
        self._pass_on("traces", made.spans, counted=False)

    def info(self, info: TraceInfo) -> Known | None:
        """Take a ``TraceInfo`` of a client's; return what is known of its trace. See ``WayIn``."""
        if not self._joiner.waits_for_info(info.trace_id):
            self.make_sure_of_room()
        return self.add_info(info)

    def add_info(self, info: TraceInfo) -> Known | None:
        """Take a ``TraceInfo``, whether there is room or not."""
        self._accounting.count("received.trace_infos")
        self._leave(self._joiner.add_info(info))
        return self.known(info.trace_id)

    def uploaded(self, trace_id: int, body: Any, experiment_id: str | None) -> None:
        """Take a ``traces.json``.

        Raises:
            MalformedError: It is none.
        """
        self._take_uploaded(*traces_json.read(body, trace_id), experiment_id)

    def _take_uploaded(self, spans: list[Span], decoded: bool, experiment_id: str | None) -> None:
        self._accounting.count("received.traces", len(spans))
        arrivals = [
            Arrival(span, PYTHON if not decoded else b"", decoded, experiment_id) for span in spans
        ]
        self._leave(self._joiner.add_spans(arrivals))

    def count(self, outcome: str, number: int = 1) -> None:
        """Count something that happened."""
        self._accounting.count(outcome, number)

    def had(self, seen: Iterable[Seen]) -> None:
        """Note what a process had that is no more."""
        for one in seen:
            self._leave(self._joiner.had(one))

    def known(self, trace_id: int) -> Known | None:
        """Return what is remembered of a trace."""
        trace = self._joiner.known(trace_id)
        return (
            None if trace is None else Known(trace.info, trace.root_id, trace.resource, trace.seen)
        )

    def of_request(self, client_request_id: str) -> int | None:
        """Return the ID of a request's newest trace that is remembered, or None."""
        found = self.met_by_request(client_request_id)
        return None if found is None else found[1]

    def met_by_request(self, client_request_id: str) -> tuple[float, int] | None:
        """Return when a request's newest trace was met and its ID, or None; on the monotonic clock."""
        return self._joiner.of_request(client_request_id)

    def _all_outlets(self) -> list[Outlet]:
        return [*self._outlets.values(), self._events]

    def set_tag(self, trace_id: int, key: str, value: str) -> None:
        """Set a tag of a trace that is known.

        Raises:
            KeyError: It is not known.
        """
        self._leave(self._joiner.change_tags(trace_id, lambda tags: tags.update({key: value})))

    def delete_tag(self, trace_id: int, key: str) -> None:
        """Remove a tag of a trace that is known.

        Raises:
            KeyError: Trace or tag are not known.
        """
        self._leave(self._joiner.change_tags(trace_id, lambda tags: _remove(tags, key)))

    def update(
        self, trace_id: int, root_id: int | None, context: TraceContext, removed: tuple[str, ...]
    ) -> None:
        """Send what changed of a trace that is not remembered, but lies in a backend.

        Args:
            trace_id: OpenTelemetry's ID.
            root_id: The root's span ID, if it is known.
            context: Whose trace it is, and what was set.
            removed: Tags that were removed.
        """
        self._leave([Leaving(trace_id, context, update=True, root_id=root_id, removed=removed)])

    def _leave(self, leaving: Iterable[Leaving]) -> None:
        for one in leaving:
            number = len(one.arrivals) + one.update
            if one.update:
                self._accounting.count("updates")
            self.gate.put(
                self._outlets["traces"], Waiting(self.memory.leaves(one), number, one.size)
            )

    def _put(self, outlet: Outlet, groups: list[Group]) -> None:
        number = sum(len(group.items) for group in groups)
        if number:
            size = sum(len(item) for group in groups for item in group.items)
            self.gate.put(outlet, Waiting(lambda: groups, number, size))

    def release_aged(self) -> None:
        """Release what waited too long; a thread calls this."""
        self._leave(self._joiner.release_aged())

    def stats(self) -> Mapping[str, int]:
        """Return all counters, and how much is held or on its way now."""
        # In the order in which items go: one that goes on meanwhile is counted twice, and never left out.
        held = self._joiner.stats()
        in_flight = self.gate.items + sum(outlet.in_flight for outlet in self._all_outlets())
        return {
            **self._accounting.snapshot(),
            **{f"held.{what}": number for what, number in held.items()},
            "waiting.bytes": self.waiting_bytes,
            "in_flight": in_flight,
        }

    def close(self, seconds: float) -> None:
        """Release all that is held and deliver what can be, in time."""
        self._sweeper.stop()
        self._leave(self._joiner.release_all())
        self.gate.open()
        outlets = self._all_outlets()
        for outlet in outlets:
            outlet.close(seconds / len(outlets))


def _python_resource() -> bytes:
    holder = ResourceSpans()
    said = {"telemetry.sdk.language": "python", "telemetry.sdk.name": "mlflow"}
    holder.resource.MergeFromString(wire.attributes(b"\x0a", said))
    return holder.SerializeToString()


PYTHON: Final = _python_resource()
"""The resource of spans that Python's client uploads as a file, which has none."""


def _is_python_client(resource: Any) -> bool:
    """Tell whether MLflow's Python client wrote this: it decodes the attributes of its spans."""
    said = {pair.key: pair.value.string_value for pair in resource.attributes}
    return (said.get("telemetry.sdk.name"), said.get("telemetry.sdk.language")) == (
        "mlflow",
        "python",
    )


def spans_in(request: Any) -> int:
    """Return how many spans a request has.

    Raises:
        RefusedError: With 413: too many.
    """
    number = sum(len(g.spans) for holder in request.resource_spans for g in holder.scope_spans)
    if number > MAX_SPANS:
        raise RefusedError(413, f"the request has more than {MAX_SPANS} spans")
    return number


def is_whole(span: Span) -> bool:
    """Tell whether a span has valid IDs."""
    return (
        len(span.trace_id) == 16
        and len(span.span_id) == 8
        and any(span.trace_id)
        and any(span.span_id)
    )


def _remove(tags: dict[str, str], key: str) -> None:
    del tags[key]
