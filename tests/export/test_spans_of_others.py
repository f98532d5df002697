"""Other libraries' spans: what we send for them is what the stock exporter sends, but for a table."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as stock_encode
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from mlflow_otel.export.mapped import BatchContext, MappedSpan
from mlflow_otel.export.spans import encode_spans
from mlflow_otel.otlp import envelope

SCOPE = InstrumentationScope(
    "shop", "1.2", "https://opentelemetry.io/schemas/1.30.0", {"team": "blue"}
)
RESOURCE = Resource({"service.name": "shop", "n": 3}, "https://opentelemetry.io/schemas/1.30.0")
HERE = SpanContext((1 << 127) + 7, (1 << 63) + 9, is_remote=False, trace_flags=TraceFlags(1))


@pytest.fixture(autouse=True)
def _quiet_stock_encoder(caplog):
    """The stock encoder logs the texts that it cannot encode; a report of them could not be sent between processes."""
    caplog.set_level(logging.CRITICAL, "opentelemetry")


def span_of(
    attributes=None,
    *,
    context=HERE,
    parent=None,
    name="s",
    kind=SpanKind.CLIENT,
    events=(),
    links=(),
    status=None,
):
    return ReadableSpan(
        name=name,
        context=context,
        parent=parent,
        resource=RESOURCE,
        attributes=attributes,
        events=events,
        links=links,
        kind=kind,
        status=status or Status(),
        start_time=1,
        end_time=2,
        instrumentation_scope=SCOPE,
    )


def ours(spans):
    return ExportTraceServiceRequest.FromString(envelope.request(encode_spans(spans)))


def mapped(span):
    return MappedSpan(span, BatchContext())


class Difference(NamedTuple):
    """What we send otherwise than the stock exporter, on purpose.

    Args:
        span: A span that shows it.
        read: Reads what differs off the message.
        sent: What we send; the stock exporter sends something else, or fails.
    """

    span: ReadableSpan
    read: Any
    sent: Any


STATE = TraceState([("shop", "a"), ("cart", "b")])
LINKED = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(3), trace_state=STATE)


def attribute(span):
    return span.attributes[0].value if span.attributes else None


DIFFERENCES = {
    "the flags of a span's trace leave, as trace.proto has them": Difference(
        span_of(), lambda s: s.flags, 0x101
    ),
    "the flags of a link's trace leave": Difference(
        span_of(links=[Link(LINKED)]), lambda s: s.links[0].flags, 0x303
    ),
    "the state of a link's trace leaves": Difference(
        span_of(links=[Link(LINKED)]), lambda s: s.links[0].trace_state, "shop=a,cart=b"
    ),
    "an integer that 64 bits cannot hold is text": Difference(
        span_of({"k": 2**63}), lambda s: s.attributes and attribute(s).string_value, str(2**63)
    ),
    "so it is within a list": Difference(
        span_of({"k": (2**63, 1)}),
        lambda s: s.attributes and attribute(s).array_value.values[0].string_value,
        str(2**63),
    ),
    "a lone surrogate in a value costs one character": Difference(
        span_of({"k": "a\ud800b"}), lambda s: s.attributes and attribute(s).string_value, "a?b"
    ),
    "a lone surrogate in a key costs one character": Difference(
        span_of({"a\ud800b": 1}), lambda s: [a.key for a in s.attributes], ["a?b"]
    ),
    "a lone surrogate in a name costs one character, not the batch": Difference(
        span_of(name="a\ud800b"), lambda s: s.name, "a?b"
    ),
    "a value of None says nothing and stays out": Difference(
        span_of({"k": None}), lambda s: len(s.attributes), 0
    ),
    "None within a list is an empty value": Difference(
        span_of({"k": ("a", None)}),
        lambda s: s.attributes and attribute(s).array_value.values[1].WhichOneof("value"),
        None,
    ),
    "an object that OTLP has no form for is its text": Difference(
        span_of({"k": 1j}), lambda s: s.attributes and attribute(s).string_value, '"1j"'
    ),
}
ONLY_IN_OLD_SDKS = {
    "a value of None says nothing and stays out": "newer ones send a key without a value",
    "None within a list is an empty value": "newer ones do the same",
}


def stock(span, read):
    """Return what the stock exporter sends, or its failure."""
    try:
        return read(stock_encode([span]).resource_spans[0].scope_spans[0].spans[0])
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("row", DIFFERENCES)
def test_each_difference_is_there_and_is_meant(row):
    span, read, sent = DIFFERENCES[row]
    for one in (span, mapped(span)):
        assert read(ours([one]).resource_spans[0].scope_spans[0].spans[0]) == sent
    if row not in ONLY_IN_OLD_SDKS:
        assert stock(span, read) != sent


# All else is the same. Values as an app may give them; SDKs of different age let different ones through.
SCALARS = st.one_of(
    st.text(max_size=5),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(st.text("abc.é", min_size=1, max_size=6), VALUES, max_size=4)
STATES = st.sampled_from([TraceState(), STATE])
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.integers(0, 3).map(TraceFlags),
    STATES,
)


@st.composite
def bounded(draw):
    """Attributes of which the SDK's limits dropped some."""
    held = BoundedAttributes()
    held._dict.update(draw(ATTRIBUTES))
    held.dropped = draw(st.integers(0, 300))
    return held


