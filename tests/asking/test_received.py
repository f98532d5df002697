"""Traces that come over OTLP and are kept in memory: what is kept, what is forgotten, what is no trace."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import BackendError, Condition, TraceQuery
from mlflow_otel.backends.received import OVERHEAD_BYTES, ReceivedTraces
from mlflow_otel.receiver.records import attributes
from mlflow_otel.store import in_memory
from mlflow_otel.store.opening import open_traces

PLENTY = 10**9


def request(*spans, service="shop"):
    """Return an encoded request with spans: trace ID, span ID, attributes, and how much text."""
    message = ExportTraceServiceRequest()
    holder = message.resource_spans.add()
    holder.resource.attributes.add(key="service.name").value.string_value = service
    scope = holder.scope_spans.add()
    scope.scope.name = "app"
    for trace, number, said, length in spans:
        span = scope.spans.add(
            trace_id=trace.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            name="x" * length,
            start_time_unix_nano=1000 * trace + number,
            end_time_unix_nano=1000 * trace + number + 1,
        )
        for key, value in said.items():
            span.attributes.add(key=key).value.string_value = value
    return message.SerializeToString()


def kept(max_bytes=PLENTY, forgets=lambda: None):
    return ReceivedTraces(attributes, max_bytes, forgets)


def test_a_trace_is_put_together_from_requests_and_a_span_that_came_twice_is_there_once():
    traces = kept()
    traces.add("traces", request((1, 2, {"a": "b"}, 3), (2, 1, {}, 3)))
    traces.add("traces", request((1, 1, {}, 3), (1, 2, {"a": "b"}, 3), service="till"))
    traces.add("logs", b"whatever: logs are not kept")
    one = traces.get(1)
    assert [(s.span_id, s.resource["service.name"]) for s in one.spans] == [
        (1, "till"),
        (2, "till"),
    ]
    assert one.spans[1].attributes == {"a": "b"}
    assert {t.summary.trace_id for t in traces.all()} == {1, 2}
    assert set(traces.services()) == {"shop", "till"}
    asked = TraceQuery((Condition("a", "b"),), 0, PLENTY)
    assert [t.summary.trace_id for t in MemoryBackend(traces).window(asked, 1).traces] == [1]


def test_what_was_added_later_is_no_trace_until_its_trace_is_there():
    traces = kept()
    traces.add("traces", request((1, 2, {"gen_ai.evaluation.name": "is_correct"}, 3)))
    assert traces.get(1) is None
    assert list(traces.all()) == []
    traces.add("traces", request((1, 1, {}, 3)))
    assert [s.span_id for s in traces.get(1).spans] == [1, 2]


def test_what_is_no_otlp_is_refused_and_a_span_without_its_ids_is_left_out():
    traces = kept()
    with pytest.raises(DecodeError):
        traces.add("traces", b"\xff\xff\xff")
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.add(name="no IDs")
    traces.add("traces", message.SerializeToString())
    assert list(traces.all()) == []


SPANS = st.tuples(st.integers(1, 4), st.integers(1, 5), st.just({}), st.integers(0, 3000))


@settings(max_examples=60)
@given(st.lists(st.lists(SPANS, min_size=1, max_size=4), max_size=12), st.integers(1, 20_000))
def test_the_bytes_that_are_kept_are_bounded_and_the_newest_is_always_there(requests, bound):
    told = []
    traces = kept(bound, lambda: told.append(1))
    for spans in requests:
        traces.add("traces", request(*spans))
        there = list(traces.all())
        lengths = [len(s.name) + OVERHEAD_BYTES for t in there for s in t.spans]
        assert there, "the newest is kept"
        # A piece larger than the bound is kept alone: the newest of the newest trace.
        assert sum(lengths) <= max(bound, 4 * (3000 + OVERHEAD_BYTES))
    sent = {span[:2] for spans in requests for span in spans}
    if not told:
        assert {(t.summary.trace_id, s.span_id) for t in traces.all() for s in t.spans} == sent


def test_the_uri_of_received_traces_opens_them_where_they_are_and_keeps_changes_there(monkeypatch):
    monkeypatch.setattr(in_memory, "_offered", {})
    with pytest.raises(BackendError, match="mlflow-otel ui"):
        open_traces(in_memory.URI)
    received = kept()
    uri = in_memory.offer(received)
    received.add("traces", request((7, 1, {"mlflow.trace.entry": "true"}, 3)))
    opened = open_traces(uri)
    opened.change_tags(opened.get(7), {"seen": "yes"})
    assert received.get(7).spans[1].attributes["mlflow.traceTag.seen"] == "yes"
    assert opened.info(open_traces(uri).get(7)).tags["seen"] == "yes"
