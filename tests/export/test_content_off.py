"""Content off, on the wire: what is planted where content may stand is not in the bytes that leave."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mlflow_otel.accounting import Accounting
from mlflow_otel.export.guards import Guards
from mlflow_otel.export.mapped import NO_CONTEXT, SCOPE, BatchContext, MappedSpan
from mlflow_otel.export.spans import encode_spans
from mlflow_otel.mapping import assessment
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.otlp import envelope
from mlflow_otel.settings import Settings
from tests import payloads

MARKER = "Zw0rtel"
PLANTED = f"what {MARKER} said"
MLFLOW = InstrumentationScope("mlflow.openai")
OTHER = InstrumentationScope("someone.else")
OF = SpanContext(11, 12, is_remote=False, trace_flags=TraceFlags(1))
OFF = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "false"}

NAMED = frozenset(
    {
        # Who, which and what kind: fields of payloads whose text is a name, an ID, a model or a reason.
        "model",
        "model_id",
        "modelId",
        "model_name",
        "model_version",
        "modelVersion",
        "id",
        "name",
        "type",
        "role",
        "finish_reason",
        "finishReason",
        "stop_reason",
        "stopReason",
        "tool_call_id",
        "call_id",
        "toolUseId",
        "tool_use_id",
        "tool_name",
        "agent_name",
        "response_id",
        "provider_response_id",
        "responseId",
        "doc_id",
        "node_id",
        "encoding_format",
        "service_tier",
        "reasoning_effort",
        "object",
        "status",
        "system",
        "start_time",
        "end_time",
        "cycle_id",
        "parent_cycle_id",
        "provider",
        "kind",
        "fully_qualified_type",
        "input_types",
        "execution_mode",
        "method",
        "route",
        "address",
        "scheme",
        "available_functions",
    }
)
IDENTITY = frozenset(
    {
        "mlflow.spanType",
        "mlflow.message.format",
        "mlflow.llm.model",
        "mlflow.llm.provider",
        "mlflow.traceRequestId",
        "mlflow.spanFunctionName",
        "mlflow.experimentId",
    }
)


def planted(value, key=None):
    """Return a payload with the marker in every text but names."""
    if isinstance(value, dict):
        return {k: planted(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [planted(item, key) for item in value]
    return f"{value} {PLANTED}" if isinstance(value, str) and key not in NAMED else value


def planted_attribute(key, text):
    if key in IDENTITY or key.rpartition(".")[2] in NAMED:
        return text
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return f"{text} {PLANTED}"
    return json.dumps(planted(value, key))


RECORDED = {
    identity: span
    for identity, span in payloads.recorded()
    if MARKER in str([planted_attribute(*pair) for pair in span["attributes"].items()])
}


def span_of(attributes, *, scope=MLFLOW, name="call", events=(), links=(), status=None):
    return ReadableSpan(
        name=name,
        context=OF,
        parent=None,
        resource=Resource({"service.name": "shop"}),
        attributes=attributes,
        events=events,
        links=links,
        kind=SpanKind.INTERNAL,
        status=status or Status(),
        start_time=1,
        end_time=2,
        instrumentation_scope=scope,
    )


def sent(span, environ=OFF, context=NO_CONTEXT):
    """Return the bytes that leave for a span."""
    found = Settings.from_environment(environ, Accounting())
    accounting = Accounting()
    guards = Guards.of(found, accounting)
    batch = BatchContext(lambda: context, guards.options, accounting, keep=guards.keep)
    body = envelope.request(encode_spans([MappedSpan(span, batch)], accounting))
    assert accounting.snapshot() == {}
    return body


def the_span(body):
    return ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0]


VOCABULARIES = ("genai", "openinference", "mlflow", "genai,openinference,mlflow")


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("identity", RECORDED)
def test_nothing_planted_in_a_recorded_payload_leaves(identity, vocabulary):
    recorded = RECORDED[identity]
    attributes = {k: planted_attribute(k, v) for k, v in recorded["attributes"].items()}
    events = [
        Event(e["name"], {k: planted_attribute(k, v) for k, v in e["attributes"].items()}, 5)
        for e in recorded.get("events", ())
    ]
    for scope in (MLFLOW, OTHER):
        span = span_of(
            attributes,
            scope=scope,
            name=recorded["name"],
            events=events,
            status=Status(StatusCode.ERROR, PLANTED),
        )
        body = sent(span, {**OFF, "MLFLOW_OTEL_CONVENTIONS": vocabulary})
        assert MARKER.encode() not in body


# Keys of many shapes, some that look harmless; the tables' own are drawn apart.
KEYS = st.one_of(
    st.text("abc._0", min_size=1, max_size=12),
    st.sampled_from(
        [
            "input",
            "output.value",
            "mlflow.spanInputs",
            "mlflow.spanOutputs",
            "mlflow.chat.tools",
            "db.query.text",
            "db.statement",
            "url.full",
            "url.query",
            "url.path",
            "http.url",
            "http.target",
            "http.request.header.cookie",
            "exception.message",
            "exception.stacktrace",
            "code.stacktrace",
            "gen_ai.prompt",
            "gen_ai.completion.0.content",
            "gen_ai.agent.description",
            "gen_ai.tool.definitions",
            "gen_ai.tool.call.result",
            "gen_ai.request.stop_sequences",
            "llm.prompts.0.prompt.text",
            "llm.input_messages.0.message.content",
            "reranker.query",
            "crew",
            "tasks",
            "haystack.component.input",
            "traceloop.entity.output",
            "embedding.embeddings.0.embedding.text",
            "metadata",
            "retrieval.documents.0.document.content",
            "retrieval.documents.0.document.metadata",
            "tool.parameters",
            "gen_ai.retrieval.documents",
            "mlflow.linkedPrompts",
            "llm.invocation_parameters",
            "mlflow.chat.tokenUsage",
            "mlflow.llm.cost",
            "user.email",
            "graphql.document",
            "messaging.kafka.message.key",
            "process.command_line",
            "logfire.msg",
            "mlflow.trace.metadata.note",
            "error.message",
            "error.type",
            "exception.type",
            "name",
            "id",
        ]
    ),
)
VALUES = st.recursive(
    st.sampled_from([PLANTED, f'{{"content": "{PLANTED}"}}', f'["{PLANTED}"]']),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("text"), inner, max_size=1),
    max_leaves=4,
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=6)


@given(
    attributes=ATTRIBUTES,
    inside=ATTRIBUTES,
    scope=st.sampled_from([MLFLOW, OTHER]),
    type_=st.sampled_from(
        ["CHAT_MODEL", "LLM", "TOOL", "RETRIEVER", "AGENT", "EMBEDDING", "CHAIN", "MEMORY"]
    ),
    vocabulary=st.sampled_from(VOCABULARIES),
)
@settings(max_examples=150, deadline=None)
def test_nothing_planted_in_any_field_of_a_span_leaves(
    attributes, inside, scope, type_, vocabulary
):
    span = span_of(
        {**attributes, "mlflow.spanType": json.dumps(type_)},
        scope=scope,
        events=[Event("exception", inside, 5), Event("gen_ai.choice", inside, 6)],
        links=[Link(OF, inside)],
        status=Status(StatusCode.ERROR, PLANTED),
    )
    context = TraceContext(
        trace_id="tr-1",
        tags={"plan": "pro", "mlflow.note.content": PLANTED},
        metadata={"note": PLANTED},
        request_preview=PLANTED,
        response_preview=PLANTED,
    )
    body = sent(span, {**OFF, "MLFLOW_OTEL_CONVENTIONS": vocabulary}, context)
    assert MARKER.encode() not in body
    left = the_span(body)
    assert [event.name for event in left.events] == ["exception", "gen_ai.choice"]
    assert left.status.code == 2
    assert {a.key: a.value.string_value for a in left.attributes}["mlflow.traceTag.plan"] == "pro"


SAFE = {
    "http.request.method": "GET",
    "http.route": "/ask/{id}",
    "server.address": "shop",
    "db.system.name": "postgresql",
    "rpc.service": "Shop",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.tool.name": "t",
    "gen_ai.agent.name": "a",
    "haystack.component.name": "prompt_builder",
    "traceloop.entity.name": "dairy",
    "traceloop.span.kind": "task",
    "retrieval.documents.12.document.id": "doc-7",
    "retrieval.documents.12.document.score": 0.75,
    "llm.model_name": "m",
    "openinference.span.kind": "LLM",
    "session.id": "s",
    "user.id": "u",
    "crew_id": "c-1",
    "process": "Process.sequential",
    "event_loop.cycle_id": "e",
    "unheard.of.count": 3,
    "unheard.of.ratio": 0.5,
    "unheard.of.flag": True,
    "tag.tags": ("plan:pro",),
    "error.type": "TimeoutError",
}


@pytest.mark.parametrize("scope", [MLFLOW, OTHER], ids=["MLflow's", "another's"])
def test_names_types_ids_models_counts_and_flags_leave(scope):
    left = the_span(sent(span_of(SAFE, scope=scope)))
    values = {a.key: a.value for a in left.attributes}
    assert SAFE.keys() <= values.keys()
    assert values["unheard.of.flag"].bool_value is True
    assert values["unheard.of.ratio"].double_value == 0.5


@pytest.mark.parametrize("scope", [MLFLOW, OTHER], ids=["MLflow's", "another's"])
def test_why_an_answer_ended_leaves_as_one_word_and_never_as_a_sentence(scope):
    found = {
        "gen_ai.response.finish_reasons": ("stop", "Ann said no.", "brand_new_reason"),
        "llm.finish_reason": "Ann said no.",
        "gen_ai.completion.0.finish_reason": "length",
    }
    left = the_span(sent(span_of(found, scope=scope)))
    values = {a.key: a.value for a in left.attributes}
    reasons = values["gen_ai.response.finish_reasons"].array_value.values
    assert [reason.string_value for reason in reasons] == ["stop", "brand_new_reason"]
    assert values["gen_ai.completion.0.finish_reason"].string_value == "length"
    assert "llm.finish_reason" not in values


def test_of_documents_prompts_and_token_usage_the_parts_leave_that_are_no_content():
    found = {
        "gen_ai.retrieval.documents": json.dumps(
            [{"id": "d", "score": 0.5, "content": PLANTED, "metadata": {"t": PLANTED}}]
        ),
        "mlflow.linkedPrompts": json.dumps([{"name": "p", "version": "3", "template": PLANTED}]),
        "llm.invocation_parameters": json.dumps({"temperature": 0.5, "stop": [PLANTED]}),
    }
    left = the_span(sent(span_of(found, scope=OTHER)))
    assert {a.key: json.loads(a.value.string_value) for a in left.attributes} == {
        "gen_ai.retrieval.documents": [{"id": "d", "score": 0.5}],
        "mlflow.linkedPrompts": [{"name": "p", "version": "3"}],
        "llm.invocation_parameters": {"temperature": 0.5},
    }


@pytest.mark.parametrize(
    "value",
    [42, 0.5, True, (0.1, 0.2), (17, 4), b"x"],
    ids=["int", "double", "bool", "vector", "token IDs", "bytes"],
)
def test_an_answer_that_is_a_number_and_a_vector_are_content(value):
    keys = (
        "output.value",
        "haystack.component.output",
        "gen_ai.tool.call.result",
        "traceloop.entity.output",
        "result",
    )
    assert not the_span(sent(span_of(dict.fromkeys(keys, value), scope=OTHER))).attributes
    alone = the_span(sent(span_of({"unheard.of": value}, scope=OTHER))).attributes
    assert bool(alone) is isinstance(value, (bool, int, float))


def test_a_sentence_that_was_made_a_key_does_not_leave_with_its_number():
    assert not the_span(sent(span_of({f"{PLANTED}?": 3}, scope=OTHER))).attributes


def test_safe_attributes_leave_wherever_they_stand():
    values = {
        "tenant": "acme",
        "shop.cart.note": "two",
        "shopping": "no",
        "mlflow.trace.metadata.app": "web",
    }
    span = span_of(values, scope=OTHER, events=[Event("e", values, 5)], links=[Link(OF, values)])
    left = the_span(
        sent(span, {**OFF, "MLFLOW_OTEL_SAFE_ATTRIBUTES": "tenant, shop.*,mlflow.trace.metadata.*"})
    )
    for found in (left.attributes, left.events[0].attributes, left.links[0].attributes):
        assert [a.key for a in found] == ["tenant", "shop.cart.note", "mlflow.trace.metadata.app"]


RAISED = {
    "exception.type": "shop.Declined",
    "exception.message": "no",
    "exception.stacktrace": "at",
    "exception.escaped": "False",
}


@pytest.mark.parametrize("asked", [False, True], ids=["unasked", "asked for"])
def test_messages_of_errors_leave_only_when_asked_for(asked):
    span = span_of(
        {}, events=[Event("exception", RAISED, 5)], status=Status(StatusCode.ERROR, "no")
    )
    left = the_span(sent(span, {**OFF, "MLFLOW_OTEL_CONTENT_IN_ERRORS": str(asked).lower()}))
    found = {a.key: a.value.string_value for a in left.events[0].attributes}
    spoken = {"exception.message": "no", "exception.stacktrace": "at"} if asked else {}
    assert found == {"exception.type": "shop.Declined", **spoken}
    assert (left.status.code, left.status.message) == (2, "no" if asked else "")
    assert {a.key: a.value.string_value for a in left.attributes}["error.type"] == "shop.Declined"


JUDGED = {
    "rationale": PLANTED,
    "error_message": PLANTED,
    "error_stack_trace": PLANTED,
    "metadata": {"note": PLANTED, "count": 3},
    "error_code": "TIMEOUT",
    "source_type": "HUMAN",
    "source_id": "ann",
    "assessment_id": "a-1",
}


@pytest.mark.parametrize(
    ("kind", "value", "score", "label"),
    [
        ("feedback", 0.5, 0.5, None),
        ("feedback", True, 1.0, "true"),
        ("feedback", "good", None, "good"),
        ("feedback", f"{PLANTED}, and at length: " + "x" * 64, None, None),
        ("feedback", {"a": PLANTED}, None, None),
        ("expectation", PLANTED, None, None),
        ("expectation", 42, None, None),
        ("issue", PLANTED, None, None),
    ],
)
def test_of_an_evaluation_scores_and_labels_leave_in_event_and_span(kind, value, score, label):
    guards = Guards.of(
        Settings.from_environment({**OFF, "MLFLOW_OTEL_CONVENTIONS": "genai,openinference,mlflow"}),
        Accounting(),
    )
    view = AssessmentView(name="judge", kind=kind, value=value, time=5, **JUDGED)
    event = assessment.event_attributes(view, {"session.id": "s", "team": "blue"}, guards.options)
    span = span_of(
        assessment.span_attributes(event, guards.options),
        scope=SCOPE,
        status=Status(StatusCode.ERROR, PLANTED),
    )
    assert MARKER not in str(event)
    assert MARKER.encode() not in sent(span)
    assert event.get("gen_ai.evaluation.score.value") == score
    assert event.get("gen_ai.evaluation.score.label") == label
    assert event.keys() >= {"gen_ai.evaluation.name", "error.type", "session.id", "team"}
    assert event.keys() >= {"mlflow.assessment.source.id", "mlflow.assessment.id"}
    assert "mlflow.assessment.value" not in event


def test_the_resource_leaves_as_it_is():
    span = span_of({})
    span._resource = Resource({"team.motto": "content or not"})
    assert b"content or not" in sent(span)


def test_what_could_not_be_mapped_is_held_back_too(monkeypatch):
    from mlflow_otel.export import mapped

    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(mapped, "map_span", fail)
    accounting = Accounting()
    guards = Guards.of(Settings.from_environment(OFF), accounting)
    span = span_of(
        {"note": PLANTED, "count": 3},
        links=[Link(OF, BoundedAttributes(attributes={"note": PLANTED}))],
    )
    body = envelope.request(
        encode_spans(
            [MappedSpan(span, BatchContext(options=guards.options, accounting=accounting))]
        )
    )
    assert MARKER.encode() not in body
    assert [a.key for a in the_span(body).attributes] == ["count"]


def test_a_sentence_that_was_made_a_counts_key_stays():
    span = span_of({"mlflow.chat.tokenUsage": json.dumps({PLANTED: 5, "input_tokens": 3})})
    assert MARKER.encode() not in sent(span, {**OFF, "MLFLOW_OTEL_CONVENTIONS": "genai,mlflow"})
