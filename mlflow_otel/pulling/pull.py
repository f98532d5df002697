"""Goes through a tracking server's traces in order of time, and sends what was not sent yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from mlflow_otel.accounting import Accounting
from mlflow_otel.backends.model import BackendTrace, TraceBackend
from mlflow_otel.bridge import answers
from mlflow_otel.bridge.joining import Arrival
from mlflow_otel.bridge.leaving import Mapper
from mlflow_otel.bridge.trace_info import MalformedError, TraceInfo, otel_id
from mlflow_otel.delivery.outlet import Outlet, Waiting
from mlflow_otel.otlp.envelope import Group
from mlflow_otel.pulling import copying
from mlflow_otel.pulling.copying import Copied
from mlflow_otel.pulling.records import Record, Records
from mlflow_otel.pulling.server import TrackingServer
from mlflow_otel.settings import Settings, Signal
from mlflow_otel.store.rebuild import stored_info

FLUSH_SECONDS: Final = 600.0
"""How long the backend may take to accept a page."""
UNDER_WAY: Final = "IN_PROGRESS"
SENT: Final[Sequence[Signal]] = ("traces", "logs")


class NotAcceptedError(Exception):
    """The backend did not take what was sent; the records do not name it."""


@dataclass(frozen=True)
class Wanted:
    """Which traces are pulled.

    Args:
        experiments: Names by IDs.
        filter_string: MLflow's filter; empty: all.
        start_ms: Milliseconds since the epoch: those that began then or later.
        end_ms: Those that began earlier.
    """

    experiments: Mapping[str, str]
    filter_string: str = ""
    start_ms: int = 0
    end_ms: int = 2**53

    def filter(self) -> str:
        """Return MLflow's filter for all of it."""
        own = [self.filter_string] if self.filter_string else []
        times = [f"timestamp_ms >= {self.start_ms}", f"timestamp_ms < {self.end_ms}"]
        return " AND ".join([*own, *times])


