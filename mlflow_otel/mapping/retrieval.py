"""Retriever spans: the query and the documents, whatever the store calls their parts.

Source: the retrieval documents' schema of open-telemetry/semantic-conventions-genai; the documents of MLflow,
LangChain, LlamaIndex, Haystack, and what Chroma, Qdrant, Pinecone, Weaviate, Elasticsearch, Milvus, Bedrock's
knowledge bases and Vertex's RAG answer.
"""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

from mlflow_otel.mapping import typed
from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.values import as_dict, as_text

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
SHORT_TEXTS: Final = ("chunk", "passage", "long_text")
CONTENT_KEYS: Final = (
    "page_content",
    "content",
    "text",
    "body",
    "snippet",
    "document",
    *SHORT_TEXTS,
)
ID_KEYS: Final = (
    "id",
    "doc_id",
    "id_",
    "doc_uri",
    "document_id",
    "_id",
    "uuid",
    "chunk_id",
    "pid",
    "file_id",
)
SCORE_KEYS: Final = (
    "score",
    "similarity",
    "relevance_score",
    "similarity_score",
    "_score",
    "@search.score",
)
METADATA_KEYS: Final = ("metadata", "meta", "payload")
WRAPPERS: Final = ("node", "document", "payload", "_source", "entity", "properties")
"""What may hold a document's content beside its score."""

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
    held = as_dict(inputs)
    for key in QUERY_KEYS:
        value = held.get(key)
        if isinstance(value, dict):
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
    held = [value for value in as_dict(inputs).values() if value is not None]
    if len(held) == 1 and isinstance(held[0], dict):
        held = [value for value in held[0].values() if value is not None]
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
        document = {} if item is None else _document(item)
        if document is None:
            return None
        for key, column in columns.items():
            if not _put(document, COLUMNS[key], column[index]):
                return None
        collected.append(document)
    return collected


def _put(document: dict[str, Any], name: str, value: Any) -> bool:
    """Add a column's value to its document. Returns False when the document has another value there."""
    if value is None:
        return True
    if name == "id":
        value = as_text(value)
    elif name == "score":
        value = typed.double(value)
        if value is None:
            return False
    return bool(document.setdefault(name, value) == value)


def _all(items: list[Any]) -> list[dict[str, Any]] | None:
    collected = []
    for item in items:
        document = _document(item)
        if document is None:
            return None
        collected.append(document)
    return collected


def _document(item: Any) -> dict[str, Any] | None:
    if isinstance(item, str):
        return {"content": item}
    if isinstance(item, (list, tuple)):
        # LangChain's similarity_search_with_score
        score = typed.double(item[1]) if len(item) == 2 else None
        scored = None if score is None or isinstance(item[0], (list, tuple)) else _document(item[0])
        return None if scored is None else {**scored, "score": score}
    if not isinstance(item, dict):
        return None
    held = item
    if None in item.values():
        held = {key: value for key, value in item.items() if value is not None}
    said = held.get("content")
    if isinstance(said, dict) and isinstance(said.get("text"), str):  # Bedrock's knowledge bases
        beside = {key: value for key, value in said.items() if key != "text"}
        held = {**held, "content": said["text"]}
        if beside:
            _beside(held, "content", beside)
    if held.keys().isdisjoint(WRAPPERS):
        return _named(held)
    wrapper = next((key for key in WRAPPERS if isinstance(held.get(key), dict)), None)
    if wrapper is not None and not held[wrapper].keys().isdisjoint(CONTENT_KEYS):
        inner = {key: value for key, value in held[wrapper].items() if value is not None}
        outer = {key: value for key, value in held.items() if key != wrapper}
        held = inner
        for key, value in outer.items():
            _beside(held, key, value)
    return _named(held)


def _beside(held: dict[str, Any], key: str, value: Any) -> None:
    """Add a field. If its name is taken by another value, underscores are added to the name."""
    while key in held and held[key] != value:
        key += "_"
    held[key] = value


