"""An assessment as it leaves without the SDK: as an event and as a span."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from mlflow_otel.mapping import assessment
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.evaluation import EVENT_NAME, Evaluation
from mlflow_otel.version import __version__

TIME = 1_790_000_000_000_000_000
STAMP = {"mlflow.trace.id": "tr-7", "session.id": "s"}
OPTIONS = MappingOptions()
RESOURCE = ResourceSpans(schema_url="https://example.com/1")
RESOURCE.resource.attributes.add(key="service.name").value.string_value = "shop"
EVENT = "gen_ai.evaluation.result"

ids = st.none() | st.integers(1, 2**64 - 1)


def view(**others):
    return AssessmentView(name="tone", kind="feedback", value=0.5, time=TIME, **others)


def evaluation(made, trace_id=7, span_id=None, options=OPTIONS, **others):
    return Evaluation(
        made, STAMP, trace_id, span_id, RESOURCE.SerializeToString(), options, **others
    )


def sent(groups, signal, kind):
    """Return the one item that leaves, and resource and scope of its own."""
    (found,) = envelope.parse(envelope.request(groups), signal)
    (item,) = found.items
    shape = envelope.SHAPES[signal]
    holder = shape.resource.FromString(found.resource)
    scope = shape.scope.FromString(found.scope)
    assert type(holder) is (ResourceLogs if signal == "logs" else ResourceSpans)
    assert holder.resource == RESOURCE.resource
    assert type(scope) is (ScopeLogs if signal == "logs" else ScopeSpans)
    assert (scope.scope.name, scope.scope.version) == ("mlflow_otel", __version__)
    assert scope.schema_url == OPTIONS.version.schema_url
    message = envelope.item(item, signal)
    assert type(message) is kind
    return message


def event_of(made):
    return sent(made.event(), "logs", LogRecord)


def span_of(made):
    return sent(made.span(), "traces", Span)


def pairs(attributes):
    return [
        KeyValue.FromString(body)
        for body in (
            pair.SerializeToString()
            for pair in Span.FromString(wire.attributes(b"\x4a", attributes)).attributes
        )
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2**128 - 1), ids, st.binary(min_size=8, max_size=8))
def test_an_event_and_a_span_stand_in_the_judged_trace_below_the_judged_span(
    trace_id, span_id, own
):
    made = evaluation(view(), trace_id, span_id, own_id=own)
    judged = b"" if span_id is None else span_id.to_bytes(8, "big")
    event, span = event_of(made), span_of(made)
    assert event.trace_id == span.trace_id == trace_id.to_bytes(16, "big")
    assert event.span_id == span.parent_span_id == judged
    assert (event.time_unix_nano, event.observed_time_unix_nano) == (TIME, TIME)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (TIME, TIME + 1000)
    assert (event.flags, span.name) == (1, "evaluation tone")
    assert (
        wire.string(EVENT_NAME, EVENT) in event.SerializeToString()
    )  # older protos have no such field
    assert (span.span_id, span.kind) == (own, Span.SPAN_KIND_INTERNAL)
    links = [] if span_id is None else [Span.Link(trace_id=span.trace_id, span_id=judged)]
    assert list(span.links) == links
    assert span.status == Status()


def test_an_evaluation_span_without_an_id_gets_one_of_its_own():
    made = evaluation(view())
    own = {span_of(made).span_id for _ in range(4)}
    assert len(own) == 4
    assert {len(one) for one in own} == {8}


@pytest.mark.parametrize("conventions", [{"genai"}, {"genai", "openinference", "mlflow"}])
def test_event_and_span_carry_what_log_feedback_would_have_written(conventions):
    options = dataclasses.replace(OPTIONS, conventions=frozenset(conventions))
    judged = view(source_type="HUMAN", source_id="ann", rationale="kind", metadata={"k": "v"})
    written = assessment.event_attributes(judged, STAMP, options)
    made = evaluation(judged, options=options)
    assert list(event_of(made).attributes) == pairs(written)
    as_span = assessment.span_attributes(written, options)
    assert list(span_of(made).attributes) == pairs(as_span)
    assert written["session.id"] == as_span["session.id"] == "s"


@pytest.mark.parametrize(("said", "shown"), [("too slow", "too slow"), (None, "")])
def test_an_error_is_the_status_of_the_span(said, shown):
    made = evaluation(view(error_code="TIMEOUT", error_message=said))
    assert span_of(made).status == Status(code=Status.STATUS_CODE_ERROR, message=shown)
    attributes = {pair.key: pair.value.string_value for pair in event_of(made).attributes}
    assert attributes["error.type"] == "TIMEOUT"


def test_what_redaction_changes_or_takes_away_leaves_so_in_both_under_the_name_of_each():
    asked = set()

    def redact(name, key, value):
        asked.add(name)
        return (
            None if key == "mlflow.assessment.source.id" else "***" if value == "secret" else value
        )

    judged = view(rationale="secret", source_type="HUMAN", source_id="ann")
    made = evaluation(judged, options=dataclasses.replace(OPTIONS, redact=redact))
    for message in (event_of(made), span_of(made)):
        found = {pair.key: pair.value.string_value for pair in message.attributes}
        assert found["gen_ai.evaluation.explanation"] == "***"
        assert found["session.id"] == "s"
        assert "mlflow.assessment.source.id" not in found
    assert asked == {EVENT, "evaluation tone"}
