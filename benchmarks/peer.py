"""A process that traces the agent with one library and sends it: ``python -m benchmarks.peer NAME``.

Each line on its standard input is one round; the answer is the whole process's CPU, µs a span, until all
was sent. No round fills a queue, so nobody is cheap for having dropped spans.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager

from benchmarks import agent

TRACES = 150  # of 8 spans: less than the 2,048 that every queue here holds


def ours():
    """Trace with MLflow, export with mlflow-otel."""
    import mlflow_otel

    handle = mlflow_otel.instrument()
    return _mlflow_writer(), lambda: handle.force_flush(30_000)


def mlflow_alone():
    """Trace with MLflow, export with MLflow."""
    from mlflow.tracing.provider import provider

    write = _mlflow_writer()
    # Where tags are set, its export loses the root span; then it would have one span less to send.
    return lambda step: write(step, None), lambda: provider.get().force_flush(30_000)


def _mlflow_writer():
    from benchmarks.workload import write

    return write


def langfuse():
    """Trace and export with Langfuse's SDK."""
    from langfuse import Langfuse, propagate_attributes

    client = Langfuse(
        public_key="pk-lf-1",
        secret_key="sk-lf-1",
        base_url=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"],
    )
    kinds = {
        "AGENT": "agent",
        "CHAIN": "chain",
        "RETRIEVER": "retriever",
        "TOOL": "tool",
        "GUARDRAIL": "guardrail",
        "PARSER": "span",
    }

    def write(step):
        if step.kind == "CHAT_MODEL":
            about = {
                "as_type": "generation",
                "model": agent.MODEL,
                "model_parameters": {"temperature": 0.2},
                "usage_details": agent.USED,
                "cost_details": agent.COST,
            }
        else:
            about = {"as_type": kinds[step.kind]}
        with client.start_as_current_observation(
            name=step.name, input=step.inputs, **about
        ) as span:
            for inner in step.steps:
                write(inner)
            span.update(output=step.outputs)

    def trace(step):
        with propagate_attributes(
            session_id=agent.SESSION, user_id=agent.USER, tags=list(agent.TAGS.values())
        ):
            write(step)

    return trace, client.flush


def logfire():
    """Trace and export with Logfire's SDK."""
    import logfire

    logfire.configure(send_to_logfire=False, console=False, service_name="agent")

    def write(step):
        with logfire.span(
            step.name, **{"gen_ai.operation.name": step.kind, "inputs": step.inputs, **_trace()}
        ) as span:
            for inner in step.steps:
                write(inner)
            span.set_attribute("outputs", step.outputs)
            if step.kind == "CHAT_MODEL":
                span.set_attributes(_model())

    return write, logfire.force_flush


def opentelemetry():
    """Trace with the bare SDK: attributes written by hand, the stock exporter."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("agent")

    def write(step):
        with tracer.start_as_current_span(step.name) as span:
            span.set_attributes(
                {"gen_ai.operation.name": step.kind, "inputs": json.dumps(step.inputs), **_trace()}
            )
            for inner in step.steps:
                write(inner)
            span.set_attribute("outputs", json.dumps(step.outputs))
            if step.kind == "CHAT_MODEL":
                span.set_attributes(_model())

    return write, provider.force_flush


def _trace():
    return {"session.id": agent.SESSION, "user.id": agent.USER, **agent.TAGS}


def _model():
    usage = {f"gen_ai.usage.{name}": number for name, number in agent.USED.items()}
    return {
        "gen_ai.request.model": agent.MODEL,
        "gen_ai.provider.name": "openai",
        **usage,
        **agent.COST,
    }


PEERS = {
    "ours": ours,
    "mlflow": mlflow_alone,
    "langfuse": langfuse,
    "logfire": logfire,
    "opentelemetry": opentelemetry,
}


@contextmanager
def _answers():
    """Yield what answers on the real standard output; whatever else is printed goes to the errors."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        yield lambda said: print(said, file=out, flush=True)


def main():
    """Answer rounds until the input ends."""
    write, flush = PEERS[sys.argv[1]]()
    runs = [agent.run() for _ in range(TRACES)]
    with _answers() as answer:
        for _ in sys.stdin:
            started = time.process_time()
            for step in runs:
                write(step)
            flush()
            answer((time.process_time() - started) / TRACES / 8 * 1e6)


if __name__ == "__main__":
    main()
