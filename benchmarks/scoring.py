"""What a trace that ends pays for scorers in the app's thread, what scoring it costs beside the app, and in the worker."""

from __future__ import annotations

import json

from benchmarks.measure import in_process, table

APP = """
import gc, json, statistics, sys, time
import mlflow, mlflow_otel
from mlflow.genai.evaluation.entities import EvalItem
from mlflow.genai.evaluation.harness import _compute_eval_scores
from mlflow.genai.scorers import ScorerSamplingConfig, scorer
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from mlflow_otel.scoring import mlflow_adapter
class Discard(SpanExporter):
    def export(self, spans): return SpanExportResult.SUCCESS
    def shutdown(self): pass
@scorer
def length(outputs):
    return len(outputs)
handle = mlflow_otel.instrument(exporter=Discard())
handle.scorers.start(length, ScorerSamplingConfig(sample_rate=0.0))
releases = []
def make():
    with mlflow.start_span("root", span_type="AGENT") as root:
        root.set_inputs({"question": "x" * 300})
        for _ in range(7):
            with mlflow.start_span("child", span_type="TOOL") as child:
                child.set_inputs({"a": "x" * 300})
                child.set_outputs("y" * 300)
        root.set_outputs("y" * 300)
make()
processor = handle.processor
told = processor._ended
processor._ended = lambda *given: releases.append(given) or False
for _ in range(300):
    make()
del processor._ended
ended = []
processor.whole.wanting = lambda _: lambda trace: ended.append(trace) or False
for given in releases:
    told(*given)
def app_thread(on):
    processor.whole.wanting = handle.scorers.wanting if on else None
    gc.collect(); gc.disable()
    started = time.thread_time()
    for given in releases:
        told(*given)
    spent = time.thread_time() - started
    gc.enable()
    assert handle.scorers.drain(60)
    return spent / len(releases) * 1e6
def ours():
    gc.collect()
    started = time.process_time()
    for given in releases:
        told(*given)
    assert handle.scorers.drain(60)
    handle.force_flush()
    return (time.process_time() - started) / len(releases) * 1e6
def theirs():
    gc.collect()
    started = time.process_time()
    for trace in traces:
        _compute_eval_scores(eval_item=EvalItem.from_trace(trace), scorers=[answers])
    return (time.process_time() - started) / len(traces) * 1e6
@scorer
def answers(trace):
    return len(trace.data.spans[0].outputs)
found = {"off": [], "left out": [], "taken": [], "ours": [], "theirs": []}
traces = [mlflow_adapter.trace_of(trace) for trace in ended]
for number in range(6):
    found["off"].append(app_thread(False))
    handle.scorers.update("length", ScorerSamplingConfig(sample_rate=0.0))
    found["left out"].append(app_thread(True))
    handle.scorers.update("length", ScorerSamplingConfig(sample_rate=1.0))
    found["taken"].append(app_thread(True))
    found["ours"].append(ours())
    found["theirs"].append(theirs())
print(json.dumps({name: statistics.median(values[1:]) for name, values in found.items()}))
import os; sys.stdout.flush(); os._exit(0)
"""

