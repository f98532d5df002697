"""The spans that are measured: an agent's trace of 8 spans and 20 KB, made by MLflow Tracing itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Final

import mlflow
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import mlflow_otel
from mlflow_otel import Settings
from mlflow_otel.export.mapped import MappedSpan

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


def text(size: int) -> str:
    """Return prose of ``size`` characters, each time another."""
    start = _chance.randrange(len(CORPUS) - size) if size < len(CORPUS) else 0
    return (CORPUS * (size // len(CORPUS) + 1))[start : start + size]


def chat(messages: list[dict[str, Any]], answer: dict[str, Any]) -> None:
    """Make a chat span as MLflow's autologging of OpenAI does."""
    with mlflow.start_span("Completions", span_type="CHAT_MODEL") as span:
        span.set_inputs({"model": MODEL, "messages": messages, "tools": TOOLS, "temperature": 0.2})
        choice = {"index": 0, "message": {"role": "assistant", **answer}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 812, "completion_tokens": 143, "total_tokens": 955}
        span.set_outputs(
            {
                "id": "chatcmpl-B1",
                "object": "chat.completion",
                "created": 1764000000,
                "model": f"{MODEL}-2024-07-18",
                "choices": [choice],
                "usage": usage,
            }
        )
        span.set_attributes(
            {
                "mlflow.message.format": "openai",
                "mlflow.llm.model": MODEL,
                "mlflow.llm.provider": "openai",
                "mlflow.chat.tools": TOOLS,
                "mlflow.chat.tokenUsage": {
                    "input_tokens": 812,
                    "output_tokens": 143,
                    "total_tokens": 955,
                },
                "mlflow.llm.cost": {"input_cost": 1e-4, "output_cost": 8e-5, "total_cost": 2e-4},
            }
        )


def agent_trace(scale: float = 1.0) -> None:
    """Run the agent once: 8 spans, about 20 KB of attributes at ``scale`` 1."""
    question = text(int(300 * scale))
    with mlflow.start_span("support_agent", span_type="AGENT") as root:
        root.set_inputs({"question": question})
        with mlflow.start_span("plan", span_type="CHAIN") as plan:
            plan.set_inputs({"question": question})
            plan.set_outputs(["search", "status"])
        with mlflow.start_span("search_help", span_type="RETRIEVER") as search:
            search.set_inputs({"query": question})
            page = text(int(900 * scale))
            documents = [
                {"page_content": page, "id": f"d-{i}", "metadata": {"doc_uri": f"help/{i}"}}
                for i in range(3)
            ]
            search.set_outputs(documents)
        call = {"id": "call_1", "function": {"name": "status", "arguments": '{"order": 17}'}}
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": text(int(1200 * scale))},
            {"role": "user", "content": question},
        ]
        chat(messages, {"content": None, "tool_calls": [{"type": "function", **call}]})
        with mlflow.start_span("status", span_type="TOOL") as tool:
            tool.set_inputs({"order": 17})
            tool.set_outputs({"order": 17, "state": "shipped", "note": text(int(400 * scale))})
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": text(int(400 * scale))},
        ]
        answer = text(int(900 * scale))
        chat(messages, {"content": answer})
        with mlflow.start_span("guard", span_type="GUARDRAIL") as guard:
            guard.set_inputs({"answer": answer})
            guard.set_outputs({"safe": True})
        with mlflow.start_span("format", span_type="PARSER") as form:
            form.set_inputs(answer)
            form.set_outputs({"answer": answer})
        root.set_outputs({"answer": answer})
        mlflow.update_current_trace(
            client_request_id="req-1",
            tags={"environment": "production", "app_version": "1.2.0"},
            metadata={"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"},
        )


class Kept(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[MappedSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep ``spans``."""
        self.spans += [span for span in spans if isinstance(span, MappedSpan)]
        return SpanExportResult.SUCCESS


def plain(span: MappedSpan) -> ReadableSpan:
    """Return the span as any other library would make it, mapped and with nothing left to work out."""
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        span.attributes,
        span.events,
        span.links,
        span.kind,
        None,
        span.status,
        span.start_time,
        span.end_time,
        span.instrumentation_scope,
    )


def recorded(traces: int, make: Callable[[], None]) -> Callable[[], list[MappedSpan]]:
    """Record ``traces`` traces; return a function that gives their spans, each time as new."""
    kept = Kept()
    mlflow_otel.uninstrument()
    mlflow_otel.instrument(Settings(asynchronous=False), exporter=kept)
    for _ in range(traces):
        make()
    mlflow_otel.uninstrument()

    def spans() -> list[MappedSpan]:
        # Nobody has read those that were kept: what is known of each trace is worked out anew.
        passages = {
            id(s.batch): replace(s.batch, context=copy(s.batch.context), read=None)
            for s in kept.spans
        }
        return [MappedSpan(span.recorded, passages[id(span.batch)]) for span in kept.spans]

    return spans
