"""Resource and scope around items, beside what the stock exporter writes of the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, SHAPES, Group

MADE = {
    "traces": lambda name: trace_pb2.Span(name=name),
    "logs": lambda name: logs_pb2.LogRecord(severity_text=name),
    "metrics": lambda name: metrics_pb2.Metric(name=name),
}
EACH_SIGNAL = pytest.mark.parametrize("signal", SHAPES)
names = st.text(max_size=20)
groups = st.lists(
    st.tuples(names, names, st.lists(names, min_size=1, max_size=3)), min_size=1, max_size=3
)


def group_of(signal, service, scope, items):
    shape = SHAPES[signal]
    resource = shape.resource(schema_url=f"{service}/r")
    resource.resource.attributes.add(key="service.name").value.string_value = service
    holder = shape.scope(schema_url=f"{scope}/s")
    holder.scope.name = scope
    made = [wire.field(ITEM, MADE[signal](name).SerializeToString()) for name in items]
    return Group(resource.SerializeToString(), holder.SerializeToString(), made)


@EACH_SIGNAL
@settings(max_examples=30, deadline=None)
@given(said=groups)
def test_a_request_holds_its_groups_and_is_taken_apart_into_the_same(signal, said):
    made = [group_of(signal, *group) for group in said]
    body = envelope.request(made)
    assert envelope.parse(body, signal) == made
    for group, (_, _, items) in zip(made, said, strict=True):
        for encoded, name in zip(group.items, items, strict=True):
            assert envelope.item(encoded, signal) == MADE[signal](name)


@EACH_SIGNAL
def test_several_scopes_of_one_resource_are_a_group_each(signal):
    """As other exporters write them."""
    one, other = (group_of(signal, "shop", scope, [scope]) for scope in "ab")
    holder = SHAPES[signal].resource.FromString(one.resource)
    for group in (one, other):
        holder.MergeFromString(
            wire.field(ITEM, group.scope + b"".join(group.items)),
        )
    body = wire.field(b"\x0a", holder.SerializeToString())
    assert envelope.parse(body, signal) == [one, other]
    assert envelope.request([]) == b""


@EACH_SIGNAL
def test_a_servers_answer_says_how_many_it_rejected_by_the_name_in_the_table(signal):
    shape = SHAPES[signal]
    answer = shape.response()
    setattr(answer.partial_success, shape.rejected, 7)
    assert (
        getattr(
            shape.response.FromString(answer.SerializeToString()).partial_success, shape.rejected
        )
        == 7
    )
    assert shape.noun == {"traces": "spans", "logs": "log records", "metrics": "metrics"}[signal]


@pytest.mark.parametrize("schema", ["", "https://opentelemetry.io/schemas/1.30.0"])
@pytest.mark.parametrize("version", [None, "", "1.0"])
@pytest.mark.parametrize("attributes", [{}, {"a": "é", "n": [1, 2]}])
def test_resource_and_scope_are_as_the_stock_exporter_has_them(schema, version, attributes):
    resource = Resource({"service.name": "shop", **attributes}, schema)
    described = InstrumentationScope("app", version, schema, attributes)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    span = provider.get_tracer("app", version, schema, attributes).start_span("s")
    span.end()
    (theirs,) = encode_spans([span]).resource_spans
    ours = trace_pb2.ResourceSpans.FromString(envelope.resource(resource))
    assert ours.resource == theirs.resource
    assert ours.schema_url == schema
    (scope,) = theirs.scope_spans
    found = trace_pb2.ScopeSpans.FromString(envelope.scope(described))
    assert found.scope == scope.scope
    assert found.schema_url == schema
    assert envelope.scope(None) == b""
