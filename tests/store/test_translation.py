"""Spans that are wholly MLflow's come back without its translation, and as with it."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.backends.model import BackendSpan
from mlflow_otel.store import mlflow_adapter
from mlflow_otel.store.model import StoredSpan, StoredTrace

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
TEXTS = VALUES.map(json.dumps) | VALUES.map(json.dumps).map(json.dumps) | st.text(max_size=20)
NAMES = ("gen_ai.operation.name", "gen_ai.agent.name")
WORDS = ("chat", "execute_tool", "invoke_agent", "support agent", "[", "")
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        [*sorted(mlflow_adapter.SAYS_NO_MORE - set(NAMES)), "mlflow.spanFunctionName", "mlflow.own"]
    ),
    VALUES | TEXTS,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["TOOL", "AGENT", "CHAT_MODEL", "RETRIEVER", "own"]),
    inputs=VALUES | TEXTS,
    outputs=VALUES | TEXTS,
    more=ATTRIBUTES,
    names=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS), max_size=2),
)
def test_a_span_that_is_known_is_as_its_translation(kind, inputs, outputs, more, names):
    attributes = {
        **more,
        **names,
        "mlflow.spanType": kind,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": outputs,
    }
    assert mlflow_adapter.is_known(attributes)
    span = StoredSpan(BackendSpan(7, None, "a", 1, 2), "a", attributes)
    trace = StoredTrace(9, "tr-" + "9".zfill(32), None, None, "", 0, 0, "OK", spans=[span])
    ours = mlflow_adapter.trace(trace).data.spans[0]
    known = mlflow_adapter.is_known
    mlflow_adapter.is_known = lambda _: False
    try:
        theirs = mlflow_adapter.trace(trace).data.spans[0]
    finally:
        mlflow_adapter.is_known = known
    assert ours.to_dict() == theirs.to_dict()
    assert ours.attributes == theirs.attributes


def test_a_span_of_another_library_is_translated():
    for attributes in (
        {"mlflow.spanType": "TOOL", "mlflow.spanInputs": 1},
        {"mlflow.spanType": "UNKNOWN", "mlflow.spanInputs": 1, "mlflow.spanOutputs": 2},
        {
            "mlflow.spanType": "CHAT_MODEL",
            "mlflow.spanInputs": 1,
            "mlflow.spanOutputs": 2,
            "gen_ai.usage.input_tokens": 3,
        },
        {
            "mlflow.spanType": "AGENT",
            "mlflow.spanInputs": 1,
            "mlflow.spanOutputs": 2,
            "gen_ai.agent.name": "gemini-cli",
        },
    ):
        assert not mlflow_adapter.is_known(attributes)
