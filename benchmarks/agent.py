"""What the measured agent does, as data: 8 spans, about 20 KB. Whoever is measured writes the same down.

Needs nothing but Python, so that peers run it in environments of their own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

_chance = random.Random(7)
_WORDS = [
    "".join(_chance.choices("aeinorstlcdmupé“", k=_chance.randint(2, 9))) for _ in range(3000)
]
CORPUS: Final = " ".join(_chance.choices(_WORDS, [1 / (n + 3) for n in range(3000)], k=100_000))
"""Words as unevenly spread as those of a language: gzip makes a third of it, as of prose."""
MODEL: Final = "gpt-4o-mini"
TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Look up {name} of an order by its number.",
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}},
        },
    }
    for name in ("status", "price", "address")
]
USED: Final = {"input_tokens": 812, "output_tokens": 143, "total_tokens": 955}
COST: Final = {"input_cost": 1e-4, "output_cost": 8e-5, "total_cost": 2e-4}
REQUEST: Final = "req-1"
SESSION: Final = "s-1"
USER: Final = "u-1"
TAGS: Final = {"environment": "production", "app_version": "1.2.0"}


@dataclass(frozen=True)
class Step:
    """A span.

    Args:
        name: Its name.
        kind: MLflow's span type.
        inputs: What went in.
        outputs: What came out.
        steps: What was done within it.
    """

    name: str
    kind: str
    inputs: Any
    outputs: Any
    steps: tuple[Step, ...] = ()


def text(size: int) -> str:
    """Return prose of ``size`` characters, each time another."""
    start = _chance.randrange(len(CORPUS) - size) if size < len(CORPUS) else 0
    return (CORPUS * (size // len(CORPUS) + 1))[start : start + size]


def chat(messages: list[dict[str, Any]], answer: dict[str, Any]) -> Step:
    """Return a call of a model as OpenAI's client has it."""
    choice = {"index": 0, "message": {"role": "assistant", **answer}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 812, "completion_tokens": 143, "total_tokens": 955}
    return Step(
        "Completions",
        "CHAT_MODEL",
        {"model": MODEL, "messages": list(messages), "tools": TOOLS, "temperature": 0.2},
        {
            "id": "chatcmpl-B1",
            "object": "chat.completion",
            "created": 1764000000,
            "model": f"{MODEL}-2024-07-18",
            "choices": [choice],
            "usage": usage,
        },
    )


def run(scale: float = 1.0) -> Step:
    """Return one run of the agent, about 20 KB of it at ``scale`` 1."""
    question, page = text(int(300 * scale)), text(int(900 * scale))
    documents = [
        {"page_content": page, "id": f"d-{i}", "metadata": {"doc_uri": f"help/{i}"}}
        for i in range(3)
    ]
    call = {"id": "call_1", "function": {"name": "status", "arguments": '{"order": 17}'}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": text(int(1200 * scale))},
        {"role": "user", "content": question},
    ]
    asked = chat(messages, {"content": None, "tool_calls": [{"type": "function", **call}]})
    found = {"order": 17, "state": "shipped", "note": text(int(400 * scale))}
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": text(int(400 * scale))},
    ]
    answer = text(int(900 * scale))
    return Step(
        "support_agent",
        "AGENT",
        {"question": question},
        {"answer": answer},
        (
            Step("plan", "CHAIN", {"question": question}, ["search", "status"]),
            Step("search_help", "RETRIEVER", {"query": question}, documents),
            asked,
            Step("status", "TOOL", {"order": 17}, found),
            chat(messages, {"content": answer}),
            Step("guard", "GUARDRAIL", {"answer": answer}, {"safe": True}),
            Step("format", "PARSER", answer, {"answer": answer}),
        ),
    )
