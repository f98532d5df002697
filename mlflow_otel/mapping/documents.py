"""One document of a retriever's answer, whatever its store calls the fields.

Source: the retrieval documents' schema of open-telemetry/semantic-conventions-genai; the documents of MLflow,
LangChain, LlamaIndex, Haystack, and what Chroma, Qdrant, Pinecone, Weaviate, Elasticsearch, Milvus, Azure AI Search,
OpenAI's vector stores, Bedrock's knowledge bases and Vertex's RAG answer.
"""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

from mlflow_otel.mapping import typed
from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.values import as_text, present

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


def document(item: Any) -> dict[str, Any] | None:
    """Return a document with the convention's names, or None when the item is none."""
    if isinstance(item, str):
        return {"content": item}
    if isinstance(item, (list, tuple)):
        # LangChain's similarity_search_with_score
        score = typed.double(item[1]) if len(item) == 2 else None
        scored = None if score is None or isinstance(item[0], (list, tuple)) else document(item[0])
        return None if scored is None else {**scored, "score": score}
    if not isinstance(item, dict):
        return None
    held = present(item)
    said = held.get("content")
    if isinstance(said, dict) and isinstance(said.get("text"), str):  # Bedrock's knowledge bases
        beside = {key: value for key, value in said.items() if key != "text"}
        held = {**held, "content": said["text"]}
        if beside:
            _beside(held, "content", beside)
    if held.keys().isdisjoint(WRAPPERS):
        return _named(held)
    wrapper = next((key for key in WRAPPERS if isinstance(held.get(key), dict)), None)
    if wrapper is not None and not present(held[wrapper]).keys().isdisjoint(CONTENT_KEYS):
        inner = {**present(held[wrapper])}
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
    made: dict[str, Any] = {}
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
            made[role] = held[name]
    made["content"] = held[content]
    if about:
        made["metadata"] = about
    return made


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
    made: dict[str, Any] = {}
    identity = best["id"][2] if "id" in best else _inside(metadata, ID_KEYS, "id")
    if identity is not None:
        made["id"] = identity
    score = best["score"][2] if "score" in best else _inside(metadata, SCORE_KEYS, "score")
    if score is not None:
        made["score"] = score
    if "content" in best:
        made["content"] = best["content"][2]
    if metadata:
        made["metadata"] = metadata
    if len(held) > len(best):
        taken = {key for _, key, _ in best.values()}
        for key, value in held.items():
            if key not in taken:
                _beside(made, f"{key}_" if key in made or key in TYPED else key, value)
    return made


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
