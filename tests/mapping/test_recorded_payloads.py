"""Every span recorded from the real libraries, through the mapping."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from tests import payloads

SCHEMA = json.loads((payloads.FIXTURES.parent / "gen-ai-messages.schema.json").read_text())
SHAPES = {
    "gen_ai.input.messages": "messages",
    "gen_ai.output.messages": "messages",
    "gen_ai.system_instructions": "system_instructions",
    "gen_ai.tool.definitions": "tool_definitions",
    "gen_ai.retrieval.documents": "retrieval_documents",
}
VALID = {
    shape: jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{shape}"})
    for shape in SHAPES.values()
}
RECORDED = dict(payloads.recorded())


@pytest.mark.parametrize("identity", RECORDED)
def test_messages_of_every_recorded_span_validate(identity):
    found = payloads.mapped(RECORDED[identity], payloads.ALL)
    assert found.failures == ()
    for key, shape in SHAPES.items():
        # What another library wrote itself leaves as it is.
        if key in found.attributes and key not in RECORDED[identity]["attributes"]:
            VALID[shape].validate(json.loads(found.attributes[key]))


@pytest.mark.parametrize("identity", RECORDED)
def test_no_value_leaves_json_encoded_twice(identity):
    for key, value in payloads.mapped(RECORDED[identity]).attributes.items():
        if key.startswith(
            ("mlflow.spanType", "gen_ai.request", "gen_ai.response", "gen_ai.operation")
        ):
            assert not (isinstance(value, str) and value.startswith('"')), key


# An SDK's mark for "not given", and what `repr` says of objects: by address, or as a call.
UNWRITTEN = re.compile(
    r"NOT_GIVEN|NotGiven|\bOmit\b|object at 0x[0-9a-f]+|<[\w.]+ object"
    r"|<class '|\b[A-Z]\w*\([a-z_]+=|(?<!\w)b'\\+x"
)


@pytest.mark.parametrize("identity", RECORDED)
def test_no_placeholder_and_no_repr_leaves_as_a_value_of_the_convention(identity):
    written = RECORDED[identity]["attributes"]
    for key, value in payloads.mapped(RECORDED[identity]).attributes.items():
        if key.startswith("gen_ai.") and key not in written:
            assert not UNWRITTEN.search(str(value)), key


@pytest.mark.parametrize("identity", RECORDED)
def test_content_capture_off_takes_the_question_out(identity):
    found = payloads.mapped(RECORDED[identity], payloads.ALL, capture_content=False)
    sent = json.dumps(found.attributes)
    for said in ("weather in Paris?", "You are terse", "It is sunny", "What is this?"):
        assert said not in sent