EVENTS = st.lists(
    st.builds(Event, st.text(max_size=4), bounded(), st.integers(0, 2**63)), max_size=3
)
LINKS = st.lists(st.builds(Link, CONTEXTS, bounded()), max_size=3)
STATUSES = st.one_of(
    st.just(Status()),
    st.just(Status(StatusCode.OK)),
    st.builds(lambda text: Status(StatusCode.ERROR, text), st.none() | st.text(max_size=4)),
)
SPANS = st.builds(
    span_of,
    st.none() | ATTRIBUTES | bounded(),
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    name=st.text(max_size=5),
    kind=st.sampled_from(SpanKind),
    events=EVENTS,
    links=LINKS,
    status=STATUSES,
)


def flattened(request):
    """Return every span with its resource and scope, less the differences that all have."""
    found = []
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                span.flags &= 0x300
                for link in span.links:
                    link.flags &= 0x300
                    link.trace_state = ""
                found.append(
                    (
                        span.span_id,
                        str(of_resource.resource),
                        of_resource.schema_url,
                        str(of_scope.scope),
                        of_scope.schema_url,
                        span,
                    )
                )
    return sorted(found, key=lambda each: (each[0], each[5].SerializeToString()))


@given(st.lists(SPANS, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_generated_span_says_what_the_stock_exporter_says(spans):
    theirs = flattened(stock_encode(spans))
    assert flattened(ours(spans)) == theirs
    assert flattened(ours(list(map(mapped, spans)))) == theirs
    # And the stock exporter says the same of the spans that we hand on to it.
    assert flattened(stock_encode(list(map(mapped, spans)))) == theirs


@given(
    attributes=st.dictionaries(st.text("abc", min_size=1, max_size=3), VALUES, max_size=6),
    linked=st.lists(CONTEXTS, max_size=4),
    remote=st.none() | CONTEXTS,
    status=STATUSES,
)
@settings(max_examples=60, deadline=None)
def test_so_does_one_that_went_through_the_sdk_and_its_limits(attributes, linked, remote, status):
    memory = InMemorySpanExporter()
    limits = SpanLimits(
        max_span_attributes=4,
        max_events=2,
        max_links=3,
        max_event_attributes=2,
        max_link_attributes=2,
        max_span_attribute_length=3,
    )
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    parent = None if remote is None else set_span_in_context(NonRecordingSpan(remote))
    span = provider.get_tracer("shop").start_span(
        "s", parent, attributes=attributes, links=[Link(context, attributes) for context in linked]
    )
    for name in ("one", "two", "three"):
        span.add_event(name, attributes)
    span.set_status(status)
    span.end()
    spans = memory.get_finished_spans()
    theirs = flattened(stock_encode(spans))
    assert flattened(ours(spans)) == theirs
    assert flattened(ours(list(map(mapped, spans)))) == theirs


ANNOTATED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 12,
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.llm.provider": '"openai"',
    "mlflow.spanInputs": '{"messages": [{"role": "system", "content": "Steer."}, {"role": "user", "content": "Port?"}], "more": 1}',
    "mlflow.spanOutputs": '{"messages": [{"role": "assistant", "content": "Starboard."}]}',
    "mlflow.chat.tokenUsage": '{"input_tokens": 13, "output_tokens": 3}',
}
OWN = '[{"role":"user","parts":[{"type":"text","content":"by the library"}]}]'


def test_the_gaps_of_a_span_that_mlflow_annotated_are_filled_and_nothing_is_overwritten():
    found = mapped(span_of(ANNOTATED, name="chat m"))
    assert (found.name, found.kind) == ("chat m", SpanKind.CLIENT)
    left = found.attributes
    assert (
        left["gen_ai.input.messages"]
        == '[{"role":"user","parts":[{"type":"text","content":"Port?"}]}]'
    )
    assert left["gen_ai.system_instructions"] == '[{"type":"text","content":"Steer."}]'
    assert "Starboard." in left["gen_ai.output.messages"]
    assert left["gen_ai.provider.name"] == "openai"
    assert (left["gen_ai.usage.input_tokens"], left["gen_ai.usage.output_tokens"]) == (12, 3)
    assert "more" in left["mlflow.spanInputs"]
    assert "Port?" not in left["mlflow.spanInputs"]


def test_what_the_other_library_wrote_stays_and_mlflows_copy_beside_it():
    left = mapped(span_of({**ANNOTATED, "gen_ai.input.messages": OWN})).attributes
    assert left["gen_ai.input.messages"] == OWN
    assert "gen_ai.system_instructions" not in left
    assert "Port?" in left["mlflow.spanInputs"]
    assert "Starboard." in left["gen_ai.output.messages"]
