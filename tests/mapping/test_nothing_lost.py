"""No value is lost in mapping: each leaf of what a library wrote is in what leaves, whatever else it adds."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_otel.mapping import placeholders
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from tests import payloads
from tests.mapping import more_shapes, spelt_shapes
from tests.mapping.leaves import lost
from tests.mapping.shapes import SHAPES
from tests.mapping.test_recorded_payloads import SCHEMA
from tests.mapping.test_recorded_payloads import SHAPES as SCHEMAS

SIDES = ("mlflow.spanInputs", "mlflow.spanOutputs")
MARK = "unheard-of-{}"


def _load(span):
    """Return a recorded span's attributes, those in JSON decoded; True for one of MLflow's."""
    ours = payloads.view(span).made_by_mlflow
    found = {}
    for key, value in span["attributes"].items():
        try:
            found[key] = json.loads(value) if ours or key.startswith("mlflow.") else value
        except (TypeError, ValueError):
            found[key] = value
    return found, ours


def _invented(message_format, span_type, inputs, outputs):
    found = {
        "mlflow.spanType": span_type,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": outputs,
    }
    return found | ({"mlflow.message.format": message_format} if message_format else {}), True


RECORDED = {identity: _load(span) for identity, span in payloads.recorded()}
EVERY_SHAPE = SHAPES | more_shapes.SHAPES | spelt_shapes.SHAPES
INVENTED = {name: _invented(*shape) for name, shape in EVERY_SHAPE.items()}
ALL = RECORDED | INVENTED
VALID = {
    shape: jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{shape}"})
    for shape in SCHEMAS.values()
}
HANDLES = "CancellationToken"  # of AutoGen's process
NOT_VALUES = (
    "mlflow.traceRequestId",
    "mlflow.experimentId",
    "mlflow.spanStartTimeNs",
    "mlflow.message.format",
    "mlflow.llm.provider",
)


PLAIN = TraceContext(), MappingOptions()


def written(attributes, ours):
    return {
        k: json.dumps(v, ensure_ascii=False) if ours or k.startswith("mlflow.") else v
        for k, v in attributes.items()
    }


def check(attributes, ours):
    view = SpanView("call", written(attributes, ours), made_by_mlflow=ours)
    found = map_span(view, *PLAIN)
    assert found.failures == (), found.failures
    for key, shape in SCHEMAS.items():
        if key in found.attributes and key not in attributes:
            VALID[shape].validate(json.loads(found.attributes[key]))
    values = {k: v for k, v in attributes.items() if k not in NOT_VALUES}
    if not ours and values.get("mlflow.spanType") == "UNKNOWN":
        del values["mlflow.spanType"]  # MLflow writes it on spans it knows nothing of
    gone = [
        (k, v)
        for k, v in lost(values, found.attributes)
        if HANDLES not in str(v) and not placeholders.is_object(v)
    ]
    assert gone == [], gone
    return found.attributes


@pytest.mark.parametrize("identity", ALL)
def test_each_leaf_of_a_payload_is_in_what_leaves(identity):
    check(*ALL[identity])


def _places(value, kind, path=()):
    if isinstance(value, kind):
        yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, kind, (*path, key))


def _put(value, path, change):
    if not path:
        return change(value)
    value[path[0]] = _put(value[path[0]], path[1:], change)
    return value


NEW_FIELDS = st.sampled_from(
    ["zq", "note", "id", "name", "type", "content", "status", "index", "meta", "text", "data"]
)
NEW_VALUES = st.sampled_from(
    [
        MARK.format(1),
        7_654_321,
        {"deep": [MARK.format(2), {"er": 0.654321}]},
        [MARK.format(3), None],
        [{"type": "unheard", "x": MARK.format(4)}],
    ]
)


@st.composite
def mutations(draw, side):
    """Return a side changed in a few places, as a library's next version might change it."""
    for number in range(draw(st.integers(1, 3))):
        places = list(_places(side, dict))
        change = draw(st.sampled_from(["field", "type", "order", "wrap", "text", "gone"]))
        if not places or change == "text":
            side = draw(st.sampled_from([side, f"said {number} otherwise", [side], {"held": side}]))
            continue
        path = draw(st.sampled_from(places))
        if change == "field":
            name, value = draw(NEW_FIELDS), copy.deepcopy(draw(NEW_VALUES))
            side = _put(
                side, path, lambda held, n=name, v=value: held if n in held else {**held, n: v}
            )
        elif change == "type":
            side = _put(
                side, path, lambda held: {**held, "type": "unheard_of"} if "type" in held else held
            )
        elif change == "order":
            side = _put(side, path, lambda held: dict(reversed(held.items())))
        elif change == "wrap":
            side = _put(side, path, lambda held: [held])
        else:
            side = _put(side, path, lambda held: dict(list(held.items())[1:]))
    return side


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_nothing_is_lost_of_payloads_that_no_version_has_written_yet(data):
    attributes, ours = copy.deepcopy(ALL[data.draw(st.sampled_from(sorted(ALL)))])
    attributes.pop("mlflow.chat.tools", None)  # a copy of what the inputs have
    for side in data.draw(st.sampled_from([SIDES[:1], SIDES[1:], SIDES])):
        if side in attributes:
            attributes[side] = data.draw(mutations(attributes[side]))
    check(attributes, ours)


OWN_VALUES = st.sampled_from(["their own", 4, 0.125, True, ["x"], [{"role": "user", "parts": []}]])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_nothing_is_lost_with_an_attribute_that_the_app_wrote_itself(data):
    attributes, ours = copy.deepcopy(ALL[data.draw(st.sampled_from(sorted(ALL)))])
    left = map_span(SpanView("call", written(attributes, ours), made_by_mlflow=ours), *PLAIN)
    keys = sorted(
        key for key in left.attributes if key.startswith("gen_ai.") and key not in attributes
    )
    if keys:
        key, value = data.draw(st.sampled_from(keys)), data.draw(OWN_VALUES)
        found = check({**attributes, key: value}, ours)
        left = found[key]
        assert (json.loads(left) if isinstance(value, list) and left != value else left) == value
