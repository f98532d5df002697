"""A span's attributes as MLflow wrote them, from those that left over OTLP (docs/mapping.md).

What left under MLflow's own keys (``MLFLOW_OTEL_CONVENTIONS`` with ``mlflow``) comes back as it was.
Else inputs and outputs are put together of what the GenAI conventions hold of them; messages as ``chat`` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflow_otel.backends.model import BackendSpan
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import trace
from mlflow_otel.mapping.values import as_dict, as_list, decode, decode_nested
from mlflow_otel.store import chat
from mlflow_otel.store.model import StoredSpan

JSON_KEYS: Final = frozenset(
    {keys.SPAN_INPUTS, keys.SPAN_OUTPUTS, keys.CHAT_TOOLS, keys.CHAT_TOKEN_USAGE, keys.LLM_COST}
)
"""MLflow's own keys whose values are structures: they leave as JSON text."""
OF_THE_TRACE: Final = (
    keys.TRACE_TAG_PREFIX,
    keys.TRACE_METADATA_PREFIX,
    keys.TRACE_TOKEN_USAGE_PREFIX,
    keys.TRACE_COST_PREFIX,
)
"""Prefixes of what says something of the trace, not of the span."""
OF_THE_TRACE_KEYS: Final = frozenset(
    {
        *trace.STAMPS,
        *trace.METADATA_ATTRIBUTES.values(),
        keys.TRACE_ENTRY,
        keys.TRACE_NAME,
        keys.TRACE_STATE,
        keys.TRACE_REQUEST_PREVIEW,
        keys.TRACE_RESPONSE_PREVIEW,
        keys.SPAN_NAME,
    }
)
WRITTEN_BY_MLFLOW: Final = frozenset(
    {
        keys.CHAT_TOKEN_USAGE,
        keys.CHAT_TOOLS,
        keys.LLM_MODEL,
        keys.LLM_PROVIDER,
        keys.MESSAGE_FORMAT,
    }
)
"""Keys that leave with ``mlflow`` among the vocabularies alone: inputs and outputs are whole then."""
MESSAGE_KEYS: Final = frozenset(
    {"messages", "message", "input", "inputs", "contents", "prompt", "choices", "content", "output"}
)
"""Where messages stand in a call's inputs or outputs: what has one of these is the whole of them."""
PAGE_CONTENT: Final = "page_content"
"""MLflow's name of a document's text."""


def stored_span(span: BackendSpan) -> StoredSpan:
    """Return a span as MLflow knows it."""
    said = span.attributes
    read = decode_nested if _is_decoded(said) else decode
    attributes = {
        key: read(value) if key in JSON_KEYS else value
        for key, value in said.items()
        if key not in OF_THE_TRACE_KEYS
        and not key.startswith(OF_THE_TRACE)
        and not key.startswith(keys.LLM_COST_PREFIX)
    }
    span_type = decode(said.get(keys.SPAN_TYPE))
    if span_type is not None:
        attributes[keys.SPAN_TYPE] = span_type
    cost = _below(said, keys.LLM_COST_PREFIX)
    if cost:
        attributes[keys.LLM_COST] = cost
    is_whole = not WRITTEN_BY_MLFLOW.isdisjoint(said)
    for key, side in ((keys.SPAN_INPUTS, _inputs), (keys.SPAN_OUTPUTS, _outputs)):
        given = attributes.get(key)
        whole = given if given is not None and is_whole else side(said, given)
        if whole is not None:
            attributes[key] = whole
    if keys.CHAT_TOOLS not in attributes and genai.TOOL_DEFINITIONS in said:
        attributes[keys.CHAT_TOOLS] = chat.as_chat_tools(
            as_list(decode(said[genai.TOOL_DEFINITIONS]))
        )
    name = said.get(keys.SPAN_NAME)
    return StoredSpan(span, name if isinstance(name, str) else span.name, attributes)


def _is_decoded(said: Mapping[str, Any]) -> bool:
    """Tell whether values left decoded, as this package writes them: then the text ``5`` is no number.

    MLflow's own exporter writes JSON, so a type of span has quotes there.
    """
    written = said.get(keys.SPAN_TYPE)
    return isinstance(written, str) and not written.startswith('"')


def _below(said: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in said.items() if k.startswith(prefix)}


def _inputs(said: Mapping[str, Any], rest: Any) -> Any:
    system = as_list(decode(said.get(genai.SYSTEM_INSTRUCTIONS)))
    messages = as_list(decode(said.get(genai.INPUT_MESSAGES)))
    if system or messages:
        return _with_messages([*chat.instructions(system), *chat.as_chat(messages)], rest)
    for key in (genai.TOOL_CALL_ARGUMENTS, genai.RETRIEVAL_QUERY):
        if rest is None and key in said:
            return decode(said[key]) if key == genai.TOOL_CALL_ARGUMENTS else said[key]
    return rest


def _outputs(said: Mapping[str, Any], rest: Any) -> Any:
    messages = as_list(decode(said.get(genai.OUTPUT_MESSAGES)))
    if messages:
        return _with_messages(chat.as_chat(messages), rest)
    if rest is None and genai.TOOL_CALL_RESULT in said:
        return decode(said[genai.TOOL_CALL_RESULT])
    if rest is None and genai.RETRIEVAL_DOCUMENTS in said:
        found = as_list(decode(said[genai.RETRIEVAL_DOCUMENTS]))
        return [_document(as_dict(document)) for document in found]
    return rest


def _with_messages(messages: list[Any], rest: Any) -> Any:
    """Return messages and what stood beside them, or what is the whole already."""
    if rest is None:
        return {"messages": messages}
    if not isinstance(rest, dict) or not MESSAGE_KEYS.isdisjoint(rest):
        return rest
    return {"messages": messages, **rest}


def _document(document: dict[str, Any]) -> dict[str, Any]:
    return {PAGE_CONTENT if key == "content" else key: value for key, value in document.items()}
