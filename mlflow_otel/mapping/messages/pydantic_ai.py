"""Pydantic AI's requests and responses. Source: ``pydantic_ai.messages`` 2.31."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, as_text, without


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    messages = held.get("messages")
    if not isinstance(messages, list) or not all("parts" in as_dict(m) for m in messages):
        return None
    system: list[parts.Part] = []
    said: list[parts.Message] = []
    for item in messages:
        if isinstance(item.get("instructions"), str):
            system.append(parts.text(item["instructions"]))
        for part in map(as_dict, as_list(item["parts"])):
            kind = part.get("part_kind")
            if kind == "system-prompt":
                system.append(parts.text(part.get("content", "")))
                continue
            role = "assistant" if item.get("kind") == "response" else "user"
            role = (
                "tool"
                if kind in {"tool-return", "retry-prompt"} and part.get("tool_name")
                else role
            )
            if not said or said[-1]["role"] != role:
                said.append({"role": role, "parts": []})
            said[-1]["parts"] += _parts(part)
    answer = as_dict(outputs)
    reason = parts.finish_reason(answer.get("finish_reason"))
    replied = []
    if "parts" in answer:
        found = [new for part in as_list(answer["parts"]) for new in _parts(as_dict(part))]
        replied = [
            {"role": "assistant", "parts": found, **({"finish_reason": reason} if reason else {})}
        ]
    parameters = as_dict(held.get("model_request_parameters"))
    settings = as_dict(held.get("model_settings"))
    request: dict[str, Any] = {
        key: settings[key]
        for key in ("temperature", "top_p", "max_tokens", "seed")
        if key in settings
    }
    rest = without(held, "messages", "model_request_parameters", "model_settings")
    for name, value in (
        ("model_request_parameters", without(parameters, "function_tools")),
        ("model_settings", without(settings, *request)),
    ):
        if value:
            rest[name] = value
    identity = answer.get("provider_response_id")
    model = answer.get("model_name")
    return Conversation(
        system=_unique(system),
        inputs=said,
        outputs=replied,
        tools=parts.definitions(parameters.get("function_tools")),
        request=request,
        response_id=identity if isinstance(identity, str) else None,
        response_model=model if isinstance(model, str) else None,
        finish_reasons=[reason] if reason else [],
        rest_inputs=rest or None,
        rest_outputs=(
            without(
                answer,
                "parts",
                "usage",
                "model_name",
                "provider_response_id",
                "finish_reason",
                "kind",
            )
            or None
            if replied
            else outputs
        ),
    )


def _parts(part: dict[str, Any]) -> list[parts.Part]:
    kind = part.get("part_kind")
    content = part.get("content")
    if kind == "user-prompt":
        return [_content(item) for item in (content if isinstance(content, list) else [content])]
    if kind == "text":
        return [parts.text(content)]
    if kind == "thinking":
        return [parts.reasoning(content)]
    if kind in {"tool-call", "builtin-tool-call"}:
        return [parts.tool_call(part.get("tool_name"), part.get("args"), part.get("tool_call_id"))]
    if kind in {"tool-return", "builtin-tool-return", "retry-prompt"}:
        return [parts.tool_response(content, part.get("tool_call_id"))]
    return [{**part, "type": as_text(kind or "unknown")}]


def _content(item: Any) -> parts.Part:
    held = as_dict(item)
    kind = as_text(held.get("kind") or "")
    if kind.endswith("-url") and held.get("url"):
        return parts.media(held["url"], kind.removesuffix("-url"))
    if kind == "binary" and held.get("data"):
        mime = as_text(held.get("media_type") or "")
        return parts.media(held["data"], mime.partition("/")[0] or "document", mime or None)
    return parts.text(item) if not held else parts.typed(held)


def _unique(found: list[parts.Part]) -> list[parts.Part]:
    # Each request of a run repeats the run's instructions.
    return [part for index, part in enumerate(found) if part not in found[:index]]
