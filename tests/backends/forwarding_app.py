"""A framework that makes its own spans, MLflow's autologging for it and ``instrument()``, in one provider.

Usage: ``forwarding_app.py FRAMEWORK FIRST EXPORT``; FIRST is what is called first, ``autolog`` or
``instrument``; EXPORT is ``none``, ``simple`` or ``batch``, the app's own provider. Prints the
names of the spans that left through the app's provider, and our counters, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import mlflow
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import mlflow_otel

QUESTION, ANSWER = "Which knot?", "A bowline."


def strands() -> Callable[[], Any]:
    from strands import Agent
    from strands.models import Model

    class Echo(Model):
        def update_config(self, **_config: Any) -> None: ...

        def get_config(self) -> dict[str, str]:
            return {"model_id": "echo-1"}

        async def structured_output(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
            yield {}

        async def stream(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
            yield {"messageStart": {"role": "assistant"}}
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": ANSWER}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}
            usage = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
            yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 1}}}

    return lambda: Agent(model=Echo(), callback_handler=None)(QUESTION)


def haystack() -> Callable[[], Any]:
    from haystack import Pipeline, component

    @component
    class Builder:
        @component.output_types(answer=str)
        def run(self, question: str) -> dict[str, str]:
            return {"answer": ANSWER}

    pipeline = Pipeline()
    pipeline.add_component("builder", Builder())
    return lambda: pipeline.run({"builder": {"question": QUESTION}})


def semantic_kernel() -> Callable[[], Any]:
    from semantic_kernel import Kernel
    from semantic_kernel.functions import kernel_function

    class Knots:
        @kernel_function(name="pick")
        def pick(self, question: str) -> str:
            return ANSWER

    kernel = Kernel()
    kernel.add_plugin(Knots(), "knots")
    return lambda: asyncio.run(
        kernel.invoke(plugin_name="knots", function_name="pick", question=QUESTION)
    )


def main(framework: str, first: str, export: str) -> None:
    memory = InMemorySpanExporter()
    if export != "none":
        provider = TracerProvider()
        kind = SimpleSpanProcessor if export == "simple" else BatchSpanProcessor
        provider.add_span_processor(kind(memory))
        trace.set_tracer_provider(provider)
    if first == "instrument":
        mlflow_otel.instrument()
    getattr(mlflow, framework).autolog()
    handle = mlflow_otel.instrument()
    # Semantic Kernel takes its tracer when it is imported: after autolog(), as MLflow says.
    call = {"strands": strands, "haystack": haystack, "semantic_kernel": semantic_kernel}[
        framework
    ]()
    call()
    call()
    handle.force_flush()
    names = [f"{span.name}" for span in memory.get_finished_spans()]
    print(json.dumps({"memory": names, "stats": handle.stats()}))


main(*sys.argv[1:])
