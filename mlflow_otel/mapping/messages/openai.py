"""OpenAI's chat completions, and the many libraries that speak it.

Groq, Mistral, LiteLLM, LangChain (MLflow writes its messages so), CrewAI, AG2, DSPy's LM and
smolagents. Source: the API reference of ``/v1/chat/completions``.
"""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.model import Conversation
from mlflow_otel.mapping.values import as_dict, as_list, without

REQUEST: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop": "stop_sequences",
    "stop_sequences": "stop_sequences",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "random_seed": "seed",
    "n": "choice.count",
    "stream": "stream",
}
"""Request parameters to what follows ``gen_ai.request.``; all of OpenAI's and its kin's."""

PLAIN: Final = {"role", "content"}
KNOWN: Final = {
    "role", "content", "tool_calls", "function_call", "tool_call_id", "refusal", "reasoning",
    "reasoning_content", "audio", "parts", "finish_reason",
}  # fmt: skip
SYSTEM_ROLES: Final = frozenset({"system", "developer"})


def request_parameters(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return ``gen_ai.request.*`` values by the name behind the prefix."""
    found: dict[str, Any] = {}
    for key, value in inputs.items():
        name = REQUEST.get(key)
        if name is not None and isinstance(value, (str, int, float, list)):
            found[name] = [value] if name == "stop_sequences" and isinstance(value, str) else value
    return found


def convert(inputs: Any, outputs: Any) -> Conversation | None:
    """Return the conversation, or None when neither side has this shape."""
    held = as_dict(inputs)
    messages = held.get("messages")
    batch = as_list(messages)
    if len(batch) == 1 and isinstance(batch[0], list):  # LangChain's batches of one
        messages = batch[0]
    if isinstance(inputs, list) and inputs and all(_is_message(item) for item in inputs):
        messages, held = inputs, {}
    if not isinstance(messages, list) or not {dict}.issuperset(map(type, messages)):
        return None
    system: list[parts.Message] = []
    said: list[parts.Message] = []
    for index, item in enumerate(messages):
        converted = message(item)
        # Only the leading ones are instructions; one later in the talk keeps its place there.
        if converted["role"] in SYSTEM_ROLES and len(system) == index:
            system.append(converted)
        else:
            said.append(converted)
    answer = _outputs(outputs)
    rest = without(held, "messages", "model", "tools", *REQUEST)
    return Conversation(
        system=[part for item in system for part in item["parts"]],
        inputs=said,
        outputs=answer.outputs,
        tools=parts.definitions(held.get("tools")),
        request=request_parameters(held),
        response_id=answer.response_id,
        response_model=answer.response_model,
        finish_reasons=answer.finish_reasons,
        rest_inputs=rest or None,
        rest_outputs=answer.rest_outputs,
    )


def message(item: dict[str, Any]) -> parts.Message:
    """Return one message of a request or a choice."""
    role = item.get("role")
    role = role if isinstance(role, str) and role else "user"
    content = item.get("content")
    if item.keys() == PLAIN and role != "tool":  # most messages are a role and a text
        return {"role": role, "parts": parts.typed_list(content)}
    if role == "tool" or item.get("tool_call_id"):
        answered = parts.tool_response(parts.joined_text(content), item.get("tool_call_id"))
        return {"role": "tool", "parts": [answered], **_extra(item)}
    thoughts = (item.get("reasoning_content"), item.get("reasoning"))
    found = [parts.reasoning(said) for said in thoughts if said and isinstance(said, str)]
    found += parts.typed_list(content)
    if item.get("refusal"):
        found.append({"type": "refusal", "content": item["refusal"]})
    calls = as_list(item.get("tool_calls"))
    if isinstance(item.get("function_call"), dict):
        calls = [*calls, {"function": item["function_call"]}]
    for call in calls:
        held = as_dict(as_dict(call).get("function")) or as_dict(call)
        arguments = held.get("arguments", held.get("args"))
        found.append(parts.tool_call(held.get("name"), arguments, as_dict(call).get("id")))
    if isinstance(item.get("audio"), dict) and item["audio"].get("data"):
        found.append(parts.media(item["audio"]["data"], "audio"))
    return {"role": role, "parts": found, **_extra(item)}


def _extra(item: dict[str, Any]) -> dict[str, Any]:
    return without(item, *KNOWN) if item.keys() - KNOWN else {}


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and "role" in item and ("content" in item or "tool_calls" in item)


def _outputs(outputs: Any) -> Conversation:
    if isinstance(outputs, str):
        return Conversation(outputs=[{"role": "assistant", "parts": [parts.text(outputs)]}])
    if isinstance(outputs, list) and outputs and all(isinstance(item, str) for item in outputs):
        said = [{"role": "assistant", "parts": [parts.text(item)]} for item in outputs]
        return Conversation(outputs=said)  # DSPy's LM
    held = as_dict(outputs)
    if _is_message(outputs):
        return Conversation(outputs=[message(held)])
    choices = as_list(held.get("choices"))
    if not choices:
        return Conversation(rest_outputs=outputs)
    said = []
    reasons = []
    for choice in map(as_dict, choices):
        reason = parts.finish_reason(choice.get("finish_reason"))
        answer = choice.get("message", choice.get("delta"))
        if isinstance(answer, dict):
            answer = message({"role": "assistant", **without(answer)})
        else:
            answer = {"role": "assistant", "parts": parts.typed_list(choice.get("text"))}
        if reason:
            reasons.append(reason)
            answer["finish_reason"] = reason
        said.append(answer)
    return Conversation(
        outputs=said,
        response_id=_text_or_none(held.get("id")),
        response_model=_text_or_none(held.get("model")),
        finish_reasons=reasons,
        rest_outputs=without(held, "id", "model", "choices", "usage", "object") or None,
    )


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
