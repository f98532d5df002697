"""MLflow's span types: what operation each is, what its span is called, of what kind it is.

A row a type; docs/mapping.md, "Span types". A type that is not here has no operation and keeps its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mlflow_otel.conventions import genai
from mlflow_otel.mapping.model import SpanKind
from mlflow_otel.mapping.values import present


@dataclass(frozen=True, slots=True)
class TypeRow:
    """What one span type becomes.

    Args:
        operation: ``gen_ai.operation.name``, or None when the convention has none for it.
        named_after: The attribute whose value follows the operation in the span's name.
        kind: The span's kind, or None to leave it.
        openinference: ``openinference.span.kind``.
        needs_target: Keep MLflow's name unless the attribute of ``named_after`` is known.
    """

    operation: str | None
    named_after: str | None
    kind: SpanKind | None
    openinference: str
    needs_target: bool = False


TYPES: Final[dict[str, TypeRow]] = {
    "CHAT_MODEL": TypeRow("chat", genai.REQUEST_MODEL, "CLIENT", "LLM"),
    "LLM": TypeRow("chat", genai.REQUEST_MODEL, "CLIENT", "LLM"),
    "EMBEDDING": TypeRow("embeddings", genai.REQUEST_MODEL, "CLIENT", "EMBEDDING"),
    "RETRIEVER": TypeRow(
        "retrieval", genai.DATA_SOURCE_ID, "CLIENT", "RETRIEVER", needs_target=True
    ),
    "TOOL": TypeRow("execute_tool", genai.TOOL_NAME, "INTERNAL", "TOOL"),
    "AGENT": TypeRow("invoke_agent", genai.AGENT_NAME, "INTERNAL", "AGENT"),
    "WORKFLOW": TypeRow("invoke_workflow", genai.WORKFLOW_NAME, "INTERNAL", "CHAIN"),
    "MEMORY": TypeRow(None, None, None, "CHAIN"),
    "RERANKER": TypeRow(None, None, None, "RERANKER"),
    "GUARDRAIL": TypeRow(None, None, None, "GUARDRAIL"),
    "EVALUATOR": TypeRow(None, None, None, "EVALUATOR"),
    "UNKNOWN": TypeRow(None, None, None, "UNKNOWN"),
}

OTHER: Final = TypeRow(None, None, None, "CHAIN")
"""CHAIN, TASK, PARSER and types users make up."""

MODEL_TYPES: Final = frozenset({"CHAT_MODEL", "LLM"})

CALL_TYPES: Final = {
    "embedding": "EMBEDDING",
    "rerank": "RERANKER",
    "moderation": "GUARDRAIL",
}
"""LiteLLM's ``call_type`` to the type its span is treated as; MLflow gives all of them LLM."""

Operation = Literal["chat", "text_completion", "generate_content"]

CALL_OPERATIONS: Final[dict[str, Operation]] = {
    "text_completion": "text_completion",
    "image_generation": "generate_content",
    "image_edit": "generate_content",
    "speech": "generate_content",
    "transcription": "generate_content",
}
"""LiteLLM's ``call_type`` to its operation, where that is no chat."""


def call_type(said: object) -> str:
    """Return LiteLLM's ``call_type`` without the letter of its asynchronous form."""
    named = str(said)
    known = named[1:]
    return known if named.startswith("a") and known in {*CALL_TYPES, *CALL_OPERATIONS} else named


def row(span_type: str | None) -> TypeRow:
    """Return the row of a type; spans without a type are of MLflow's UNKNOWN."""
    return TYPES.get(span_type or "UNKNOWN", OTHER)


def llm_operation(inputs: object) -> Operation:
    """Tell an LLM span's operation by the shape of its inputs.

    Messages make a chat, a prompt a text completion, multimodal contents content generation.
    """
    if isinstance(inputs, dict):
        given = present(inputs)
        if any(key in given for key in ("messages", "input", "history", "message")):
            return "chat"
        if "contents" in given:
            return "generate_content"
        if any(key in given for key in ("prompt", "prompts", "inputText", "inputs")):
            return "text_completion"
    if isinstance(inputs, str):
        return "text_completion"
    if isinstance(inputs, list) and inputs and all(isinstance(item, str) for item in inputs):
        return "text_completion"
    return "chat"
