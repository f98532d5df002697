"""What the app's thread pays: a span with the processor and without, an MLflow app with us and without."""

from __future__ import annotations

import gc
import json
import time

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.measure import in_process, in_turn, table
from mlflow_otel import MlflowSpanProcessor, Settings

ATTRIBUTES = {f"app.attribute.{n}": "v" * 200 for n in range(6)}
TRACES = 200
ROUNDS = 15

MLFLOW_APP = """
import gc, json, os, statistics, sys, time
import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as stock
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
class Discard(SpanExporter):
    def export(self, spans): return SpanExportResult.SUCCESS
    def shutdown(self): pass
stock.OTLPSpanExporter.export = lambda self, spans: SpanExportResult.SUCCESS
import mlflow
if {ours}:
    import mlflow_otel
    mlflow_otel.instrument(exporter=Discard())
def run():
    gc.collect(); gc.disable()
    started = time.thread_time()
    for _ in range(60):
        with mlflow.start_span("root", span_type="AGENT") as root:
            root.set_inputs({{"question": "x" * 300}})
            for _ in range(7):
                with mlflow.start_span("child", span_type="TOOL") as child:
                    child.set_inputs({{"a": "x" * 300}})
                    child.set_outputs("y" * 300)
    gc.enable()
    return (time.thread_time() - started) / 60 / 8 * 1e6
run()
print(statistics.median(run() for _ in range(7)))
"""


def sdk():
    """Measure µs/span of an SDK span of 6 attributes, 8 a trace."""

    class Nothing(SpanProcessor):
        pass

    class Reads(SpanExporter):
        """Reads each span's context, as exporters do, and sends nothing."""

        def export(self, spans):
            for span in spans:
                batch = getattr(span, "batch", None)
                if batch is not None:
                    batch.context()
            return SpanExportResult.SUCCESS

    def batching():
        return BatchSpanProcessor(Reads(), max_queue_size=20_000)

    def app(processor):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("app")

        def run():
            gc.disable()
            started = time.thread_time()
            for _ in range(TRACES):
                with tracer.start_as_current_span("root") as root:
                    root.set_attributes(ATTRIBUTES)
                    for _ in range(7):
                        with tracer.start_as_current_span("child") as child:
                            child.set_attributes(ATTRIBUTES)
            spent = time.thread_time() - started
            gc.enable()
            return spent / TRACES / 8 * 1e6

        return run

    peers = {
        "without": app(Nothing()),
        "with": app(MlflowSpanProcessor(Nothing(), Settings())),
        "batching": app(batching()),
        "with batching": app(MlflowSpanProcessor(batching(), Settings())),
    }
    return in_turn(peers, ROUNDS)


def mlflow(tmp):
    """Measure µs/span of an MLflow app, exporters that discard."""
    own = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp}/mlflow.db",
    }
    translated = {**own, "MLFLOW_ENABLE_OTEL_GENAI_SEMCONV": "true"}
    peers = {
        "MLflow's own OTLP export": lambda: float(in_process(MLFLOW_APP.format(ours=False), own)),
        "the same with its GenAI translation": lambda: float(
            in_process(MLFLOW_APP.format(ours=False), translated)
        ),
        "with mlflow-otel": lambda: float(in_process(MLFLOW_APP.format(ours=True), {})),
    }
    return in_turn(peers, 3)


def tables(tmp):
    """Yield the tables."""
    # In a process without MLflow: with it, MLflow's registry takes most of what a span costs.
    code = "import json; from benchmarks.app_thread import sdk; print(json.dumps(sdk()))"
    found = json.loads(in_process(code, {}))
    yield (
        "App thread: a span of the OpenTelemetry SDK, 6 attributes, 8 spans a trace",
        table(
            ["", "µs/span"],
            [
                ["a processor that does nothing", f"{found['without']:.1f}"],
                ["MlflowSpanProcessor", f"{found['with']:.1f}"],
                ["added", f"{found['with'] - found['without']:.1f}"],
                ["the SDK's BatchSpanProcessor", f"{found['batching']:.1f}"],
                ["MlflowSpanProcessor before it", f"{found['with batching']:.1f}"],
                ["added", f"{found['with batching'] - found['batching']:.1f}"],
            ],
        ),
    )
    rows = [[name, f"{cost:.0f}"] for name, cost in mlflow(tmp).items()]
    yield (
        "App thread: a span of MLflow Tracing, exporters that discard",
        table(["", "µs/span"], rows),
    )
