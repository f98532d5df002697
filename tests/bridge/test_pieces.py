"""What clients sent, cut by trace and carried to another process: nothing is lost on the way, nothing is changed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.bridge import pieces
from mlflow_otel.bridge.pieces import Piece

TEXT = st.text(max_size=12)
SPANS = st.lists(st.tuples(st.integers(1, 4), st.binary(min_size=8, max_size=8), TEXT), max_size=5)
SCOPES = st.lists(st.tuples(TEXT, TEXT, SPANS), max_size=3)
RESOURCES = st.lists(st.tuples(TEXT, TEXT, SCOPES), max_size=3)
PIECES = st.builds(
    Piece,
    st.sampled_from(sorted(pieces.KINDS)),
    st.binary(max_size=16),
    st.binary(max_size=50),
    st.none() | TEXT,
    st.none() | TEXT,
    st.sampled_from([None, True, False]),
)


def made(resources):
    request = ExportTraceServiceRequest()
    for service, schema, scopes in resources:
        holder = request.resource_spans.add(schema_url=schema)
        if service:
            holder.resource.attributes.add(key="service.name").value.string_value = service
        for name, version, spans in scopes:
            scoped = holder.scope_spans.add(schema_url=schema)
            if name:
                scoped.scope.name, scoped.scope.version = name, version
            for trace, span_id, said in spans:
                scoped.spans.add(trace_id=bytes([trace] * 16), span_id=span_id, name=said)
    return request


def told(*requests):
    """Return each span with all that stands around it."""
    return sorted(
        (
            holder.resource.SerializeToString(),
            holder.schema_url,
            scoped.scope.SerializeToString(),
            scoped.schema_url,
            span.SerializeToString(),
        )
        for request in requests
        for holder in request.resource_spans
        for scoped in holder.scope_spans
        for span in scoped.spans
    )


@settings(max_examples=60, deadline=None)
@given(RESOURCES, st.none() | st.integers(1, 300))
def test_a_request_cut_by_trace_has_the_same_spans_in_parts_of_one_trace_each(resources, limit):
    request = made(resources)
    before = request.SerializeToString(deterministic=True)
    parts = pieces.split(request, limit)
    read = [ExportTraceServiceRequest.FromString(part.body) for part in parts]
    assert told(*read) == told(request)
    assert request.SerializeToString(deterministic=True) == before
    for part, message in zip(parts, read, strict=True):
        ids = [s.trace_id for r in message.resource_spans for g in r.scope_spans for s in g.spans]
        assert set(ids) == {part.trace_id}
        if limit is None:
            assert sum(part.trace_id == other.trace_id for other in parts) == 1
        else:
            assert len(part.body) <= limit or len(ids) == 1


@settings(max_examples=100, deadline=None)
@given(PIECES)
def test_a_piece_is_the_same_after_kafka(piece):
    said = {"traceparent": "of somebody else", **pieces.headers(piece)}
    assert pieces.from_headers(piece.trace_id, said, piece.value) == piece


def test_a_record_without_headers_is_an_otlp_request_of_somebody_elses():
    assert pieces.from_headers(b"t", {}, b"body") == Piece("spans", b"t", b"body")


@pytest.mark.parametrize(
    "said", [{"mlflow-otel.schema": "2"}, {"mlflow-otel.kind": "what comes with a newer version"}]
)
def test_a_piece_of_a_newer_version_is_refused(said):
    with pytest.raises(pieces.PieceError):
        pieces.from_headers(b"t", said, b"")


@pytest.mark.parametrize("value", [b"", b"[]", b"{", b"[" * 100_000])
def test_a_value_that_is_no_json_object_is_refused(value):
    with pytest.raises(pieces.PieceError):
        Piece("tags", b"t", value).json()


def test_the_value_of_a_piece_of_json_is_read():
    said = {"set": {"env": "prod"}}
    assert Piece("tags", b"t", json.dumps(said).encode()).json() == said
