"""Types, names, tools, documents, prompts, vocabularies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.export.spans import ATTRIBUTES
from mlflow_otel.mapping import content, usage
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.mapping.trace import STAMPS, entry, stamp
from mlflow_otel.otlp import wire


def mapped(
    type_,
    inputs=None,
    outputs=None,
    name="mine",
    trace=None,
    options=None,
    entry=False,
    **attributes,
):
    raw = {
        "mlflow.spanType": json.dumps(type_),
        **{k.replace("__", "."): json.dumps(v) for k, v in attributes.items()},
    }
    if inputs is not None:
        raw["mlflow.spanInputs"] = json.dumps(inputs)
    if outputs is not None:
        raw["mlflow.spanOutputs"] = json.dumps(outputs)
    view = SpanView(name, attributes=raw, is_entry=entry)
    return map_span(view, trace or TraceContext(), options or MappingOptions())


CHAT = {"model": "m-1", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("type_", "inputs", "operation", "name", "kind"),
    [
        ("CHAT_MODEL", CHAT, "chat", "chat m-1", "CLIENT"),
        ("CHAT_MODEL", {}, "chat", "chat", "CLIENT"),
        ("LLM", CHAT, "chat", "chat m-1", "CLIENT"),
        (
            "LLM",
            {"model": "m-1", "prompt": "Once"},
            "text_completion",
            "text_completion m-1",
            "CLIENT",
        ),
        (
            "LLM",
            {"model": "m-1", "contents": "hi"},
            "generate_content",
            "generate_content m-1",
            "CLIENT",
        ),
        ("EMBEDDING", {"model": "e-1", "input": "x"}, "embeddings", "embeddings e-1", "CLIENT"),
        ("RETRIEVER", {"query": "x"}, "retrieval", "mine", "CLIENT"),
        ("TOOL", {"x": 1}, "execute_tool", "execute_tool mine", "INTERNAL"),
        ("AGENT", {"x": 1}, "invoke_agent", "invoke_agent mine", "INTERNAL"),
        ("WORKFLOW", {"x": 1}, "invoke_workflow", "invoke_workflow mine", "INTERNAL"),
        ("MEMORY", {"x": 1}, None, "mine", None),
        ("RERANKER", {"x": 1}, None, "mine", None),
        ("GUARDRAIL", {"x": 1}, None, "mine", None),
        ("EVALUATOR", {"x": 1}, None, "mine", None),
        ("CHAIN", {"x": 1}, None, "mine", None),
        ("PARSER", {"x": 1}, None, "mine", None),
        ("TASK", {"x": 1}, None, "mine", None),
        ("MY_OWN", {"x": 1}, None, "mine", None),
        ("UNKNOWN", {"x": 1}, None, "mine", None),
    ],
)
def test_every_span_type(type_, inputs, operation, name, kind):
    found = mapped(type_, inputs)
    assert (found.attributes.get("gen_ai.operation.name"), found.name, found.kind) == (
        operation,
        name,
        kind,
    )
    assert found.attributes["mlflow.spanType"] == type_
    assert found.attributes.get("mlflow.span.name") == ("mine" if name != "mine" else None)


def test_values_leave_in_their_own_types():
    found = mapped(
        "CHAIN", a="20", b=20, c=True, d=1.5, e=["x"], f={"k": 1}, g=[1, "x"], h=None
    ).attributes
    assert [found[k] for k in "abcdefg"] == ["20", 20, True, 1.5, ["x"], '{"k":1}', '[1,"x"]']
    assert "h" not in found


def test_a_retrievers_documents_and_query():
    documents = [{"page_content": "P", "metadata": {"doc_uri": "u"}, "id": "d1"}]
    found = mapped("RETRIEVER", {"query": "q"}, documents).attributes
    assert found["gen_ai.retrieval.query.text"] == "q"
    assert json.loads(found["gen_ai.retrieval.documents"]) == [
        {"id": "d1", "content": "P", "metadata": {"doc_uri": "u"}}
    ]
    off = mapped(
        "RETRIEVER", {"query": "q"}, documents, options=MappingOptions(capture_content=False)
    ).attributes
    assert json.loads(off["gen_ai.retrieval.documents"]) == [{"id": "d1"}]
    assert "gen_ai.retrieval.query.text" not in off


def test_a_users_attribute_named_like_ours_stays_the_users():
    found = mapped("TOOL", {"x": 1}, gen_ai__tool__name="theirs", session__id="own").attributes
    assert found["gen_ai.tool.name"] == "theirs"
    assert found["session.id"] == "own"


def test_the_older_tag_style_and_the_newer_one_mean_the_same():
    older = TraceContext(
        tags={"mlflow.trace.session": "s", "mlflow.trace.user": "u", "environment": "prod"}
    )
    newer = TraceContext(
        metadata={"mlflow.trace.session": "s", "mlflow.trace.user": "u"},
        tags={"environment": "prod"},
    )
    assert stamp(older, MappingOptions()) == stamp(newer, MappingOptions())
    assert stamp(older, MappingOptions())["deployment.environment.name"] == "prod"


@pytest.mark.parametrize("key", STAMPS)
def test_a_stamp_is_known_not_to_be_content(key):
    # Updates of a trace carry the stamps through the same rule as everything else.
    off = MappingOptions(capture_content=False)
    assert content.attributes({key: "word"}, off) == {key: "word"}


def test_entry_spans_carry_the_trace():
    trace = TraceContext(
        tags={
            "team": "a",
            "mlflow.traceName": "t",
            "mlflow.linkedPrompts": '[{"name":"p","version":"1"}]',
            "mlflow.note.content": "n",
            "mlflow.trace.session": "s",
            "mlflow.artifactLocation": "/tmp",
        },
        metadata={
            "k": "v",
            "mlflow.user": "ann",
            "mlflow.trace.user": "u",
            "mlflow.traceInputs": "q",
            "mlflow.sourceRun": "r",
            "mlflow.modelId": "m",
            "mlflow.source.git.commit": "c",
        },
        state="OK",
        token_usage={"input_tokens": 3},
        cost={"total_cost": 0.5},
        request_preview="q",
    )
    found = entry(trace, MappingOptions())
    assert found == {
        "mlflow.trace.entry": True,
        "mlflow.traceTag.team": "a",
        "mlflow.traceTag.mlflow.note.content": "n",
        "mlflow.traceTag.mlflow.trace.session": "s",
        "mlflow.trace.metadata.k": "v",
        "mlflow.trace.metadata.mlflow.user": "ann",
        "mlflow.run.id": "r",
        "mlflow.model.id": "m",
        "vcs.ref.head.revision": "c",
        "mlflow.trace.token_usage.input_tokens": 3,
        "mlflow.trace.cost.total_cost": 0.5,
        "mlflow.linkedPrompts": '[{"name":"p","version":"1"}]',
        "mlflow.trace.name": "t",
        "mlflow.trace.state": "OK",
        "mlflow.trace.request_preview": "q",
    }
    assert "mlflow.trace.request_preview" not in entry(trace, MappingOptions(capture_content=False))


def test_tokens_of_a_span_below_one_that_rolled_them_up_are_not_counted_twice():
    one = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    parents = {1: None, 2: 1, 3: 9, 4: 5, 5: 2}  # 9 is another process's
    numbers = dict.fromkeys((1, 2, 3, 4), one)
    assert usage.sum_tokens(numbers, parents)["total_tokens"] == 2 * 3
    assert usage.sum_tokens({}, parents) == {}


@given(st.lists(st.integers(-1, 12), max_size=12), st.sets(st.integers(0, 11)))
def test_a_trace_sums_what_has_no_numbers_above_it(above, used):
    parents = dict(enumerate(above))
    numbers = {n: {"total_cost": 1.0} for n in used if n in parents}

    def covered(n):
        seen = set()
        while (n := parents.get(n)) is not None and n not in seen:
            if n in numbers:
                return True
            seen.add(n)
        return False

    expected = sum(not covered(n) for n in numbers)
    assert usage.sum_cost(numbers, parents).get("total_cost", 0) == expected


def test_openinference_beside_or_instead():
    both = mapped(
        "CHAT_MODEL", CHAT, options=MappingOptions(frozenset({"genai", "openinference"}))
    ).attributes
    assert both["llm.input_messages.0.message.role"] == "user"
    assert both["llm.input_messages.0.message.content"] == "hi"
    assert both["openinference.span.kind"] == "LLM"
    alone = mapped("CHAT_MODEL", CHAT, options=MappingOptions(frozenset({"openinference"})))
    assert not [
        key
        for key in alone.attributes
        if key.startswith("gen_ai.") and key != "gen_ai.conversation.id"
    ]
    assert alone.name == "mine"


def test_another_librarys_span_keeps_its_name_and_its_attributes():
    view = SpanView(
        "GET /",
        {"x": '"quoted"', "mlflow.traceRequestId": '"tr-1"', "mlflow.spanType": "null"},
        made_by_mlflow=False,
    )
    found = map_span(view, TraceContext(trace_id="tr-1"), MappingOptions())
    assert (found.name, found.kind) == ("GET /", None)
    assert found.attributes == {"x": '"quoted"', "mlflow.trace.id": "tr-1"}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "mlflow.spanType",
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "mlflow.chat.tokenUsage",
        "mlflow.llm.cost",
        "mlflow.llm.model",
        "mlflow.llm.provider",
        "mlflow.chat.tools",
        "mlflow.linkedPrompts",
        "session.id",
        "x",
        "mlflow.spanFunctionName",
        "gen_ai.tool.name",
        "mlflow.message.format",
    ]
)
RAW = (
    VALUES
    | VALUES.map(lambda v: json.dumps(v, default=str))
    | st.sampled_from(
        [
            '{"messages": [',
            '"CHAT_MODEL"',
            '"TOOL"',
            '"RETRIEVER"',
            '"AGENT"',
            '"openai"',
            '"anthropic"',
            '"gemini"',
            '"bedrock"',
            '{"messages":[{"role":null,"content":[null,1,{"type":null}]}]}',
        ]
    )
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS, RAW), st.booleans(), st.dictionaries(st.text(), VALUES), st.booleans())
def test_whatever_an_attribute_holds_the_span_leaves_and_can_be_encoded(
    attributes, mlflows, tags, capture
):
    view = SpanView("n", attributes=attributes, made_by_mlflow=mlflows, is_entry=True, failed=True)
    options = MappingOptions(frozenset({"genai", "openinference", "mlflow"}), capture)
    found = map_span(view, TraceContext(tags=tags, metadata=tags), options)
    assert found.failures == ()
    shared = {} if found.shared is None else found.shared.attributes
    sent = wire.attributes(ATTRIBUTES, {**shared, **found.own})
    assert sent == wire.attributes(ATTRIBUTES, found.attributes)
    encoded = Span.FromString(sent).attributes
    assert [pair.key for pair in encoded] == [wire.text(key).decode() for key in found.attributes]


PROMPTS = {
    '[{"name": "p"}]': ("p", None, False),
    '[{"name": "p", "version": 3}]': ("p", "3", False),
    '[{"name": "p", "version": "0"}]': ("p", "0", False),
    '[{"name": 7, "version": "3"}, {"name": "q"}]': ("7", "3", True),
    '[{"name": "p", "version": "3", "alias": "live"}]': ("p", "3", True),
    '[{"name": "p", "alias": "live"}]': ("p", None, True),
}


@pytest.mark.parametrize("linked", PROMPTS)
def test_the_first_prompt_of_a_span_is_named_and_the_list_leaves_where_it_says_more(linked):
    name, version, whole = PROMPTS[linked]
    found = map_span(
        SpanView("call", {"mlflow.linkedPrompts": linked}), TraceContext(), MappingOptions()
    ).attributes
    assert found.get("gen_ai.prompt.name") == name
    assert found.get("gen_ai.prompt.version") == version
    left = json.loads(found["mlflow.linkedPrompts"]) if "mlflow.linkedPrompts" in found else None
    assert left == (json.loads(linked) if whole else None)


MISSHAPEN = ["zq", 717, ["zq"], {"a": "zq"}, [{"a": "zq"}], [{"version": "zq"}], [["zq"]]]
MLFLOWS_KEYS = (
    "mlflow.linkedPrompts",
    "mlflow.chat.tools",
    "mlflow.chat.tokenUsage",
    "mlflow.llm.cost",
    "mlflow.llm.model",
    "mlflow.llm.provider",
    "mlflow.spanFunctionName",
)


@pytest.mark.parametrize("value", MISSHAPEN, ids=str)
@pytest.mark.parametrize("key", MLFLOWS_KEYS)
def test_what_stands_under_a_key_of_mlflows_in_another_shape_than_mlflows_leaves(key, value):
    given = {"mlflow.spanType": '"CHAT_MODEL"', key: json.dumps(value)}
    mapped = map_span(SpanView("call", given), TraceContext(), MappingOptions())
    assert mapped.failures == ()
    assert "zq" in str(mapped.attributes) or "717" in str(mapped.attributes)


@pytest.mark.parametrize("value", [None, "", [], {}])
@pytest.mark.parametrize("key", sorted(set(MLFLOWS_KEYS) - {"mlflow.chat.tokenUsage"}))
def test_what_says_nothing_under_a_key_of_mlflows_stays_out(key, value):
    given = {"mlflow.spanType": '"CHAT_MODEL"', key: json.dumps(value)}
    mapped = map_span(SpanView("call", given), TraceContext(), MappingOptions())
    assert key not in mapped.attributes


def test_costs_are_doubles_and_openinference_leaves_mlflows_own_metadata_out():
    trace = TraceContext(metadata={"mlflow.source.name": "app.py", "team": "red"})
    found = mapped(
        "LLM",
        CHAT,
        trace=trace,
        entry=True,
        options=MappingOptions(frozenset({"genai", "openinference"})),
        mlflow__llm__cost={"input_cost": 2, "total_cost": 2.5},
    ).attributes
    assert json.loads(found["metadata"]) == {"team": "red"}
    costs = {k: v for k, v in found.items() if k.startswith("mlflow.llm.cost.")}
    assert costs["mlflow.llm.cost.input_cost"] == 2
    assert {type(cost) for cost in costs.values()} == {float}
