"""Further kinds of payloads are what they are: see ``more_shapes``."""

from __future__ import annotations

import json

import pytest

from mlflow_otel.mapping import embeddings, messages, retrieval
from mlflow_otel.mapping.messages import convert
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from tests.mapping.more_shapes import ASKED, SHAPES
from tests.mapping.shapes import SHAPES as ONE_SIDED

ENVELOPES = frozenset(messages.ENVELOPES)


def talk(name):
    message_format, _, inputs, outputs = SHAPES[name]
    return convert(message_format, inputs, outputs)


def kinds(messages):
    return [(m["role"], [p["type"] for p in m["parts"]]) for m in messages]


CALLED = [
    ("user", ["text", "uri"]),
    ("assistant", ["tool_call"]),
    ("tool", ["tool_call_response"]),
]


@pytest.mark.parametrize(
    ("name", "said", "call_id"),
    [
        ("semantic kernel: items", CALLED, "call_k1"),
        (
            "chat UIs: parts, calls with hyphens, files",
            [("user", ["text", "blob"]), *CALLED[1:]],
            "call_v1",
        ),
        ("the convention's own parts", [("user", ["text"]), *CALLED[1:]], "call_o1"),
    ],
)
def test_content_under_other_names_is_content(name, said, call_id):
    found = talk(name)
    assert kinds(found.inputs) == said
    call, answer = (message["parts"][0] for message in found.inputs[1:])
    assert call["id"] == answer["id"] == call_id
    assert isinstance(call["arguments"], dict)
    assert found.outputs[0]["parts"]


def test_the_conventions_own_parts_leave_as_they_are():
    _, _, inputs, outputs = SHAPES["the convention's own parts"]
    found = talk("the convention's own parts")
    assert found.inputs == inputs["messages"]
    assert found.outputs == outputs["messages"]


def test_each_prompt_of_a_batch_says_which_it_is():
    found = talk("langchain: two prompts in one call")
    assert found.system == [{"type": "text", "content": "Be brief.", "batch": 0}]
    assert [(m["parts"][0]["content"], m["batch"]) for m in found.inputs] == [
        ("Cross?", 0),
        ("Swim?", 1),
    ]
    assert [(m["parts"][0]["content"], m["batch"]) for m in found.outputs] == [
        ("By ferry.", 0),
        ("No.", 1),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "haystack: a generator of text",
        "hugging face: inputs and a list of texts",
        "watsonx: results",
    ],
)
def test_a_prompt_and_a_text_of_any_maker_are_messages(name):
    found = talk(name)
    assert found.inputs == [{"role": "user", "parts": [{"type": "text", "content": "Cross?"}]}]
    assert found.outputs[0]["parts"] == [{"type": "text", "content": "By ferry."}]


def test_an_uploaded_file_is_a_link():
    (said,) = talk("gemini: an uploaded file").inputs
    assert said["parts"][0]["type"] == "uri"
    assert said["parts"][0]["mime_type"] == "application/pdf"


def test_a_picture_in_a_tools_answer_leaves_as_base64():
    (said,) = talk("converse: a picture in a tool's answer").inputs
    value, picture = said["parts"][0]["response"]
    assert value == {"pier": "p-4"}
    assert picture == {
        "type": "blob",
        "modality": "image",
        "content": "iVBORw==",
        "mime_type": "image/png",
    }


def test_an_object_that_mlflow_could_not_write_is_no_inline_data():
    (said,) = talk("a picture of which MLflow wrote the object").inputs
    assert said["parts"] == [{"type": "image", "image": "<PIL.Image.Image at 0x7f01>"}]


def test_why_coheres_answer_ended_is_its_messages_reason():
    found = talk("cohere: a plan, a document, citations")
    assert found.finish_reasons == ["length"]
    assert kinds(found.inputs)[1:] == [
        ("assistant", ["tool_call"]),
        ("tool", ["tool_call_response"]),
    ]


