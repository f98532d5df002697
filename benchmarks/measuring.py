"""What GenAI metrics cost: the app's thread a trace, the background a span, the SDK's recording in it."""

from __future__ import annotations

import statistics
import time

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from benchmarks import workload
from benchmarks.measure import table
from mlflow_otel import Settings
from mlflow_otel.measuring.recorder import Recorder
from mlflow_otel.signals.lazy_pipelines import LazyPipelines

TRACES = 50
ROUNDS = 15


def tables():
    """Yield the table."""
    spans = workload.recorded(TRACES, workload.agent_trace)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    signals = LazyPipelines(Settings(isolated=False), Resource.get_empty)
    recorder = Recorder(signals)
    recorder.open()
    record = recorder._record
    costs = {"app": [], "all": [], "found": []}
    for _ in range(ROUNDS):
        passed = {}
        for span in spans():
            passed.setdefault(id(span.batch), (span.batch, []))[1].append(span.recorded)
        for batch, _spans in passed.values():
            batch.context()  # the exporter needs it too
        number = sum(len(found) for _batch_context, found in passed.values())
        recorder._record = lambda *_: None  # the thread's work is measured by itself
        costs["app"].append(_spent(passed, recorder.released) / len(passed))
        signals.jobs.drain(10)
        costs["all"].append(_spent(passed, record) / number)
        recorder._record = record
        adds, recorder._add = recorder._add, lambda *_: None
        costs["found"].append(_spent(passed, record) / number)
        recorder._add = adds
    median = {name: statistics.median(found) * 1e6 for name, found in costs.items()}
    yield (
        "GenAI metrics of an 8-span, 20 KB agent trace",
        table(
            ["", "µs"],
            [
                ["app thread, a trace", f"{median['app']:.1f}"],
                ["background, a span", f"{median['all']:.0f}"],
                ["of them what the SDK records", f"{median['all'] - median['found']:.0f}"],
            ],
        ),
    )


def _spent(passed, take):
    started = time.thread_time()
    for batch, found in passed.values():
        take(found, batch, found[-1])
    return time.thread_time() - started
