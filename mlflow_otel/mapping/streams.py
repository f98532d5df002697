"""The answer of a stream, put together from its pieces where the span's outputs lack it.

MLflow puts most streams together itself. Three it does not, or not in full. Of OpenAI's chat
completions it keeps the text of the first choice: calls of tools, reasoning and further choices are
in the pieces alone. Of Bedrock's ConverseStream it keeps the text and the last call of a tool. Of
InvokeModelWithResponseStream it keeps nothing.

Sources: the API references of OpenAI (``chat.completion.chunk``), Anthropic (streamed Messages) and
Bedrock (``ConverseStream``); Bedrock's user guide on the bodies of each maker's models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.model import EventView
from mlflow_otel.mapping.values import as_dict, as_list, decode, decode_nested

CHUNK_VALUE: Final = "mlflow.chunk.value"
UNREAD: Final = "EventStream"
"""What MLflow writes as the body of an InvokeModel call whose answer streams."""

Object = dict[str, Any]

TEXTS: Final = frozenset(
    {
        "arguments",
        "completion",
        "content",
        "data",
        "generated_text",
        "generation",
        "input",
        "outputText",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "response",
        "signature",
        "text",
        "thinking",
        "transcript",
    }
)
"""Fields whose text arrives in pieces. Of any other field the last value counts."""
PLACED: Final = frozenset(
    {"choices", "completions", "generations", "outputs", "results", "tool_calls"}
)
"""Lists whose items arrive in pieces, each with its ``index`` or at its place."""


def completed(outputs: Any, events: Sequence[EventView]) -> Any:
    """Return a call's outputs, completed from the pieces of its stream.

    Args:
        outputs: As MLflow wrote them.
        events: All of the span's; where the SDK dropped some, the pieces make no whole.

    Returns:
        ``outputs`` itself where the pieces add nothing.
    """
    if not isinstance(outputs, dict):
        return outputs
    if is_unread(outputs):
        body = _body([decode(e.attributes["json"]) for e in events if "json" in e.attributes])
        return outputs if body is None else {**outputs, "body": body}
    if outputs.get("object") == "chat.completion":
        return _with_choices(outputs, events)
    if isinstance(outputs.get("output"), dict):
        pieces = [{e.name: decode(e.attributes.get("json"))} for e in events if e.name in CONVERSE]
        return {**outputs, **_conversed(pieces)} if pieces else outputs
    return outputs


def is_unread(outputs: Any) -> bool:
    """Tell whether outputs lack the answer of a streamed InvokeModel call."""
    return isinstance(outputs, dict) and outputs.get("body") == UNREAD


def _body(pieces: list[Any]) -> Object | None:
    """Return the body of an InvokeModel call, as the call without a stream would have it."""
    if not pieces or not all(isinstance(piece, dict) for piece in pieces):
        return None
    if any(piece.get("type") == "message_start" for piece in pieces):
        return _message(pieces)
    if any(not CONVERSE.isdisjoint(piece) for piece in pieces):
        return _conversed(pieces)
    body: Object = {}
    for piece in pieces:
        join(body, piece)
    return body


def join(held: Object, piece: Object) -> None:
    """Add the next piece of a stream. Texts are joined. Of any other field the last value is kept."""
    for key, value in piece.items():
        before = held.get(key)
        if value is None or (value == "" and before is not None):
            continue  # says nothing: some servers repeat a call's name as an empty text
        if key in PLACED and isinstance(value, list):
            place = held[key] = before if isinstance(before, list) else []
            _join_items(place, value)
        elif isinstance(value, dict):
            inner = held[key] = before if isinstance(before, dict) else {}
            join(inner, value)
        elif isinstance(value, str) and isinstance(before, str) and key in TEXTS:
            held[key] = before + value
        elif isinstance(value, list) and isinstance(before, list):
            held[key] = [*before, *value]
        else:
            held[key] = value


def _join_items(held: list[Any], items: list[Any]) -> None:
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            held.append(item)
            continue
        index = item.get("index")
        known = (one for one in held if isinstance(one, dict) and one.get("index") == index)
        twin = next(known, None) if index is not None else None
        if index is None and place < len(held) and isinstance(held[place], dict):
            twin = held[place]
        if twin is None:
            twin = {}
            held.append(twin)
        join(twin, item)


# Anthropic's messages


def _message(pieces: list[Object]) -> Object:
    """Return the message that Anthropic's events make up."""
    body: Object = {}
    blocks: dict[Any, Object] = {}
    for piece in pieces:
        kind = piece.get("type")
        beside = {k: v for k, v in piece.items() if k not in SAID}
        if kind == "message_start":
            join(body, as_dict(piece.get("message")))
        elif kind == "content_block_start":
            blocks[piece.get("index")] = dict(as_dict(piece.get("content_block")))
        elif kind == "content_block_delta":
            _add_delta(blocks.setdefault(piece.get("index"), {}), as_dict(piece.get("delta")))
        elif kind == "message_delta":
            join(body, as_dict(piece.get("delta")))
        elif kind not in SILENT:
            beside = piece if kind is None else {f"{kind}": {**piece}}
        join(body, beside)
    body["content"] = [_whole(block) for block in blocks.values()]
    return body