def test_a_response_that_still_runs_has_no_reason_to_have_ended():
    found = talk("responses: instructions of their own, several actions, still running")
    assert [p["content"] for p in found.system] == ["Be brief."]
    assert found.inputs[1]["parts"][0]["arguments"] == [
        {"type": "click", "x": 41},
        {"type": "wait"},
    ]
    assert (found.outputs, found.finish_reasons) == ([], [])
    assert found.rest_outputs["status"] == "queued"


@pytest.mark.parametrize(
    "name",
    [
        "an answer that is a list of something else",
        "an answer that is a stream's events",
        "an agent's updates of its state",
    ],
)
def test_a_list_of_what_nobody_says_is_no_answer(name):
    found = talk(name)
    assert len(found.inputs) == 1
    assert found.outputs == []
    assert found.rest_outputs is SHAPES[name][3]


def mapped(attributes, type_="LLM", inputs=ASKED, outputs=None):
    raw = {
        "mlflow.spanType": type_,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": outputs,
        **attributes,
    }
    view = SpanView("call", {key: json.dumps(value) for key, value in raw.items()})
    found = map_span(view, TraceContext(), MappingOptions())
    assert found.failures == ()
    return found.attributes


@pytest.mark.parametrize(
    ("call_type", "operation"),
    [
        ("completion", "chat"),
        ("acompletion", "chat"),
        ("atext_completion", "text_completion"),
        ("aimage_generation", "generate_content"),
        ("transcription", "generate_content"),
        ("aembedding", "embeddings"),
        ("amoderation", None),
        ("arerank", None),
    ],
)
def test_a_call_of_litellms_is_what_it_says(call_type, operation):
    assert mapped({"call_type": call_type}).get("gen_ai.operation.name") == operation


def test_an_attribute_of_the_apps_own_stays_and_displaces_nothing():
    answer = {"choices": [{"message": {"role": "assistant", "content": "By ferry."}}]}
    inputs = {**ASKED, "temperature": 0.5}
    own = {"gen_ai.request.temperature": 0.75, "gen_ai.operation.name": "ask"}
    found = mapped(own, inputs=inputs, outputs=answer)
    assert found["gen_ai.request.temperature"] == 0.75
    assert found["gen_ai.operation.name"] == "ask"
    assert json.loads(found["mlflow.spanInputs"]) == inputs
    assert "mlflow.spanOutputs" not in found
    own = {"gen_ai.output.messages": [{"role": "assistant", "parts": []}]}
    found = mapped(own, inputs=inputs, outputs=answer)
    assert json.loads(found["gen_ai.output.messages"]) == own["gen_ai.output.messages"]
    assert json.loads(found["mlflow.spanOutputs"]) == answer
    assert "mlflow.spanInputs" not in found
    used = {"mlflow.chat.tokenUsage": {"input_tokens": 4444}, "gen_ai.usage.input_tokens": 3}
    found = mapped({**used, "gen_ai.provider.name": "own", "mlflow.llm.provider": "openai"})
    assert found["gen_ai.usage.input_tokens"] == 3
    assert json.loads(found["mlflow.chat.tokenUsage"]) == {"input_tokens": 4444}
    assert (found["gen_ai.provider.name"], found["mlflow.llm.provider"]) == ("own", "openai")


def test_an_attribute_that_says_the_same_keeps_nothing_twice():
    said = [{"role": "user", "parts": [{"type": "text", "content": "Cross?"}]}]
    found = mapped({"gen_ai.input.messages": said, "gen_ai.request.model": "m-1"})
    assert "mlflow.spanInputs" not in found


def test_coheres_embeddings_say_what_they_used():
    answer = {
        "id": "e-1",
        "embeddings": {"float": [[0.5]]},
        "meta": {"billed_units": {"input_tokens": 3}},
    }
    found = mapped({}, "EMBEDDING", {"model": "embed-x", "texts": ["Cross?"]}, answer)
    assert embeddings.are_in(answer)
    assert found["gen_ai.usage.input_tokens"] == 3


