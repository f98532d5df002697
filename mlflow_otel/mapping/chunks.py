"""Events that are the pieces of a stream, whichever of MLflow's integrations wrote them.

MLflow writes an event for each piece: ``mlflow.chunk.item.N`` for most libraries, ``new_token`` for
LangChain, and for Bedrock the piece's own name with the piece as ``json``. They say when a stream
began. What it answered is in the span's outputs, or is put there (``streams``).
"""

from __future__ import annotations

from typing import Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.model import EventView

LANGCHAIN: Final = "new_token"
BEDROCK: Final = frozenset({"json"})


def is_chunk(event: EventView, *, made_by_mlflow: bool) -> bool:
    """Tell whether an event is a piece of a stream."""
    if event.name.startswith(keys.CHUNK_EVENT_PREFIX):
        return True
    return made_by_mlflow and (event.name == LANGCHAIN or event.attributes.keys() == BEDROCK)
