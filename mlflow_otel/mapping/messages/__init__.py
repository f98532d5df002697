"""Chat inputs and outputs to the GenAI convention's messages: one module a format, one table.

``mlflow.message.format`` names the format. A new one is a module with ``convert`` and a row here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mlflow_otel.mapping.messages import (
    anthropic,
    autogen,
    bedrock,
    gemini,
    llamaindex,
    openai,
    pydantic_ai,
    responses,
)
from mlflow_otel.mapping.model import Conversation

Converter = Callable[[Any, Any], Conversation | None]

FORMATS: Final[dict[str, tuple[Converter, ...]]] = {
    "openai": (responses.convert, openai.convert),
    "openai-agent": (responses.convert, openai.convert),
    "anthropic": (anthropic.convert,),
    "gemini": (gemini.convert,),
    "bedrock": (bedrock.convert,),
    "langchain": (openai.convert,),
    "llamaindex": (llamaindex.convert, openai.convert),
    "mistral": (openai.convert,),
    "groq": (openai.convert,),
    "crewai": (openai.convert,),
    "dspy": (openai.convert,),
    "smolagents": (openai.convert,),
    "pydantic_ai": (pydantic_ai.convert,),
    "autogen": (autogen.convert, openai.convert),
    "ag2": (openai.convert,),
}
"""Format to converters, the first that knows the shape wins."""


def convert(message_format: Any, inputs: Any, outputs: Any) -> Conversation | None:
    """Return a span's conversation, or None when its shape is not known.

    Without a format the shape decides; what cannot be recognised is not guessed at.
    """
    converters = FORMATS.get(message_format) if isinstance(message_format, str) else None
    for converter in converters or _by_shape(inputs, outputs):
        found = converter(inputs, outputs)
        if found is not None:
            return found
    return None


def _by_shape(inputs: Any, outputs: Any) -> tuple[Converter, ...]:
    given = inputs if isinstance(inputs, dict) else {}
    answer = outputs if isinstance(outputs, dict) else {}
    if "modelId" in given or "inferenceConfig" in given:
        return (bedrock.convert,)
    if "contents" in given:
        return (gemini.convert,)
    if "stop_reason" in answer and "content" in answer:
        return (anthropic.convert,)
    if "messages" in given:
        return (pydantic_ai.convert, autogen.convert, openai.convert)
    if "output" in answer and "input" in given:
        return (responses.convert,)
    if isinstance(inputs, list):
        return (openai.convert,)
    return ()
