"""Embeddings: how they are recognised, their texts and their vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlflow_otel.mapping.values import as_dict, as_list, present

LISTS: Final = ("data", "embeddings", "predictions", "embeddingsByType")
VECTORS: Final = ("embedding", "values", "vector")
TEXTS: Final = ("input", "texts", "inputText", "contents", "content", "text", "inputs", "messages")


def are_in(outputs: Any) -> bool:
    """Tell whether a call's outputs are embeddings: vectors of numbers, and nothing that was said."""
    held = as_dict(outputs)
    if not held or held.get("choices") is not None:
        return False
    return next(vectors(held), None) is not None or any(
        as_dict(item).get("object") == "embedding" for item in as_list(held.get("data"))[:1]
    )


def vectors(outputs: Any) -> Iterator[list[Any]]:
    """Yield the vectors of an embedding's outputs: OpenAI's, Gemini's, Cohere's, Titan's shapes."""
    if isinstance(outputs, list):
        if _is_vector(outputs):
            yield outputs
        else:
            for item in outputs:
                yield from (vector for vector in [_vector(item)] if vector is not None)
        return
    held = as_dict(outputs)
    one = _vector(held)
    if one is not None:
        yield one
    for name in LISTS:
        items = held.get(name)
        if isinstance(items, dict):  # by type: {"float": [[…]]}
            items = next((kind for kind in items.values() if isinstance(kind, list)), None)
        for item in as_list(items):
            vector = _vector(item)
            if vector is not None:
                yield vector


def texts(inputs: Any) -> list[Any]:
    """Return the texts that were embedded."""
    if isinstance(inputs, str):
        return [inputs]
    held = as_dict(inputs)
    given = next((held[name] for name in TEXTS if held.get(name)), None)
    items = [given] if isinstance(given, str) else as_list(given)
    return [_text(item) for item in items]


def _text(item: Any) -> Any:
    held = present(as_dict(item))
    return held.get("content", held.get("text", item))


def _vector(item: Any) -> list[Any] | None:
    if isinstance(item, dict):
        item = next((item[name] for name in VECTORS if isinstance(item.get(name), list)), None)
    return item if _is_vector(item) else None


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and type(value[0]) in {float, int}
