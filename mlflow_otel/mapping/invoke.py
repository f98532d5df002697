"""Bedrock's InvokeModel: one call, a body in the shape of whoever made the model.

Source: Amazon Bedrock's user guide, inference request parameters and response fields of each maker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mlflow_otel.mapping.values import decode, present

MAKERS: Final[Mapping[str, str]] = {
    "anthropic": "anthropic",
    "amazon": "bedrock",
    "mistral": "openai",
    "ai21": "openai",
    "openai": "openai",
    "deepseek": "openai",
    "qwen": "openai",
    "moonshot": "openai",
    "moonshotai": "openai",
    "minimax": "openai",
    "google": "openai",
    "nvidia": "openai",
    "zai": "openai",
}
"""A model's maker to the message format of its bodies. Others have none: a prompt, a text."""

_NAMES: Final = re.compile(r"[./:]")


class Call(NamedTuple):
    """A call whose bodies are taken out of their envelope.

    Args:
        message_format: Of the bodies, or None: their shape decides.
        inputs: The request's body, and what stood beside it.
        outputs: The response's body, and what stood beside it.
    """

    message_format: str | None
    inputs: dict[str, Any]
    outputs: Any


def opened(inputs: dict[str, Any], outputs: Any) -> Call | None:
    """Return an InvokeModel call with its bodies opened, or None for any other call."""
    model = inputs.get("modelId")
    body = decode(inputs.get("body")) if isinstance(model, str) else None
    if not isinstance(body, dict):
        return None
    answer = decode(outputs.get("body")) if isinstance(outputs, dict) else None
    maker = next((MAKERS[name] for name in _NAMES.split(str(model)) if name in MAKERS), None)
    return Call(
        maker,
        _opened(inputs, body),
        _opened(outputs, answer) if isinstance(answer, dict) else outputs,
    )


def _opened(envelope: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    body = present(body)
    beside = {key: value for key, value in envelope.items() if key != "body" and value is not None}
    if beside.keys().isdisjoint(body):
        return {**beside, **body}
    # The same name on both: the envelope's keep a place of their own.
    return {**body, "envelope": beside}
