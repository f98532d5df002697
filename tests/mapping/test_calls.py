"""What a model's call was asked with, what it answered with, what it used."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping import placeholders, request, tokens
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span

OMITTED = [
    "<openai.Omit object at 0x7f3d58703710>",
    "<openai._types.NotGiven object at 0x7f3d58703710>",
    "<dataclasses._MISSING_TYPE object at 0x7f3d59c02650>",
    "<object object at 0x7f3d59c02650>",
    "<class 'anthropic.Omit'>",
    "<class 'inspect._empty'>",
    "<UnsetType.UNSET: 0>",
    "<_MethodDefault._DEFAULT_VALUE: <object object at 0x7f3d59c02650>>",
    "NOT_GIVEN",
    "PydanticUndefined",
    "Unset()",
    "Ellipsis",
    "~?~unset~?~sentinel~?~",
]
TYPES = {
    request.typed.double: float,
    request.typed.whole: int,
    request.typed.boolean: bool,
    request.typed.texts: list,
}


def mapped(inputs, outputs=None, type_="CHAT_MODEL", usage=None, conventions=("genai",), **own):
    raw = {"mlflow.spanType": json.dumps(type_), "mlflow.spanInputs": json.dumps(inputs)}
    if outputs is not None:
        raw["mlflow.spanOutputs"] = json.dumps(outputs)
    if usage is not None:
        raw["mlflow.chat.tokenUsage"] = json.dumps(usage)
    raw |= {key.replace("__", "."): json.dumps(value) for key, value in own.items()}
    found = map_span(
        SpanView("call", attributes=raw), TraceContext(), MappingOptions(frozenset(conventions))
    )
    assert found.failures == ()
    return found


def rest(found, side="Inputs"):
    return json.loads(found.attributes.get(f"mlflow.span{side}", "{}"))


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats(allow_nan=False).map(str),
    st.lists(st.text(max_size=3), max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(request.NAMES)), values, max_size=6),
    st.sampled_from([None, *sorted(request.CONTAINERS)]),
    st.sampled_from(["messages", "prompt"]),
)
def test_a_parameter_has_its_conventions_type_or_stays_where_it_was(parameters, container, kind):
    asked = parameters if container is None else {container: parameters}
    said = [{"role": "user", "content": "hi"}] if kind == "messages" else "hi"
    found = mapped({kind: said, **asked}, {"choices": [{"message": {"content": "ho"}}]}, "LLM")
    for attribute, (reader, _) in request.ATTRIBUTES.items():
        value = found.attributes.get(attribute)
        assert value is None or type(value) is TYPES[reader], attribute
    left = rest(found)
    left = left if container is None else left.get(container, {})
    for name, asked_for in parameters.items():
        value = json.loads(json.dumps(asked_for), parse_constant=str)  # as MLflow's JSON says it
        if value is None or value == [] or value == {} or placeholders.is_placeholder(value):
            continue
        attribute, reader = request.NAMES[name]
        fits = reader(value)
        if fits is not None and found.attributes[attribute] == fits:
            continue
        assert json.dumps(left[name]) == json.dumps(value)


@pytest.mark.parametrize("omitted", OMITTED)
@pytest.mark.parametrize("name", ["temperature", "tools", "instructions", "tool_choice", "user"])
def test_what_was_not_given_is_nowhere(omitted, name):
    found = mapped(
        {"messages": [{"role": "user", "content": "hi"}], name: omitted},
        conventions=(
            "genai",
            "openinference",
            "mlflow",
        ),
    )
    assert omitted not in json.dumps(found.attributes)
    assert found.attributes["gen_ai.input.messages"]


@pytest.mark.parametrize("omitted", OMITTED)
def test_a_person_may_say_it(omitted):
    said = {"role": "user", "content": omitted}
    found = mapped({"messages": [said]}, {"choices": [{"message": said}]})
    for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
        assert json.loads(found.attributes[key])[0]["parts"][0]["content"] == omitted


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_text_is_no_placeholder(text):
    assert text in placeholders.WORDS or not placeholders.is_placeholder(text)


def test_a_call_traced_by_hand_leaves_out_what_was_not_given_too():
    found = mapped({"q": "hi", "deep": {"limit": OMITTED[0], "k": 1}}, type_="CHAIN")
    assert rest(found) == {"q": "hi", "deep": {"k": 1}}


counts = st.one_of(
    st.none(),
    st.integers(0, 10**6),
    st.integers(0, 99).map(str),
    st.just(1.5),
    st.just("many"),
    st.booleans(),
)


@st.composite
def usages(draw):
    names = draw(
        st.lists(st.sampled_from([s for row in tokens.SPELLINGS.values() for s in row]), max_size=6)
    )
    found = draw(st.dictionaries(st.sampled_from(["cost", "tier", "n"]), counts, max_size=2))
    for name in names:
        *holders, last = name.split(".")
        place = found
        for holder in holders:
            place = place.setdefault(holder, {})
        if isinstance(place, dict):
            place[last] = draw(counts)
    return found


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif value is not None:
        yield path, value


@settings(max_examples=200, deadline=None)
@given(
    usages(),
    st.one_of(
        st.none(), st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "x"]), counts)
    ),
)
def test_no_count_is_lost_and_each_has_its_type(usage, mlflows):
    answer = {"choices": [{"message": {"role": "assistant", "content": "ho"}}], "usage": usage}
    found = mapped({"messages": [{"role": "user", "content": "hi"}]}, answer, usage=mlflows)
    sent = found.attributes
    assert all(type(v) is int for k, v in sent.items() if k.startswith("gen_ai.usage."))
    left = dict(leaves(rest(found, "Outputs").get("usage", {})))
    for path, value in leaves(usage):
        if path in left:
            assert left[path] == value
        else:
            assert int(value) in {v for k, v in sent.items() if "okenUsage." in k or ".usage." in k}
    for name, value in (mlflows or {}).items():
        key = tokens.BY_MLFLOW.get(name)
        if value is not None:
            assert str(value) in {
                str(sent.get(key)),
                str(sent.get(f"mlflow.chat.tokenUsage.{name}")),
            }


@pytest.mark.parametrize(
    ("usage", "input_tokens", "cached", "reasoning"),
    [
        (
            {
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            9,
            4,
            2,
        ),
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            9,
            4,
            2,
        ),
        ({"input_tokens": 5, "cache_read_input_tokens": 4}, 9, 4, None),
        ({"inputTokens": 5, "cacheReadInputTokens": 4}, 9, 4, None),
        ({"prompt_cache_hit_tokens": 4, "prompt_tokens": 9}, 9, 4, None),
        (
            {
                "input_tokens": 9,
                "input_token_details": {"cache_read": 4},
                "output_token_details": {"reasoning": 2},
            },
            9,
            4,
            2,
        ),
    ],
)
def test_every_providers_spelling_of_cached_and_reasoning_tokens(
    usage, input_tokens, cached, reasoning
):
    sent = mapped({"messages": []}, {"choices": [], "usage": usage}).attributes
    assert sent["gen_ai.usage.input_tokens"] == input_tokens
    assert sent["gen_ai.usage.cache_read.input_tokens"] == cached
    assert sent.get("gen_ai.usage.reasoning.output_tokens") == reasoning


def test_geminis_thoughts_are_output():
    usage = {"prompt_token_count": 7, "candidates_token_count": 3, "thoughts_token_count": 2}
    sent = mapped({"contents": "hi"}, {"usage_metadata": usage}, "LLM").attributes
    assert sent["gen_ai.usage.output_tokens"] == 5
    assert sent["gen_ai.usage.reasoning.output_tokens"] == 2


def test_the_long_lived_cache_is_told_apart():
    usage = {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 6}}
    sent = mapped({"messages": []}, {"content": "x", "stop_reason": "x", "usage": usage}).attributes
    assert sent["mlflow.chat.tokenUsage.cache_creation_input_tokens_above_1hr"] == 6


@pytest.mark.parametrize(
    ("type_", "inputs", "outputs", "own"),
    [
        (
            "LLM",
            {"messages": [{"role": "user", "content": "hull"}]},
            {"data": [{"embedding": [0.5]}]},
            {"call_type": "embedding"},
        ),
        (
            "LLM",
            {"model": "e", "input": ["hull"]},
            {"data": [{"embedding": [0.5], "index": 0}]},
            {},
        ),
        (
            "CHAT_MODEL",
            {
                "modelId": "amazon.titan-embed-text-v2:0",
                "body": '{"inputText": "hull", "dimensions": 256}',
            },
            {"body": {"embedding": [0.5], "inputTextTokenCount": 3}},
            {},
        ),
        (
            "LLM",
            {"contents": ["hull"], "config": {"output_dimensionality": 256}},
            {"embeddings": [{"values": [0.5]}]},
            {},
        ),
        ("EMBEDDING", {"texts": ["hull"]}, [[0.5]], {}),
    ],
)
def test_an_embedding_is_one_whatever_its_span_is_called(type_, inputs, outputs, own):
    found = mapped(inputs, outputs, type_, conventions=("genai", "openinference"), **own)
    sent = found.attributes
    assert sent["gen_ai.operation.name"] == "embeddings"
    assert found.name.startswith("embeddings")
    assert sent["openinference.span.kind"] == "EMBEDDING"
    assert sent["mlflow.spanType"] == type_
    assert sent["embedding.embeddings.0.embedding.text"] == "hull"
    assert sent["embedding.embeddings.0.embedding.vector"] == [0.5]
    assert not [key for key in sent if key.endswith(".messages")]
    assert "0.5" in sent["mlflow.spanOutputs"]
    assert sent.get("gen_ai.embeddings.dimension.count") in {None, 256}


@pytest.mark.parametrize(
    ("model", "body", "answer", "operation", "tokens_asked", "reason"),
    [
        (
            "eu.anthropic.claude-x",
            {"messages": [{"role": "user", "content": "Name a pier."}], "max_tokens": 3},
            {"content": [{"type": "text", "text": "Here."}], "stop_reason": "max_tokens"},
            "chat",
            3,
            "length",
        ),
        (
            "amazon.nova-lite-v1:0",
            {
                "messages": [{"role": "user", "content": [{"text": "Name a pier."}]}],
                "inferenceConfig": {"maxTokens": 3},
            },
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "Here."}]}},
                "stopReason": "end_turn",
            },
            "chat",
            3,
            "stop",
        ),
        (
            "mistral.mistral-large",
            {"messages": [{"role": "user", "content": "Name a pier."}], "max_tokens": 3},
            {
                "choices": [
                    {
                        "message": {"role": "assistant", "content": "Here."},
                        "finish_reason": "length",
                    }
                ]
            },
            "chat",
            3,
            "length",
        ),
        (
            "mistral.mistral-7b",
            {"prompt": "Name a pier.", "max_tokens": 3},
            {"outputs": [{"text": "Here.", "stop_reason": "stop"}]},
            "text_completion",
            3,
            "stop",
        ),
        (
            "meta.llama3",
            {"prompt": "Name a pier.", "max_gen_len": 3},
            {"generation": "Here.", "stop_reason": "length"},
            "text_completion",
            3,
            "length",
        ),
        (
            "cohere.command-r",
            {"message": "Name a pier.", "max_tokens": 3},
            {"text": "Here.", "finish_reason": "COMPLETE"},
            "chat",
            3,
            "stop",
        ),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/ai21.jamba",
            {"messages": [{"role": "user", "content": "Name a pier."}], "max_tokens": 3},
            {
                "choices": [
                    {"message": {"role": "assistant", "content": "Here."}, "finish_reason": "stop"}
                ]
            },
            "chat",
            3,
            "stop",
        ),
    ],
)
@pytest.mark.parametrize("written", [json.dumps, lambda body: body], ids=["as text", "as it is"])
def test_a_body_for_invoke_model_is_read_in_its_makers_shape(
    model, body, answer, operation, tokens_asked, reason, written
):
    found = mapped(
        {"modelId": model, "body": written(body), "accept": "application/json"},
        {"body": written(answer), "contentType": "application/json"},
        "LLM",
        mlflow__message__format="bedrock",
    )
    sent = found.attributes
    assert sent["gen_ai.operation.name"] == operation
    assert sent["gen_ai.request.model"] == model
    assert sent["gen_ai.request.max_tokens"] == tokens_asked
    assert sent["gen_ai.response.finish_reasons"] == [reason]
    for text in ("Name a pier.", "Here.", "application/json"):
        assert text in json.dumps(sent)
    assert "Here." in sent["gen_ai.output.messages"]


def test_a_text_completion_has_parameters_and_response_fields():
    answer = {"id": "c-1", "model": "m-2", "choices": [{"text": " one", "finish_reason": "length"}]}
    sent = mapped({"model": "m", "prompt": "Count", "stop": "."}, answer, "LLM").attributes
    assert sent["gen_ai.operation.name"] == "text_completion"
    assert sent["gen_ai.request.stop_sequences"] == ["."]
    assert sent["gen_ai.response.id"] == "c-1"
    assert sent["gen_ai.response.model"] == "m-2"
    assert sent["gen_ai.response.finish_reasons"] == ["length"]
    assert "Count" in sent["gen_ai.input.messages"]
    assert " one" in sent["gen_ai.output.messages"]


@pytest.mark.parametrize("said", [{"model": "e-1"}, {"usage": {"prompt_tokens": 3}}])
def test_what_an_embeddings_response_says_beside_its_vectors_is_read(said):
    found = mapped({"input": "x"}, {"data": [{"embedding": [0.5]}], **said}, "EMBEDDING").attributes
    assert found.get("gen_ai.response.model") == said.get("model")
    assert found.get("gen_ai.usage.input_tokens") == (3 if "usage" in said else None)


@pytest.mark.parametrize("beside", [{"modelId": "m"}, {"inferenceConfig": {"topP": 0.5}}])
def test_a_converse_call_is_known_by_either_of_its_fields(beside):
    tool = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
    said = {"role": "user", "content": [{"text": "Cross?"}]}
    found = mapped({"messages": [said], "toolConfig": {"tools": [tool]}, **beside})
    (defined,) = json.loads(found.attributes["gen_ai.tool.definitions"])
    assert (defined["name"], defined["parameters"]) == ("f", {"type": "object"})
