"""Retriever spans: the query and the documents, in whatever shape the store answers.

Source: the retrieval documents' schema of open-telemetry/semantic-conventions-genai; the documents of MLflow,
LangChain, LlamaIndex, Haystack, and what Chroma, Qdrant, Pinecone, Weaviate, Elasticsearch, Milvus, Bedrock's
knowledge bases and Vertex's RAG answer.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mlflow_otel.mapping import typed
from mlflow_otel.mapping.documents import document
from mlflow_otel.mapping.values import as_dict, as_text, present

QUERY_KEYS: Final = (
    "query",
    "query_str",
    "question",
    "query_bundle",
    "input",
    "text",
    "q",
    "search_query",
    "query_text",
    "search_text",
    "str_or_query_bundle",
    "retrievalQuery",
    "query_texts",
)
TOP_K_KEYS: Final = ("k", "top_k", "n_results", "limit", "similarity_top_k", "num_results")
LISTS: Final = (
    "documents",
    "nodes",
    "results",
    "hits",
    "matches",
    "points",
    "source_documents",
    "source_nodes",
    "docs",
    "objects",
    "retrievalResults",
    "contexts",
    "chunks",
    "passages",
    "items",
    "value",
    "data",
)
COLUMNS: Final = {
    "ids": "id",
    "texts": "content",
    "contents": "content",
    "scores": "score",
    "similarities": "score",
    "distances": "distance",
    "metadatas": "metadata",
    "metadata": "metadata",
    "metas": "metadata",
    "uris": "uri",
    "embeddings": "embedding",
    "data": "data",
    "titles": "title",
    "urls": "url",
    "sources": "source",
}
"""Lists that stand beside the documents, one item a document."""


class Found(NamedTuple):
    """What a retriever found.

    Args:
        documents: Each with ``id``, ``score``, ``content``, ``metadata`` as far as known, and all else
            that was said of it.
        rest: What the outputs say beside the documents, or None.
    """

    documents: list[dict[str, Any]]
    rest: Any = None


def query(inputs: Any) -> str | None:
    """Return the query's text, or None when the inputs name none."""
    if isinstance(inputs, str):
        return inputs
    held = present(as_dict(inputs))
    for key in QUERY_KEYS:
        value = held.get(key)
        if isinstance(value, dict):
            value = present(value)
            value = value.get("query_str", value.get("text"))
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str):
            return value
    texts = [value for value in held.values() if isinstance(value, str)]
    return texts[0] if len(held) == len(texts) == 1 else None


def top_k(inputs: Any) -> int | None:
    """Return how many documents were asked for."""
    held = as_dict(inputs)
    return next((n for key in TOP_K_KEYS if (n := typed.whole(held.get(key))) is not None), None)


def documents(outputs: Any) -> Found | None:
    """Return the documents, or None when the outputs are not understood in full."""
    if isinstance(outputs, list):
        if len(outputs) == 1 and isinstance(outputs[0], list):
            inner = _all(outputs[0])  # Milvus': a list for each query
            if inner is not None and all(isinstance(item, dict) for item in outputs[0]):
                return Found(inner)
        collected = _all(outputs)
        return None if collected is None else Found(collected)
    held = as_dict(outputs)
    for name in LISTS:  # Elasticsearch's and Vertex': {"hits": {"hits": […]}}
        nested = held.get(name)
        if isinstance(nested, dict):
            inside = documents(nested)
            if inside is None:
                return None
            rest = {k: v for k, v in held.items() if k != name and v is not None}
            return Found(
                inside.documents, {**rest, **({name: inside.rest} if inside.rest else {})} or None
            )
    columns = {key: held[key] for key in COLUMNS if isinstance(held.get(key), list)}
    for name in LISTS:
        listed = held.get(name)
        if not isinstance(listed, list):
            continue
        if name in columns:
            if not listed or not all(isinstance(item, dict) for item in listed):
                continue
            columns = {key: column for key, column in columns.items() if key != name}
        paired = _paired(listed, columns)
        collected = _all(listed) if paired is None else paired
        if collected is None:
            return None
        taken = {name, *(columns if paired is not None else ())}
        return Found(
            collected, {k: v for k, v in held.items() if k not in taken and v is not None} or None
        )
    listed = next((columns[key] for key in ("texts", "contents", "ids") if key in columns), None)
    if listed is None or len(columns) == 1:
        return None
    nothing = [[None] * len(item) if isinstance(item, list) else None for item in listed]
    collected = _paired(nothing, columns)
    if collected is None:
        return None
    return Found(
        collected, {k: v for k, v in held.items() if k not in columns and v is not None} or None
    )


def is_query_alone(inputs: Any) -> bool:
    """Tell whether inputs say the query and nothing else."""
    if isinstance(inputs, str):
        return True
    held = list(present(as_dict(inputs)).values())
    if len(held) == 1 and isinstance(held[0], dict):
        held = list(present(held[0]).values())
    return len(held) == 1 and isinstance(held[0], str)


def _paired(listed: list[Any], columns: dict[str, list[Any]]) -> list[dict[str, Any]] | None:
    """Return the documents with what stands beside them at the same place; None when they do not pair."""
    if not columns:
        return None
    if listed and all(isinstance(item, list) for item in listed):  # Chroma's: a list for each query
        collected = []
        for index, inner in enumerate(listed):
            beside = {}
            for key, column in columns.items():
                if len(column) != len(listed) or not isinstance(column[index], (list, type(None))):
                    return None
                if column[index] is not None:
                    beside[key] = column[index]
            made = _paired(inner, beside) if beside else _all(inner)
            if made is None:
                return None
            collected += made
        return collected
    if any(len(column) != len(listed) for column in columns.values()):
        return None
    collected = []
    for index, item in enumerate(listed):
        one = {} if item is None else document(item)
        if one is None:
            return None
        for key, column in columns.items():
            if not _put(one, COLUMNS[key], column[index]):
                return None
        collected.append(one)
    return collected


def _put(made: dict[str, Any], name: str, value: Any) -> bool:
    """Add a column's value to its document. Returns False when the document has another value there."""
    if value is None:
        return True
    if name == "id":
        value = as_text(value)
    elif name == "score":
        value = typed.double(value)
        if value is None:
            return False
    return bool(made.setdefault(name, value) == value)


def _all(items: list[Any]) -> list[dict[str, Any]] | None:
    collected = []
    for item in items:
        made = document(item)
        if made is None:
            return None
        collected.append(made)
    return collected
