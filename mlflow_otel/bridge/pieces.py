"""Pieces: what a client sent, cut so that each piece is of one trace, and can be handed to another process.

A piece is a record of Kafka: its value, and ``headers`` beside it. The value of ``spans`` is a plain OTLP request,
``otlp_proto`` in the words of the Collector's Kafka components.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, cast, get_args

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, Group

SCHEMA: Final = 1
"""Of the headers and of the JSON values. It grows when an older reader could not understand a newer writer."""
HEADER: Final = "mlflow-otel."
"""What the names of Kafka's headers begin with."""
Kind = Literal["spans", "trace_info", "tags", "assessment"]
"""What a piece has as its value.

``spans``: an OTLP request with spans of one trace. ``trace_info``: the body of a request to start a trace.
``tags``: ``{"set": {…}, "deleted": […]}``. ``assessment``: ``{"operation", "document", …}``,
as ``mlflow_otel.bridge.feedback`` sends it. All but the first are JSON.
"""
KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))


class PieceError(ValueError):
    """What came is no piece, or one of a newer version."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one trace.

    Args:
        kind: What the value is.
        trace_id: OpenTelemetry's ID, 16 bytes; what a span has, should that be no valid ID.
        value: The part.
        experiment_id: The experiment that the client named, if any.
        experiment_name: Its name, where the one who took the request knows it.
        decoded: Of ``spans``: whether attributes are decoded values; None: see the resource.
    """

    kind: Kind
    trace_id: bytes
    value: bytes
    experiment_id: str | None = None
    experiment_name: str | None = None
    decoded: bool | None = None

    def json(self) -> dict[str, Any]:
        """Return a value that is a JSON object.

        Raises:
            PieceError: It is none.
        """
        try:
            said = json.loads(self.value)
        except (ValueError, RecursionError) as error:
            raise PieceError(f"a piece of kind {self.kind} has no JSON") from error
        if not isinstance(said, dict):
            raise PieceError(f"a piece of kind {self.kind} has no JSON object")
        return said


class Part(NamedTuple):
    """Spans of one trace, out of a request.

    Args:
        trace_id: The trace's ID, as the spans have it.
        body: An OTLP request with them.
    """

    trace_id: bytes
    body: bytes


def split(request: ExportTraceServiceRequest, limit: int | None = None) -> list[Part]:
    """Cut a request by trace. Resources and scopes stay around their spans.

    Args:
        request: What a client sent. It is not changed.
        limit: Bytes above which the spans of a trace are cut into several parts. A span that is larger alone is a
            part by itself. None: there is one part a trace.

    Returns:
        The parts, each with one span at least. Put together again, they have the spans of the request.
    """
    ids = {s.trace_id for r in request.resource_spans for g in r.scope_spans for s in g.spans}
    if len(ids) == 1:  # the usual case
        body = request.SerializeToString()
        if limit is None or len(body) <= limit:
            return [Part(ids.pop(), body)]
    traces: dict[bytes, list[Group]] = {identity: [] for identity in ids}
    for holder in request.resource_spans:
        resource = _resource_holder(holder)
        for scoped in holder.scope_spans:
            scope = _scope_holder(scoped)
            here: dict[bytes, Group] = {}
            for span in scoped.spans:
                group = here.get(span.trace_id)
                if group is None:
                    group = here[span.trace_id] = Group(resource, scope)
                    traces[span.trace_id].append(group)
                group.items.append(wire.field(ITEM, span.SerializeToString()))
    return [
        Part(trace_id, envelope.request(cut))
        for trace_id, groups in traces.items()
        for cut in _cut(groups, limit)
    ]


def _resource_holder(message: ResourceSpans) -> bytes:
    holder = ResourceSpans(schema_url=message.schema_url)
    if message.HasField("resource"):
        holder.resource.CopyFrom(message.resource)
    return holder.SerializeToString()


def _scope_holder(message: ScopeSpans) -> bytes:
    holder = ScopeSpans(schema_url=message.schema_url)
    if message.HasField("scope"):
        holder.scope.CopyFrom(message.scope)
    return holder.SerializeToString()


def _cut(groups: Iterable[Group], limit: int | None) -> Iterator[list[Group]]:
    """Yield groups in lists of about ``limit`` bytes, with one span at least."""
    part: list[Group] = []
    size = 0
    for group in groups:
        target: Group | None = None
        for item in group.items:
            added = len(item) + (
                len(group.resource) + len(group.scope) + 16 if target is None else 0
            )
            if limit is not None and part and size + added > limit:
                yield part
                part, size, target = [], 0, None
                added = len(item) + len(group.resource) + len(group.scope) + 16
            if target is None:
                target = Group(group.resource, group.scope)
                part.append(target)
            target.items.append(item)
            size += added
    if part:
        yield part


def headers(piece: Piece) -> dict[str, str]:
    """Return all of a piece but its value and its trace's ID, for whoever carries them apart."""
    said = {
        "schema": str(SCHEMA),
        "kind": piece.kind,
        "experiment_id": piece.experiment_id,
        "experiment_name": piece.experiment_name,
        "decoded": None if piece.decoded is None else str(piece.decoded).lower(),
    }
    return {f"{HEADER}{name}": value for name, value in said.items() if value is not None}


def from_headers(trace_id: bytes, said: Mapping[str, str], value: bytes) -> Piece:
    """Return a piece.

    Args:
        trace_id: Its trace's ID.
        said: What ``headers`` returned, perhaps among others. Without any the value is an OTLP request.
        value: The piece's.

    Raises:
        PieceError: A newer version wrote it, or its kind is not known.
    """
    schema, kind = said.get(f"{HEADER}schema", str(SCHEMA)), said.get(f"{HEADER}kind", "spans")
    if schema != str(SCHEMA) or kind not in KINDS:
        raise PieceError(f"a piece of kind {kind[:40]!r} and schema {schema[:40]!r} is not known")
    decoded = said.get(f"{HEADER}decoded")
    return Piece(
        cast("Kind", kind),
        trace_id,
        value,
        said.get(f"{HEADER}experiment_id"),
        said.get(f"{HEADER}experiment_name"),
        None if decoded is None else decoded == "true",
    )
