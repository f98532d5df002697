"""The spans that are measured: an agent's trace of 8 spans and 20 KB, made by MLflow Tracing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace

import mlflow
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import mlflow_otel
from benchmarks import agent
from benchmarks.agent import Step
from mlflow_otel import Settings
from mlflow_otel.export.mapped import MappedSpan


def agent_trace(scale: float = 1.0) -> None:
    """Run the agent once: 8 spans, about 20 KB of attributes at ``scale`` 1."""
    write(agent.run(scale))


def write(step: Step, tags: dict[str, str] | None = agent.TAGS) -> None:
    """Trace a run of the agent with MLflow, its calls of a model as MLflow's autologging of OpenAI does."""
    with mlflow.start_span(step.name, span_type=step.kind) as span:
        span.set_inputs(step.inputs)
        for inner in step.steps:
            write(inner, tags)
        span.set_outputs(step.outputs)
        if step.kind == "CHAT_MODEL":
            span.set_attributes(
                {
                    "mlflow.message.format": "openai",
                    "mlflow.llm.model": agent.MODEL,
                    "mlflow.llm.provider": "openai",
                    "mlflow.chat.tools": agent.TOOLS,
                    "mlflow.chat.tokenUsage": agent.USED,
                    "mlflow.llm.cost": agent.COST,
                }
            )
        if step.kind == "AGENT":
            mlflow.update_current_trace(
                client_request_id=agent.REQUEST,
                tags=tags,
                metadata={
                    "mlflow.trace.session": agent.SESSION,
                    "mlflow.trace.user": agent.USER,
                },
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