STORES = {
    "azure ai search": (
        {"value": [{"@search.score": 1.5, "chunk": "noon", "chunk_id": "a"}], "@odata.count": 9},
        {"id": "a", "score": 1.5, "content": "noon"},
        {"@odata.count": 9},
    ),
    "openai's vector store": (
        {
            "data": [
                {
                    "file_id": "f",
                    "score": 0.5,
                    "content": [{"type": "text", "text": "noon"}],
                    "x": 1,
                }
            ],
            "has_more": False,
        },
        {"id": "f", "score": 0.5, "content": "noon", "x": 1},
        {"has_more": False},
    ),
    "dspy": ({"passages": ["noon"]}, {"content": "noon"}, None),
    "vertex ai search": (
        {"results": [{"id": "r", "document": {"struct_data": {"title": "t"}}}]},
        {"id": "r", "document": {"struct_data": {"title": "t"}}},
        None,
    ),
    "a chunk beside its text": (
        [{"text": "noon", "chunk": {"page": 4}}],
        {"content": "noon", "chunk": {"page": 4}},
        None,
    ),
    "chroma's pictures": (
        {"ids": [["a"]], "documents": [["noon"]], "data": [[None]]},
        {"id": "a", "content": "noon"},
        None,
    ),
}


@pytest.mark.parametrize("store", STORES)
def test_each_further_stores_answer_is_documents(store):
    outputs, document, rest = STORES[store]
    found = retrieval.documents(outputs)
    assert found.documents == [document]
    assert found.rest == rest


@pytest.mark.parametrize(
    "name",
    [
        "an agent's run: a new message",
        "an agent's run: a talk and a new message",
        "a request in one parameter: responses",
        "a request in one parameter: chat",
    ],
)
def test_what_an_agent_is_asked_is_a_message_however_its_function_takes_it(name):
    said = talk(name)
    assert said.inputs[-1] == {"role": "user", "parts": [{"type": "text", "content": "Cross?"}]}
    assert said.outputs[0]["role"] == "assistant"
    assert said.outputs[0]["parts"][0]["content"] == "By ferry."


def test_the_talk_so_far_comes_before_the_new_message():
    said = talk("an agent's run: a talk and a new message")
    assert [part["content"] for part in said.system] == ["Be brief."]
    assert [m["parts"][0]["content"] for m in said.inputs] == ["Hello.", "Cross?"]


def test_what_a_call_was_prepared_with_is_no_answer_of_an_assistant():
    (made,) = talk("a call that is prepared").outputs
    assert made == {"role": "user", "parts": [{"type": "text", "content": "Cross?"}]}


def test_a_request_in_one_parameter_has_its_model_and_parameters():
    _, span_type, inputs, outputs = SHAPES["a request in one parameter: chat"]
    written = {
        "mlflow.spanType": json.dumps(span_type),
        "mlflow.spanInputs": json.dumps(inputs),
        "mlflow.spanOutputs": json.dumps(outputs),
    }
    found = map_span(
        SpanView("call", written, made_by_mlflow=True), TraceContext(), MappingOptions()
    )
    assert found.attributes["gen_ai.request.model"] == "m-1"
    assert found.attributes["gen_ai.request.max_tokens"] == 17
    assert json.loads(found.attributes["mlflow.spanInputs"]) == {
        "context": "ctx-1",
        "model_input": {"user": "u-17"},
    }


WHOLE = {
    name: shape
    for name, shape in (ONE_SIDED | SHAPES).items()
    if isinstance(shape[2], dict)
    and shape[1] in {"CHAT_MODEL", "LLM"}
    and ENVELOPES.isdisjoint(shape[2])
    and (made := convert(shape[0], shape[2], shape[3])) is not None
    and made.inputs
}


@pytest.mark.parametrize("envelope", sorted(ENVELOPES))
@pytest.mark.parametrize("name", WHOLE)
def test_a_request_is_the_same_in_one_parameter(name, envelope):
    message_format, _, inputs, outputs = WHOLE[name]
    plain = convert(message_format, inputs, outputs)
    wrapped = convert(message_format, {envelope: inputs, "beside": 1}, outputs)
    assert (wrapped.inputs, wrapped.system) == (plain.inputs, plain.system)
    assert wrapped.asked.rest["beside"] == 1