TEXTS_ALONE: Final = frozenset({"document", *SHORT_TEXTS})
"""Names of a content only where the value is text."""
TYPED: Final = frozenset({"id", "score"})
"""Names that the convention's schema gives a type. A value of another type gets another name."""
ROLES: Final = {
    name: (role, rank)
    for role, names in (
        ("content", CONTENT_KEYS),
        ("id", ID_KEYS),
        ("score", SCORE_KEYS),
        ("metadata", METADATA_KEYS),
    )
    for rank, name in enumerate(names)
}
"""The role of each field name, and its rank among the names of that role."""


class Plan(NamedTuple):
    """Which of a document's field names has which role.

    Args:
        content: The content's name, or None.
        identity: The ID's.
        score: The score's.
        metadata: The metadata's.
        others: The names of all else.
    """

    content: str | None
    identity: str | None
    score: str | None
    metadata: str | None
    others: tuple[str, ...]


@functools.lru_cache(maxsize=256)
def _plan(names: tuple[str, ...]) -> Plan:
    best: dict[str, str] = {}
    for name in sorted(ROLES.keys() & set(names), key=lambda name: ROLES[name][1]):
        best.setdefault(ROLES[name][0], name)
    taken = set(best.values())
    return Plan(
        best.get("content"),
        best.get("id"),
        best.get("score"),
        best.get("metadata"),
        tuple(name for name in names if name not in taken),
    )


def _usual(held: dict[str, Any]) -> dict[str, Any] | None:
    """Return a document with the convention's names, or None when a field is not of the usual type."""
    content, identity, score, metadata, others = _plan(tuple(held))
    about = held[metadata] if metadata is not None else {}
    if content is None or type(held[content]) is not str or type(about) is not dict or others:
        return None
    document: dict[str, Any] = {}
    for role, name, kind, inside in (
        ("id", identity, str, ID_KEYS),
        ("score", score, float, SCORE_KEYS),
    ):
        if name is None:
            if not about.keys().isdisjoint(inside):
                return None
        elif type(held[name]) is not kind or held[name] != held[name]:
            return None
        else:
            document[role] = held[name]
    document["content"] = held[content]
    if about:
        document["metadata"] = about
    return document


def _named(held: dict[str, Any]) -> dict[str, Any] | None:
    """Return a document with the convention's names, and all else under its own."""
    usual = _usual(held)
    if usual is not None:
        return usual
    best: dict[str, tuple[int, str, Any]] = {}
    for key, value in held.items():
        place = ROLES.get(key)
        if place is not None and not (key in TEXTS_ALONE and not isinstance(value, str)):
            role, rank = place
            said = _as_role(role, value)
            if said is not None and (role not in best or rank < best[role][0]):
                best[role] = rank, key, said
    if "content" not in best and "id" not in best:
        return None
    metadata = best["metadata"][2] if "metadata" in best else None
    document: dict[str, Any] = {}
    identity = best["id"][2] if "id" in best else _inside(metadata, ID_KEYS, "id")
    if identity is not None:
        document["id"] = identity
    score = best["score"][2] if "score" in best else _inside(metadata, SCORE_KEYS, "score")
    if score is not None:
        document["score"] = score
    if "content" in best:
        document["content"] = best["content"][2]
    if metadata:
        document["metadata"] = metadata
    if len(held) > len(best):
        taken = {key for _, key, _ in best.values()}
        for key, value in held.items():
            if key not in taken:
                _beside(document, f"{key}_" if key in document or key in TYPED else key, value)
    return document


def _as_role(role: str, value: Any) -> Any:
    """Return a value as its role needs it, or None when it cannot be that."""
    if role == "content":
        return as_text(parts.joined_text(value))
    if role == "id":
        known = isinstance(value, (str, int)) and not isinstance(value, bool)
        return as_text(value) if known else None
    if role == "score":
        return typed.double(value)
    return value if isinstance(value, (dict, list)) else None


def _inside(metadata: Any, names: tuple[str, ...], role: str) -> Any:
    if not isinstance(metadata, dict) or metadata.keys().isdisjoint(names):
        return None
    return next((s for n in names if (s := _as_role(role, metadata.get(n))) is not None), None)