WORKER = """
import gc, json, os, statistics, sys, time
import mlflow, mlflow_otel
from mlflow.genai.evaluation.entities import EvalItem
from mlflow.genai.evaluation.harness import _compute_eval_scores
from mlflow.genai.scorers import scorer
from mlflow_otel.accounting import Accounting
from mlflow_otel.receiver.records import Store
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.settings import Settings
from mlflow_otel.store import mlflow_adapter
from mlflow_otel.worker import subjects
from mlflow_otel.worker.arrivals import arrivals
from mlflow_otel.worker.service import Waits, open_worker
TRACES = 400
class Sent(Store):
    bodies = []
    def add(self, signal, body):
        if signal == "traces":
            self.bodies.append(body)
def make():
    with mlflow.start_span("root", span_type="AGENT") as root:
        root.set_inputs({"question": "x" * 300})
        for _ in range(7):
            with mlflow.start_span("child", span_type="TOOL") as child:
                child.set_inputs({"a": "x" * 300})
                child.set_outputs("y" * 300)
        root.set_outputs("y" * 300)
with Receiver(store=Sent()) as taken:
    handle = mlflow_otel.instrument(endpoint=taken.grpc_endpoint)
    for _ in range(TRACES):
        make()
    assert handle.force_flush(60000)
    mlflow_otel.uninstrument()
@scorer
def length(outputs):
    return len(outputs)
@scorer
def answers(trace):
    return len(trace.data.spans[0].outputs)
by_id = {}
for body in Sent.bodies:
    for one in arrivals(body):
        by_id.setdefault(one.trace_id, []).append(one)
traces = [mlflow_adapter.trace(subjects.of_arrivals(i, came, 1).stored) for i, came in by_id.items()]
def worker(judge):
    settings = Settings.from_environment()
    one = open_worker(settings, Accounting(), Waits(0.0, 300.0))
    one.scorers.start(judge)
    gc.collect()
    started = time.process_time()
    for body in Sent.bodies:
        one.add("traces", body)
        one.sweep()
    assert one.scorers.drain(60) and one.results.flush(60)
    spent = time.process_time() - started
    assert one.stats()["scorer.runs"] == TRACES, one.stats()
    one.close(1)
    return spent / TRACES * 1e6
def theirs():
    gc.collect()
    started = time.process_time()
    for trace in traces:
        _compute_eval_scores(eval_item=EvalItem.from_trace(trace), scorers=[answers])
    return (time.process_time() - started) / len(traces) * 1e6
found = {"outputs": [], "trace": [], "theirs": []}
for number in range(6):
    found["outputs"].append(worker(length))
    found["trace"].append(worker(answers))
    found["theirs"].append(theirs())
print(json.dumps({name: statistics.median(values[1:]) for name, values in found.items()}))
sys.stdout.flush(); os._exit(0)
"""


def worker_table(sink):
    """Return what the worker takes for a trace: from the bytes that come to those that leave."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint("grpc"),
        "MLFLOW_OTEL_ASSESSMENT_SIGNALS": "traces",
    }
    found = json.loads(in_process(WORKER, environ))
    rows = [
        [name, f"{found[key]:.0f}", f"{1e6 / found[key]:.0f}"]
        for name, key in (
            ("the worker, a scorer of `outputs`: from OTLP to the evaluation span", "outputs"),
            ("the worker, a scorer of `trace`: the same, and MLflow's `Trace` rebuilt", "trace"),
            ("MLflow's own evaluation of a trace that is in memory, nothing logged", "theirs"),
        )
    ]
    return table(["", "CPU, µs/trace", "traces/s on one core"], rows)


def tables(sink):
    """Yield the tables; the full mlflow is needed, whose evaluation is measured beside."""
    found = json.loads(in_process(APP, {"MLFLOW_OTEL_ASSESSMENT_SIGNALS": "traces"}))
    rows = [
        ["no scorer started", f"{found['off']:.1f}"],
        ["a scorer, the trace is not in its sample", f"{found['left out']:.1f}"],
        ["a scorer, the trace is in its sample", f"{found['taken']:.1f}"],
    ]
    yield "Scorers, in the app's thread", table(["", "µs/trace"], rows)
    rows = [
        ["mlflow-otel, with the evaluation span that leaves", f"{found['ours']:.0f}"],
        ["MLflow's own evaluation of one trace, nothing logged", f"{found['theirs']:.0f}"],
    ]
    yield "Scoring a trace of 8 spans with one code scorer, CPU", table(["", "µs/trace"], rows)
    title = "`mlflow-otel score`: traces of 8 spans with one code scorer"
    yield title, worker_table(sink)
