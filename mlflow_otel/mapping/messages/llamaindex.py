"""LlamaIndex's chat messages, which are lists of blocks. Source: ``llama-index-core`` 0.14."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import openai, parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, without


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    kwargs = as_dict(held.get("kwargs"))
    messages = held.get("messages")
    if isinstance(messages, list):
        said = [_message(as_dict(item)) for item in messages]
    elif isinstance(held.get("args"), list) and held["args"] and isinstance(held["args"][0], str):
        said = [{"role": "user", "parts": [parts.text(held["args"][0])]}]  # complete(prompt)
        held = {**held, "args": held["args"][1:]}
    else:
        return None
    answer = as_dict(outputs)
    if isinstance(answer.get("message"), dict):
        replied = [_message(answer["message"])]
    elif isinstance(answer.get("text"), str):
        replied = [{"role": "assistant", "parts": [parts.text(answer["text"])]}]
    else:
        return None if outputs is not None else Conversation(inputs=said)
    raw = as_dict(answer.get("raw"))
    reasons = [
        parts.finish_reason(as_dict(c).get("finish_reason")) for c in as_list(raw.get("choices"))
    ]
    finish = [reason for reason in reasons if reason]
    for reply, reason in zip(replied, finish, strict=False):
        reply["finish_reason"] = reason
    rest_kwargs = without(kwargs, "tools", *openai.REQUEST)
    rest = without(held, "messages", "kwargs")
    if rest_kwargs:
        rest["kwargs"] = rest_kwargs
    return Conversation(
        system=[part for m in said if m["role"] == "system" for part in m["parts"]],
        inputs=[m for m in said if m["role"] != "system"],
        outputs=replied,
        tools=parts.definitions(kwargs.get("tools")),
        request=openai.request_parameters(kwargs),
        response_id=raw.get("id") if isinstance(raw.get("id"), str) else None,
        response_model=raw.get("model") if isinstance(raw.get("model"), str) else None,
        finish_reasons=finish,
        rest_inputs=rest or None,
        # `raw` repeats the message in the provider's own form.
        rest_outputs=without(answer, "message", "text", "raw") or None,
    )


def _message(item: dict[str, Any]) -> parts.Message:
    if "blocks" not in item:
        return openai.message(item)
    extra = as_dict(item.get("additional_kwargs"))
    found = [_block(as_dict(block)) for block in as_list(item["blocks"])]
    role = item.get("role") or "user"
    if role == "tool":
        answer = "\n".join(str(part.get("content", "")) for part in found)
        return {"role": role, "parts": [parts.tool_response(answer, extra.get("tool_call_id"))]}
    if not any(part["type"] == "tool_call" for part in found):
        found += openai.message({"tool_calls": extra.get("tool_calls")})["parts"]
    return {"role": role, "parts": found}


def _block(block: dict[str, Any]) -> parts.Part:
    kind = block.get("block_type")
    if kind == "text":
        return parts.text(block.get("text", ""))
    if kind == "thinking":
        return parts.reasoning(block.get("content", ""))
    if kind == "tool_call":
        name, arguments = block.get("tool_name"), block.get("tool_kwargs")
        return parts.tool_call(name, arguments, block.get("tool_call_id"))
    if kind in {"image", "audio", "video", "document"}:
        source = block.get("url") or block.get(kind) or block.get("data")
        if source:
            mime = block.get(f"{kind}_mimetype")
            return parts.media(source, kind, mime if isinstance(mime, str) else None)
    return {**block, "type": kind if isinstance(kind, str) else "unknown"}
