"""The mapping side of bridges with Kafka between them: pieces read, joined, mapped and delivered.

A piece is done with when nothing of its trace is held any more. Its offset is committed when the backend has
accepted what was handed on until then (``mlflow_otel.receiver.consuming``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import trace_info
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.feedback import Feedback, Stamped
from mlflow_otel.bridge.intake import Intake
from mlflow_otel.bridge.joining import Leaving
from mlflow_otel.bridge.leaving import Keep
from mlflow_otel.bridge.pieces import Piece, PieceError, from_headers
from mlflow_otel.bridge.trace_info import TraceInfo
from mlflow_otel.bridge.way_in import Known
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.receiver.kafka import Record
from mlflow_otel.receiver.offsets import Place
from mlflow_otel.receiver.tickets import Ticket, let_go_of
from mlflow_otel.settings import Settings

MOST_WAITING: Final = 8 * 1024 * 1024
"""Bytes for the backend above which no more is read: Kafka keeps them better, and commits stay close."""

Stored = Callable[[int], "tuple[TraceContext, int | None] | None"]
"""Returns what a backend knows of a trace, and its root's span ID, or None."""


class Taking(Intake):
    """Takes pieces from a topic. Clients are asked to send to an accepting bridge.

    The lock makes one step of joining, handing on and letting go of tickets: two threads do it, the one
    that reads and the one that looks at ages.

    Args:
        settings: Where to and how to deliver, and how much may be held.
        options: How to map.
        accounting: Gets ``kafka.*``.
        keep: As of ``Intake``.
        clock: The time in which a trace ages; that of the topic is made for it.
    """

    def __init__(
        self,
        settings: Settings,
        options: MappingOptions,
        accounting: Accounting,
        keep: Keep | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.RLock()
        self._tickets: dict[int, list[Ticket]] = {}
        self._places: dict[int, Place] = {}
        self._left: list[int] = []  # traces that something of left in this step
        self._record: Record | None = None
        self._paused = False
        self.stored: Stored = lambda _trace_id: None
        """Asked for a trace that is not remembered when a tag of it changes."""
        self.beside: Callable[[], Mapping[str, int]] = dict
        """Returns the counters of what reads the topic."""
        self.failed: str | None = None
        """Why nothing is read any more."""
        super().__init__(settings, options, accounting, keep, clock)
        self._feedback = Feedback(self, settings.assessment_signals)

    def make_sure_of_room(self) -> None:
        """Refuse what clients send here.

        Raises:
            RefusedError: With 503.
        """
        raise RefusedError(
            503, "this bridge maps what it reads from Kafka: send to one that accepts"
        )

    def info(self, info: TraceInfo) -> Known | None:  # noqa: ARG002
        """Refuse what clients send here, whatever waits for it.

        Raises:
            RefusedError: With 503.
        """
        self.make_sure_of_room()
        return None

    @property
    def unready(self) -> str | None:
        """Why it does not work, or None."""
        return self.failed

    @property
    def busy(self) -> str | None:
        """Why no piece can be taken now, or None."""
        most = MOST_WAITING // 2 if self._paused else MOST_WAITING
        self._paused = self.waiting_bytes > most
        return "too much waits for the backend" if self._paused else None

    def take(self, record: Record, ticket: Ticket) -> None:
        """Take a piece and its ticket. A piece that cannot be read is left out, and counted."""
        try:
            piece = from_headers(_trace_id(record.key), record.headers, record.value)
            with self._lock:
                self._record = record
                self._take(piece, ticket)
                return
        except Exception as error:  # whatever is in a record: the others go on
            self._accounting.warn(
                "kafka.unreadable",
                "A record of the topic cannot be read and was left out (%s: %s). See what else writes to "
                "it, and that all bridges have the same version.",
                type(error).__name__,
                error,
            )
        ticket.let_go()

    def _take(self, piece: Piece, ticket: Ticket) -> None:
        if piece.experiment_id is not None and piece.experiment_name is not None:
            self.experiments.learn(piece.experiment_id, piece.experiment_name)
        traces = TAKE[piece.kind](self, piece)
        for trace_id in traces:
            ticket.hold()
            self._tickets.setdefault(trace_id, []).append(ticket)
            if isinstance(ticket.origin, Place):
                self._places[trace_id] = ticket.origin
        self._settle([*traces, *self._left], ticket)

    def _spans(self, piece: Piece) -> Collection[int]:
        request = ExportTraceServiceRequest.FromString(piece.value)
        found = [s for r in request.resource_spans for g in r.scope_spans for s in g.spans]
        if piece.decoded is None:
            self.otlp("traces", request, piece.experiment_id)
        else:
            self._take_uploaded(found, piece.decoded, piece.experiment_id)
        return {int.from_bytes(span.trace_id, "big") for span in found}

    def _trace_info(self, piece: Piece) -> Collection[int]:
        info = trace_info.read(piece.json())
        self.add_info(info)
        return {info.trace_id}

    def _tags(self, piece: Piece) -> Collection[int]:
        trace_id, said = int.from_bytes(piece.trace_id, "big"), piece.json()
        changed = {str(key): str(value) for key, value in dict(said.get("set") or {}).items()}
        deleted = tuple(map(str, said.get("deleted") or ()))
        try:
            for key, value in changed.items():
                self.set_tag(trace_id, key, value)
            for key in deleted:
                self.delete_tag(trace_id, key)
        except KeyError:
            context, root = self.stored(trace_id) or (
                TraceContext(trace_id=trace_info.mlflow_id(trace_id)),
                None,
            )
            self.update(trace_id, root, replace(context, tags=changed, memo=[]), deleted)
        return ()

    def _assessment(self, piece: Piece) -> Collection[int]:
        said = piece.json()
        document = said.get("document")
        if not isinstance(document, dict) or said.get("operation") not in OPERATIONS:
            raise PieceError("an assessment has no document, or its operation is not known")
        self._feedback.accepted(
            int.from_bytes(piece.trace_id, "big"),
            document,
            said["operation"],
            Stamped(said.get("root"), said.get("stamp") or {}),
        )
        return ()

    def _leave(self, leaving: Iterable[Leaving]) -> None:
        with self._lock:
            for number, one in enumerate(leaving):
                named = one._replace(update_id=self._update_id(number)) if one.update else one
                super()._leave([named])
                self._left.append(one.trace_id)

    def _update_id(self, number: int) -> bytes:
        """Return the span ID of an update: the same one when its piece is read once more."""
        record = self._record
        said = None if record is None else (*record.place, record.offset)
        return b"" if said is None else sha256(repr((said, number)).encode()).digest()[:8]

    def _settle(self, traces: Iterable[int], *read: Ticket) -> None:
        """Let go of the pieces of those traces of which nothing is held any more, and of what was read."""
        self._left.clear()
        done = list(read)
        for trace_id in traces:
            trace = self._joiner.known(trace_id)
            if trace is None or trace.released:
                done += self._tickets.pop(trace_id, ())
        let_go_of(done)

    def release_aged(self) -> None:
        """Release what waited too long; a thread calls this."""
        with self._lock:
            self._record = None
            super().release_aged()
            self._settle(list(self._tickets))
            for trace_id in [i for i in self._places if self._joiner.known(i) is None]:
                del self._places[trace_id]

    def forget(self, places: Collection[Place]) -> None:
        """Drop what is known of the traces of these partitions: another bridge reads them again."""
        with self._lock:
            for trace_id in [i for i, place in self._places.items() if place in places]:
                self._joiner.forget(trace_id)
                del self._places[trace_id]
                # Their partition is forgotten: nothing is committed by this.
                let_go_of(self._tickets.pop(trace_id, ()))

    def flush(self, seconds: float) -> bool:
        """Wait until the backend has accepted what was handed on; True if it has, in time."""
        until = time.monotonic() + seconds
        done = [outlet.flush(max(until - time.monotonic(), 0.0)) for outlet in self._all_outlets()]
        return all(done)

    def stats(self) -> Mapping[str, int]:
        """Return all counters, and how much is read, held or on its way now."""
        return {**super().stats(), **self.beside()}

    def close(self, seconds: float) -> None:
        """End. What is held is not handed on: its pieces are not committed, and read by another bridge."""
        self._sweeper.stop()
        with self._lock:
            for outlet in (outlets := self._all_outlets()):
                outlet.close(seconds / len(outlets))


TAKE: Final[dict[str, Callable[[Taking, Piece], Collection[int]]]] = {
    "spans": Taking._spans,  # noqa: SLF001 (of this file)
    "trace_info": Taking._trace_info,  # noqa: SLF001
    "tags": Taking._tags,  # noqa: SLF001
    "assessment": Taking._assessment,  # noqa: SLF001
}
"""What takes a piece, by kind; it returns the traces whose release the piece waits for."""
OPERATIONS: Final = frozenset({"create", "update", "delete"})


def _trace_id(key: bytes) -> bytes:
    try:
        return bytes.fromhex(key.decode("ascii"))
    except ValueError:
        return b""
