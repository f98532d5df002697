"""Amazon Bedrock's Converse API. Source: the API reference of ``Converse``."""

from __future__ import annotations

from typing import Any

from mlflow_otel.mapping.messages import chat, items, parts, sides
from mlflow_otel.mapping.messages.fields import Fields
from mlflow_otel.mapping.model import Answered, Asked


def request(inputs: Any) -> Asked | None:
    """Return the inputs' side, or None when they have no messages."""
    held = Fields(inputs)
    given = held.take_list("messages")
    if not given or not {dict, str}.issuperset(map(type, given)):
        return None
    held.take_text("modelId", "model")
    system = items.part_list(held.take("system"))
    return sides.asked(
        chat.talk(given), held, system=system, tools=sides.tools(held.inner("toolConfig"))
    )


def response(outputs: Any, inputs: Any) -> Answered | None:
    """Return the outputs' side, or None when they have no message."""
    del inputs
    held = Fields(outputs)
    output = held.inner("output")
    if not isinstance(output.get("message"), dict):
        return None
    made = chat.message(output.take("message"))
    reason = parts.finish_reason(held.take_text("stopReason"))
    if reason:
        made["finish_reason"] = reason
    side = sides.answered([made], held)
    request_id = Fields(outputs).inner("ResponseMetadata").take_text("RequestId")
    side.response_id = side.response_id or request_id
    return side