SAID: Final = frozenset({"type", "index", "message", "content_block", "delta"})
"""Fields of an event that are put in their place."""
SILENT: Final = frozenset({"ping", "content_block_stop", "message_stop"})


def _add_delta(block: Object, delta: Object) -> None:
    if "citation" in delta:
        cited = block.get("citations")
        block["citations"] = [*as_list(cited), delta["citation"]]
    join(block, {k: v for k, v in delta.items() if k not in {"type", "citation"}})


def _whole(block: Object) -> Object:
    written = block.pop("partial_json", None)
    if isinstance(written, str) and written:
        block["input"] = decode_nested(written)
    return block


# Bedrock's ConverseStream, and Nova's bodies

CONVERSE: Final = frozenset(
    {
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    }
)


def _conversed(pieces: Iterable[Object]) -> Object:
    """Return the answer in the form that ``Converse`` gives it."""
    message: Object = {"role": "assistant"}
    blocks: dict[Any, Object] = {}
    body: Object = {}
    for piece in pieces:
        for name, said in piece.items():
            held = as_dict(said)
            block = blocks.setdefault(held.get("contentBlockIndex"), {}) if name in BLOCK else {}
            if name == "messageStart":
                join(message, held)
            elif name == "contentBlockStart":
                join(block, as_dict(held.get("start")))
            elif name == "contentBlockDelta":
                _add_part(block, as_dict(held.get("delta")))
            elif name in {"messageStop", "metadata"}:
                join(body, held)
            elif name not in CONVERSE:
                join(body, {name: said})
    message["content"] = [_converse_block(block) for block in blocks.values() if block]
    return {**body, "output": {"message": message}}


BLOCK: Final = frozenset({"contentBlockStart", "contentBlockDelta"})


def _add_part(block: Object, delta: Object) -> None:
    if "citation" in delta:
        block["citations"] = [*as_list(block.get("citations")), delta["citation"]]
    join(block, {key: value for key, value in delta.items() if key != "citation"})


def _converse_block(block: Object) -> Object:
    """Return a block in the form that it has outside a stream."""
    use = block.get("toolUse")
    if isinstance(use, dict):
        return {**block, "toolUse": {**use, "input": decode_nested(use.get("input", ""))}}
    thought = block.get("reasoningContent")
    if isinstance(thought, dict) and not {"text", "signature"}.isdisjoint(thought):
        text = {key: thought[key] for key in ("text", "signature") if key in thought}
        beside = {key: value for key, value in thought.items() if key not in text}
        return {**block, "reasoningContent": {"reasoningText": text, **beside}}
    if "citations" in block and isinstance(block.get("text"), str):
        beside = {key: value for key, value in block.items() if key not in {"text", "citations"}}
        cited = {"content": [{"text": block["text"]}], "citations": block["citations"]}
        return {**beside, "citationsContent": cited}
    return block


# OpenAI's chat completions


def _with_choices(outputs: Object, events: Sequence[EventView]) -> Object:
    """Return a completion, completed from its chunks: calls, reasoning, further choices."""
    streamed: Object = {}
    for event in events:
        if event.name.startswith(keys.CHUNK_EVENT_PREFIX):
            join(streamed, as_dict(decode(event.attributes.get(CHUNK_VALUE))))
    given = [as_dict(choice) for choice in as_list(outputs.get("choices"))]
    known = {choice.get("index", place): choice for place, choice in enumerate(given)}
    more = [c for c in as_list(streamed.get("choices")) if isinstance(c, dict) and "delta" in c]
    for choice in more:
        place = choice.get("index")
        if isinstance(place, int):
            known[place] = _with_delta(known.get(place, {}), choice)
    said = list(known.values())
    completion = {**outputs, "choices": said} if said != given else outputs
    if completion.get("usage") is None and isinstance(streamed.get("usage"), dict):
        completion = {**completion, "usage": streamed["usage"]}
    return completion


def _with_delta(choice: Object, streamed: Object) -> Object:
    """Return a choice, completed from its chunks. Where both have a field, the choice's own value is kept."""
    delta = dict(as_dict(streamed.get("delta")))
    if isinstance(delta.get("tool_calls"), list):
        delta["tool_calls"] = _calls(delta["tool_calls"])
    message = as_dict(choice.get("message"))
    added = {key: value for key, value in delta.items() if value and not message.get(key)}
    if not added and "message" in choice:
        whole = choice
    else:
        whole = {**choice, "message": {**message, **added}}
    beside = {
        key: value
        for key, value in streamed.items()
        if key != "delta" and (key == "finish_reason" or choice.get(key) is None)
    }
    return {**whole, **beside}


def _calls(streamed: list[Any]) -> list[Object]:
    calls = [c for c in streamed if isinstance(c, dict) and isinstance(c.get("index"), int)]
    calls.sort(key=lambda call: call["index"])
    return [{key: value for key, value in call.items() if key != "index"} for call in calls]
