"""Events that are the pieces of a stream, whichever of MLflow's integrations wrote them.

MLflow writes an event for each piece: ``mlflow.chunk.item.N`` for most libraries, ``new_token`` for
LangChain, and for Bedrock the piece's own name with the piece as ``json``. They say when a stream
began. Its answer is in the span's outputs, but for two things that stand in the events alone: tool
calls that OpenAI's chat completions stream, and what Bedrock's InvokeModel streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.model import EventView, SpanView
from mlflow_otel.mapping.values import as_dict, as_list, decode

LANGCHAIN: Final = "new_token"
BEDROCK: Final = frozenset({"json"})
CHUNK_VALUE: Final = "mlflow.chunk.value"
UNREAD: Final = '"EventStream"'
"""What MLflow writes as the body of an InvokeModel whose answer streams."""
PIECES: Final = frozenset({"arguments", "input"})
"""Fields of a call that arrive in pieces."""


def is_chunk(event: EventView, *, made_by_mlflow: bool) -> bool:
    """Tell whether an event is a piece of a stream."""
    if event.name.startswith(keys.CHUNK_EVENT_PREFIX):
        return True
    return made_by_mlflow and (event.name == LANGCHAIN or event.attributes.keys() == BEDROCK)


def stand_alone(view: SpanView) -> bool:
    """Tell whether a span's answer is in its events alone, so that they must leave."""
    return UNREAD in str(view.attributes.get(keys.SPAN_OUTPUTS, ""))


def completed(outputs: Any, events: Sequence[EventView]) -> Any:
    """Return a streamed chat completion with the tool calls that its chunks have and it has not.

    Args:
        outputs: What MLflow put together of the chunks: its texts alone.
        events: The span's.

    Returns:
        ``outputs`` itself when it says something, or no chunk has a call.
    """
    if not events or not isinstance(outputs, dict) or outputs.get("object") != "chat.completion":
        return outputs
    choices = [as_dict(choice) for choice in as_list(outputs.get("choices"))]
    if not choices or any(_says_something(choice) for choice in choices):
        return outputs
    calls, reasons = _streamed(events)
    if not calls:
        return outputs
    found = []
    for index, choice in enumerate(choices):
        place = choice.get("index", index)
        made = [call for (of, _), call in sorted(calls.items()) if of == place]
        message = {**as_dict(choice.get("message")), "tool_calls": made}
        reason = reasons.get(place, choice.get("finish_reason"))
        found.append({**choice, "message": message, "finish_reason": reason} if made else choice)
    return {**outputs, "choices": found}


def _says_something(choice: dict[str, Any]) -> bool:
    message = as_dict(choice.get("message"))
    return any(message.get(key) for key in ("content", "tool_calls", "function_call", "refusal"))


def _streamed(
    events: Iterable[EventView],
) -> tuple[dict[tuple[int, int], dict[str, Any]], dict[int, Any]]:
    """Return the calls by (choice, place) and the finish reasons by choice."""
    calls: dict[tuple[int, int], dict[str, Any]] = {}
    reasons: dict[int, Any] = {}
    for event in events:
        if not event.name.startswith(keys.CHUNK_EVENT_PREFIX):
            continue
        chunk = as_dict(decode(event.attributes.get(CHUNK_VALUE)))
        for choice in map(as_dict, as_list(chunk.get("choices"))):
            of = choice.get("index")
            if not isinstance(of, int):
                continue
            if choice.get("finish_reason"):
                reasons[of] = choice["finish_reason"]
            for piece in map(as_dict, as_list(as_dict(choice.get("delta")).get("tool_calls"))):
                place = piece.get("index")
                if isinstance(place, int):
                    _join(calls.setdefault((of, place), {}), piece)
    return calls, reasons


def _join(call: dict[str, Any], piece: dict[str, Any]) -> None:
    for key, value in piece.items():
        held = call.get(key)
        if value is None or key == "index":
            continue
        if isinstance(value, dict) and isinstance(held, dict):
            _join(held, value)
        elif key in PIECES and isinstance(value, str) and isinstance(held, str):
            call[key] = held + value
        elif held is None:
            call[key] = dict(value) if isinstance(value, dict) else value