@dataclass
class Counts:
    """What a pull did: traces seen, sent, changed, unchanged, under way, not readable; spans, assessments."""

    seen: int = 0
    sent: int = 0
    changed: int = 0
    unchanged: int = 0
    running: int = 0
    unreadable: int = 0
    spans: int = 0
    assessments: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Pull:
    """Pulls traces.

    Args:
        server: Where from.
        settings: Where to, and as which signals assessments leave.
        mapper: Maps.
        records: What was sent before.
        backend: Asked what it has before a trace is sent that the records do not name, or None.
        accounting: Gets the counters of delivery.
        dry_run: Whether nothing is sent nor recorded.
    """

    def __init__(
        self,
        server: TrackingServer,
        settings: Settings,
        mapper: Mapper,
        records: Records,
        backend: TraceBackend | None,
        accounting: Accounting,
        *,
        dry_run: bool = False,
    ) -> None:
        self._server = server
        self._mapper = mapper
        self._records = records
        self._backend = backend
        self._timeout = settings.trace_lookup_timeout
        self._dry_run = dry_run
        self.counts = Counts()
        wanted = {"traces", *settings.assessment_signals}
        self._signals = settings.assessment_signals
        self._outlets: dict[Signal, Outlet] = {}
        if not dry_run:
            self._outlets = {
                signal: Outlet(signal, settings, accounting, optional=signal != "traces")
                for signal in SENT
                if signal in wanted
            }

    def run(self, wanted: Wanted, progress: Callable[[int], None] = lambda _: None) -> None:
        """Pull the traces that are wanted, once.

        Args:
            wanted: Which.
            progress: Called after each page with the time of its last trace, in milliseconds.

        Raises:
            ServerError: The server could not be asked.
            BackendError: The backend could not be asked what it has.
            NotAcceptedError: The backend did not take a page.
            OSError: The records cannot be written.
        """
        if not wanted.experiments:
            return
        token: str | None = None
        while True:
            page = self._server.search(list(wanted.experiments), wanted.filter(), token)
            latest = self._page(page.infos, wanted.experiments)
            progress(latest)
            token = page.token
            if token is None:
                return

    def close(self) -> None:
        """Close the connections."""
        for outlet in self._outlets.values():
            outlet.close(5.0)

    def _page(self, documents: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> int:
        new: list[TraceInfo] = []
        done: list[tuple[str, Record]] = []
        latest = 0
        for document in documents:
            self.counts.seen += 1
            try:
                info = TraceInfo(otel_id(document.get("trace_id")), document)
                latest = max(latest, milliseconds(document.get("request_time")))
                if document.get("state") == UNDER_WAY:
                    self.counts.running += 1
                    continue
                before = self._records.get(info.mlflow_id)
                if before is None:
                    new.append(info)
                elif before == copying.record_of(info):
                    self.counts.unchanged += 1
                else:
                    done.append((info.mlflow_id, self._change(info, before, names)))
            except MalformedError as error:
                self._unreadable(str(error))
        done += self._new(new, names)
        if self._dry_run:
            return latest
        for signal, outlet in self._outlets.items():
            if not outlet.flush(FLUSH_SECONDS):
                raise NotAcceptedError(f"the backend did not take all {signal} of a page")
        self._records.put(done)
        return latest

    def _change(self, info: TraceInfo, before: Record, names: Mapping[str, str]) -> Record:
        held = self._held(info)
        root = None if held is None else held.summary.root
        name = names.get(info.experiment_id or "")
        self.counts.changed += 1
        return self._send(copying.changed(info, before, root, name, self._mapper))

    def _new(
        self, infos: Sequence[TraceInfo], names: Mapping[str, str]
    ) -> list[tuple[str, Record]]:
        # MLflow 3.17's server fails at a batch that names a trace whose spans are not in its store.
        there = [info.mlflow_id for info in infos if answers.SPANS_LOCATION in info.tags]
        spans = dict(self._server.spans(there))
        done = []
        for info in infos:
            try:
                arrivals = copying.read_spans(spans.get(info.mlflow_id, ()))
                arrivals = arrivals or self._from_file(info)
            except MalformedError as error:
                self._unreadable(str(error))
                continue
            held = self._held(info)
            stored = None if held is None else stored_info(held)
            made = copying.copied(
                info,
                arrivals,
                names.get(info.experiment_id or ""),
                self._mapper,
                there=frozenset(() if held is None else (s.span_id for s in held.spans)),
                judged={
                    str(view.assessment_id): view.time // 1_000_000
                    for view in (() if stored is None else stored.assessments)
                },
            )
            something = bool(made.spans or made.evaluations)
            self.counts.sent += something
            self.counts.unchanged += not something
            done.append((info.mlflow_id, self._send(made)))
        return done

    def _from_file(self, info: TraceInfo) -> list[Arrival]:
        """Return the spans that older clients uploaded as a file."""
        body = self._server.file(info.experiment_id or "0", info.mlflow_id)
        if body is None:
            raise MalformedError("its spans are not on the server")
        return copying.read_file(body, info.trace_id)

    def _held(self, info: TraceInfo) -> BackendTrace | None:
        return None if self._backend is None else self._backend.get(info.trace_id, self._timeout)

    def _unreadable(self, why: str) -> None:
        self.counts.unreadable += 1
        self.counts.reasons[why] = self.counts.reasons.get(why, 0) + 1

    def _send(self, made: Copied) -> Record:
        self.counts.spans += sum(len(group.items) for group in made.spans)
        self.counts.assessments += len(made.evaluations)
        self._put("traces", made.spans)
        for evaluation in made.evaluations:
            if "logs" in self._signals:
                self._put("logs", evaluation.event())
            if "traces" in self._signals:
                self._put("traces", evaluation.span())
        return made.record

    def _put(self, signal: Signal, groups: list[Group]) -> None:
        number = sum(len(group.items) for group in groups)
        outlet = self._outlets.get(signal)
        if number and outlet is not None:
            size = sum(len(item) for group in groups for item in group.items)
            outlet.put(Waiting(lambda: groups, number, size))


def milliseconds(request_time: object) -> int:
    """Return a trace's time in milliseconds since the epoch; 0 when it cannot be read."""
    at = Timestamp()
    try:
        at.FromJsonString(str(request_time))
    except (ValueError, OverflowError):
        return 0
    return max(at.ToMilliseconds(), 0)
