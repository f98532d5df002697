"""Spans of another library's: left as they are, with their gaps filled from what MLflow wrote on them."""

from __future__ import annotations

from typing import Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assembly import rest
from mlflow_otel.mapping.draft import Draft
from mlflow_otel.mapping.plan import understand
from mlflow_otel.mapping.steps import INTERNAL_KEYS
from mlflow_otel.mapping.values import decode

ANNOTATIONS: Final = frozenset(
    {
        keys.SPAN_INPUTS,
        keys.SPAN_OUTPUTS,
        keys.LLM_MODEL,
        keys.LLM_PROVIDER,
        keys.CHAT_TOKEN_USAGE,
        keys.LLM_COST,
        keys.CHAT_TOOLS,
    }
)
"""What MLflow's autologging writes on spans that another library's tracer made."""

NAMES: Final = frozenset(
    {
        genai.OPERATION_NAME,
        genai.PROVIDER_NAME,
        genai.REQUEST_MODEL,
        genai.RESPONSE_MODEL,
        genai.AGENT_NAME,
        genai.TOOL_NAME,
        genai.TOOL_TYPE,
        genai.TOOL_CALL_ID,
        genai.USAGE_INPUT_TOKENS,
        genai.USAGE_OUTPUT_TOKENS,
        genai.USAGE_CACHE_READ,
        genai.USAGE_CACHE_WRITE,
    }
)
"""What such a library writes itself, without writing the inputs or outputs."""


OURS: Final = (
    "mlflow.assessment.",
    "mlflow.experiment.",
    "mlflow.trace.",
    keys.TRACE_TAG_PREFIX,
)
"""Keys that only this package writes begin so. Their values are never JSON, even if they look like it."""


def _is_mlflows(key: str) -> bool:
    return key.startswith(keys.RESERVED_PREFIX) and (
        key == keys.INTERMEDIATE_OUTPUTS or not key.startswith(OURS)
    )


def foreign(draft: Draft) -> None:
    """Leave another library's attributes as they are."""
    # Another library's span: only what MLflow's registry put on it is MLflow's to decode.
    for key, value in draft.view.attributes.items():
        if key not in INTERNAL_KEYS:
            draft.own[key] = decode(value) if _is_mlflows(key) else value
    if draft.own.get(keys.SPAN_TYPE) in (None, "UNKNOWN"):
        draft.own.pop(keys.SPAN_TYPE, None)  # MLflow's registry writes one on every span it sees


def annotated(draft: Draft) -> None:
    """Fill the gaps of another library's span from what MLflow's autologging wrote on it."""
    ours = Draft(draft.view, draft.trace, draft.options)
    draft.failures += understand(ours)
    own, said = draft.own, ours.genai
    theirs = said.keys() & own.keys()
    if genai.INPUT_MESSAGES in own:
        said.pop(genai.SYSTEM_INSTRUCTIONS, None)  # theirs stand among their messages
    for key, value in said.items():
        own.setdefault(key, value)
    for key, value in ours.own.items():
        if key.startswith(keys.LLM_COST_PREFIX):
            own.setdefault(key, value)
    # What is in the messages now need not leave a second time; unless theirs was there before.
    if theirs <= NAMES:
        own[keys.SPAN_INPUTS] = rest(ours.rest_inputs)
        own[keys.SPAN_OUTPUTS] = rest(ours.rest_outputs)
