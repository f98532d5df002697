"""Every span recorded from the real libraries, through the mapping."""

from __future__ import annotations

import json

import jsonschema
import pytest

from mlflow_otel.mapping import placeholders
from tests import payloads

SCHEMA = json.loads((payloads.FIXTURES.parent / "gen-ai-messages.schema.json").read_text())
SHAPES = {
    "gen_ai.input.messages": "messages",
    "gen_ai.output.messages": "messages",
    "gen_ai.system_instructions": "system_instructions",
    "gen_ai.tool.definitions": "tool_definitions",
    "gen_ai.retrieval.documents": "retrieval_documents",
}
RECORDED = dict(payloads.recorded())


@pytest.mark.parametrize("identity", RECORDED)
def test_messages_of_every_recorded_span_validate(identity):
    found = payloads.mapped(RECORDED[identity], payloads.ALL)
    assert found.failures == ()
    for key, shape in SHAPES.items():
        # What another library wrote itself leaves as it is.
        if key in found.attributes and key not in RECORDED[identity]["attributes"]:
            jsonschema.validate(
                json.loads(found.attributes[key]), {**SCHEMA, "$ref": f"#/$defs/{shape}"}
            )


@pytest.mark.parametrize("identity", RECORDED)
def test_no_value_leaves_json_encoded_twice(identity):
    for key, value in payloads.mapped(RECORDED[identity]).attributes.items():
        if key.startswith(
            ("mlflow.spanType", "gen_ai.request", "gen_ai.response", "gen_ai.operation")
        ):
            assert not (isinstance(value, str) and value.startswith('"')), key


LEAF_TYPES = (str, bool, int, float)


def leaves(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, LEAF_TYPES) and value not in ("", None):
        yield value


KEYWORDS = {
    "function", "text", "object", "image_url", "image", "message", "input_text", "output_text", "input_image",
    "tool_result", "tool_use", "thinking", "input_file", "assistant", "completed", "chat.completion", "response",
    "function_call", "function_call_output", "stop", "end_turn", "STOP", "tool_calls", "model", "base64", "summary_text",
    "reasoning", "tool_call", "request", "user-prompt", "system-prompt", "tool-call", "tool-return", "SystemMessage",
    "UserMessage", "list", "function_calls", "url", "png", "embedding", "chat.completion.chunk", "system", "user",
}  # fmt: skip
USAGE = {"usage", "usage_metadata", "raw", "metrics", "models_usage"}


@pytest.mark.parametrize("identity", [i for i in RECORDED if not i.startswith("pydantic")])
def test_no_input_value_is_lost(identity):
    # "An inputs value lost in mapping is a bug": each leaf of the inputs is somewhere in what leaves.
    # Pydantic AI's repeat bookkeeping (timestamps, run IDs) on every message, dropped on purpose.
    attributes = RECORDED[identity]["attributes"]
    try:
        inputs = json.loads(attributes.get("mlflow.spanInputs", "null"))
    except ValueError:
        return
    found = payloads.mapped(RECORDED[identity]).attributes
    sent = json.dumps(list(found.values()), ensure_ascii=False).replace("\\", "")
    for leaf in leaves(inputs):
        if (
            isinstance(leaf, bool)
            or leaf in KEYWORDS
            or "CancellationToken" in str(leaf)
            or placeholders.is_object(leaf)
            or str(leaf)[:2] == "b'"
        ):
            continue
        # 40.0 may leave as 40: the convention's type decides.
        needle = str(int(leaf) if isinstance(leaf, float) and leaf.is_integer() else leaf)
        if needle[:1] in "{[":
            continue  # arguments in a JSON string leave as an object
        needle = json.dumps(needle, ensure_ascii=False)[1:-1].replace("\\", "")
        assert needle in sent, leaf


@pytest.mark.parametrize("identity", RECORDED)
def test_what_an_sdk_puts_where_nothing_was_given_never_leaves(identity):
    found = payloads.mapped(RECORDED[identity], payloads.ALL)
    assert "omit object at 0x" not in json.dumps(found.attributes).lower()


@pytest.mark.parametrize("identity", RECORDED)
def test_content_capture_off_takes_the_question_out(identity):
    found = payloads.mapped(RECORDED[identity], payloads.ALL, capture_content=False)
    sent = json.dumps(found.attributes)
    for said in ("weather in Paris?", "You are terse", "It is sunny", "What is this?"):
        assert said not in sent
