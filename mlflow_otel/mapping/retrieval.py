"""Retriever spans: the query and the documents, whatever the library calls their parts."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.values import as_dict, as_float, as_text

QUERY_KEYS: Final = (
    "query",
    "query_str",
    "question",
    "query_bundle",
    "input",
    "text",
    "q",
    "search_query",
)
CONTENT_KEYS: Final = ("page_content", "content", "text")
ID_KEYS: Final = ("id", "doc_id", "id_", "doc_uri", "document_id")
DOCUMENT_KEYS: Final = frozenset({*CONTENT_KEYS, *ID_KEYS})
SCORE_KEYS: Final = ("score", "similarity", "relevance_score")


def query(inputs: Any) -> str | None:
    """Return the query's text, or None when the inputs name none."""
    if isinstance(inputs, str):
        return inputs
    held = as_dict(inputs)
    for key in QUERY_KEYS:
        value = held.get(key)
        if isinstance(value, dict):
            value = value.get("query_str")
        if isinstance(value, str):
            return value
    texts = [value for value in held.values() if isinstance(value, str)]
    return texts[0] if len(held) == len(texts) == 1 else None


def documents(outputs: Any) -> list[dict[str, Any]] | None:
    """Return the documents with ``id``, ``score``, ``content`` and ``metadata``, as far as known.

    None when the outputs are no list of documents: MLflow's, LangChain's, LlamaIndex's or plain.
    """
    if isinstance(outputs, dict):
        outputs = next(
            (outputs[key] for key in ("documents", "nodes", "results") if key in outputs), None
        )
    if not isinstance(outputs, list):
        return None
    found = [_document(item) for item in outputs]
    return None if any(item is None for item in found) else [item for item in found if item]


def _document(item: Any) -> dict[str, Any] | None:
    if isinstance(item, (list, tuple)) and len(item) == 2 and as_float(item[1]) is not None:
        scored = _document(item[0])  # LangChain's similarity_search_with_score
        return None if scored is None else {**scored, "score": as_float(item[1])}
    if isinstance(item, str):
        return {"content": item}
    if not isinstance(item, dict):
        return None
    held = item
    if "node" in item:
        held = {**as_dict(item["node"]), **{k: v for k, v in item.items() if k != "node"}}
    metadata = as_dict(held.get("metadata"))
    if DOCUMENT_KEYS.isdisjoint(held):
        return None
    document: dict[str, Any] = {}
    identity = _first(held, ID_KEYS) or _first(metadata, ID_KEYS)
    if identity is not None:
        document["id"] = as_text(identity)
    score = as_float(_first(held, SCORE_KEYS))
    score = as_float(_first(metadata, SCORE_KEYS)) if score is None else score
    if score is not None:
        document["score"] = score
    content = _first(held, CONTENT_KEYS)
    if content is not None:
        document["content"] = as_text(content)
    if metadata:
        document["metadata"] = metadata
    return document


def _first(held: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if held.get(key) is not None:
            return held[key]
    return None
