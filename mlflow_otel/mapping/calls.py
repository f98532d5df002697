"""The steps for a model's call: what it was asked with, what it answered with, what it used."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.conventions.versions import LATEST
from mlflow_otel.mapping import (
    embeddings,
    invoke,
    placeholders,
    request,
    response,
    span_types,
    streams,
    tokens,
)
from mlflow_otel.mapping.draft import Draft
from mlflow_otel.mapping.span_types import MODEL_TYPES
from mlflow_otel.mapping.written import Written

CALLS: Final = MODEL_TYPES | {"EMBEDDING"}


def prepare(draft: Draft) -> None:
    """Complete a streamed answer, open InvokeModel's bodies, remove placeholders, tell an embedding."""
    call_type = draft.own.get("call_type")
    if call_type is not None:
        _treat_as(draft, span_types.CALL_TYPES.get(span_types.call_type(call_type)))
    if draft.treated_as not in CALLS:
        if placeholders.may_have(draft.given.text):
            _give(draft, placeholders.without_objects(draft.inputs))
        return
    view = draft.view
    if view.events and not view.dropped_events:
        said = streams.completed(draft.outputs, view.events)
        if said is not draft.outputs:
            draft.answered = draft.rest_outputs = Written(said)
            draft.raw[keys.SPAN_OUTPUTS] = said  # for MLflow's own vocabulary
    inputs = draft.inputs
    if isinstance(inputs, dict):
        call = invoke.opened(inputs, draft.outputs) if "modelId" in inputs else None
        if call is not None:
            inputs, draft.message_format = call.inputs, call.message_format
            draft.answered = draft.rest_outputs = Written(call.outputs)
            draft.given = draft.rest_inputs = Written(inputs)
        _give(draft, placeholders.without_parameters(inputs, request.CONTAINERS))
    if draft.treated_as in MODEL_TYPES and embeddings.are_in(draft.outputs):
        _treat_as(draft, "EMBEDDING")


def _treat_as(draft: Draft, span_type: str | None) -> None:
    if span_type is not None:
        draft.treated_as = span_type
        draft.row = span_types.row(span_type)


def _give(draft: Draft, inputs: Any) -> None:
    if inputs is not draft.inputs:
        draft.given = draft.rest_inputs = Written(inputs)
        draft.raw[keys.SPAN_INPUTS] = inputs  # for MLflow's own vocabulary


def ask(draft: Draft) -> None:
    """Read the call's parameters."""
    if not isinstance(draft.inputs, dict):
        return
    names = request.LATEST_NAMES if draft.options.version is LATEST else request.NAMES
    parameters = request.read(draft.inputs, names)
    draft.genai |= parameters.attributes
    draft.parameters = parameters.given
    if draft.conversation is not None and not isinstance(draft.rest_inputs, Written):
        draft.rest_inputs = request.rest_of(draft.rest_inputs, draft.inputs, parameters, names)


def answer(draft: Draft) -> None:
    """Read the response's ID, model and finish reasons where its messages did not give them."""
    if draft.genai.keys() >= response.ATTRIBUTES:
        return
    for key, value in response.attributes(draft.outputs).items():
        draft.genai.setdefault(key, value)


def use(draft: Draft) -> None:
    """Fill in the tokens that MLflow did not count, from the response's own usage."""
    used = tokens.of_response(draft.outputs, {**draft.own, **draft.genai})
    if used is None:
        return
    place_tokens(draft, used.attributes)
    rest = draft.rest_outputs
    if draft.conversation is None or used.holder is None or isinstance(rest, Written):
        return  # the outputs leave whole
    if rest is None or isinstance(rest, dict):
        left = {key: value for key, value in (rest or {}).items() if key != used.holder}
        if used.left:
            left[used.holder] = used.left
        draft.rest_outputs = left or None


def use_of_embedding(draft: Draft) -> None:
    """Read an embedding's response. Its vectors are not decoded when it has no other field of interest."""
    if any(map(draft.answered.may_have, ("usage", "model", "meta"))):
        answer(draft)
        use(draft)


def place_tokens(draft: Draft, counts: dict[str, Any]) -> None:
    """Put token counts where they belong: the convention's attributes, or MLflow's own."""
    for key, value in counts.items():
        place = draft.genai if key.startswith(genai.USAGE_PREFIX) else draft.own
        place.setdefault(key, value)
