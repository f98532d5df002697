"""GenAI metrics of apps in processes of their own, over OTLP or in the app's own meter provider."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mlflow_otel import MlflowSpanProcessor, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.export.mapped import BatchContext
from mlflow_otel.measuring.instruments import create
from mlflow_otel.measuring.recorder import Recorder
from mlflow_otel.signals.lazy_pipelines import LazyPipelines

APP = """
import os, time
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()

@mlflow.trace(span_type="TOOL")
def look_up(city):
    return {"sky": "blue"}

@mlflow.trace(span_type="CHAT_MODEL")
def chat(question):
    span = mlflow.get_current_active_span() or mlflow.entities.NoOpSpan()
    span.set_attributes({
        "mlflow.llm.model": "gpt-4o", "mlflow.llm.provider": "openai",
        "mlflow.chat.tokenUsage": {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25},
        "mlflow.llm.cost": {"input_cost": 0.02, "output_cost": 0.01, "total_cost": 0.03},
    })
    span.add_event(mlflow.entities.SpanEvent("mlflow.chunk.item.0", attributes={"mlflow.chunk.value": "x"}))
    if "fail" in question:
        raise TimeoutError("too slow")
    return {"model": "gpt-4o-2024"}

@mlflow.trace(span_type="AGENT")
def agent(question):
    mlflow.update_current_trace(tags={"environment": "prod"}, metadata={"mlflow.trace.user": "ann"})
    look_up("Oslo")
    return chat(question)

def work(number):
    for _ in range(number):
        agent("sky?")
    try:
        agent("fail")
    except TimeoutError:
        pass
"""
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "deployment.environment.name": "prod",
}
ANSWERED = {**CALL, "gen_ai.response.model": "gpt-4o-2024"}
AGENT = {"gen_ai.agent.name": "agent", "deployment.environment.name": "prod"}
TRACE = {"mlflow.trace.name": "agent", "deployment.environment.name": "prod"}
UNITS = {
    "gen_ai.client.operation.duration": "s",
    "gen_ai.client.operation.time_to_first_chunk": "s",
    "gen_ai.client.token.usage": "{token}",
    "gen_ai.execute_tool.duration": "s",
    "gen_ai.invoke_agent.duration": "s",
    "mlflow.llm.cost": "{USD}",
    "mlflow.trace.cost": "{USD}",
    "mlflow.trace.count": "{trace}",
    "mlflow.trace.duration": "s",
}


def by_name(points):
    found = defaultdict(list)
    for point in points:
        number = point["value"] if "value" in point else point["count"]
        found[point["name"]].append((number, point["attributes"]))
    return {name: sorted(some, key=str) for name, some in found.items()}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_conventions_metrics_leave_with_units_and_attributes(run_app, receiver, protocol):
    endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    run_app(APP + "\nwork(3)", env)  # and no flush: they leave at the interpreter's exit
    points = receiver.store.metrics()
    assert {p["name"]: p["unit"] for p in points} == UNITS
    failed = {"error.type": "TimeoutError"}
    found = by_name(points)
    assert found["gen_ai.client.operation.duration"] == [(1, {**CALL, **failed}), (3, ANSWERED)]
    assert found["gen_ai.client.operation.time_to_first_chunk"] == [(1, CALL), (3, ANSWERED)]
    assert found["gen_ai.invoke_agent.duration"] == [(1, {**AGENT, **failed}), (3, AGENT)]
    (tool,) = found["gen_ai.execute_tool.duration"]
    assert tool[0] == 4
    assert tool[1]["gen_ai.tool.name"] == "look_up"
    states = [
        (1, {**TRACE, "mlflow.trace.state": "ERROR"}),
        (3, {**TRACE, "mlflow.trace.state": "OK"}),
    ]
    assert found["mlflow.trace.count"] == states
    tokens = {
        p["attributes"]["gen_ai.token.type"]: p["sum"]
        for p in points
        if p["name"] == "gen_ai.client.token.usage" and "gen_ai.response.model" in p["attributes"]
    }
    assert tokens == {"input": 60, "output": 15}
    spent = [
        p["sum"]
        for p in points
        if p["name"] == "mlflow.trace.cost" and p["attributes"]["mlflow.trace.state"] == "OK"
    ]
    assert spent == [pytest.approx(0.09)]
    assert "ann" not in str(points)


OFF = {
    "no endpoint": {},  # for metrics
    "no exporter": {"OTEL_METRICS_EXPORTER": "none"},
    "said so": {"MLFLOW_OTEL_METRICS": "false"},
}


@pytest.mark.parametrize("off", OFF)
def test_they_are_off_without_an_endpoint_or_when_told(run_app, receiver, off):
    where = (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        if off == "no endpoint"
        else "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    run_app(APP + "\nwork(1)", {where: receiver.grpc_endpoint, **OFF[off]})
    assert len(receiver.store.spans()) == 6
    assert receiver.store.metrics() == []


@pytest.mark.parametrize("recorded", ["true", "false"])
def test_traces_that_are_sampled_out_count_when_they_are_recorded(run_app, receiver, recorded):
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "MLFLOW_TRACE_SAMPLING_RATIO": "0",
        "MLFLOW_OTEL_RECORD_SAMPLED_OUT": recorded,
    }
    run_app(APP + "\nwork(3)", env)
    assert receiver.store.spans() == []
    counted = sum(p["value"] for p in receiver.store.metrics() if p["name"] == "mlflow.trace.count")
    assert counted == (4 if recorded == "true" else 0)


def test_a_forked_child_counts_its_own_as_an_instance_of_its_own(run_app, receiver):
    code = (
        APP
        + """
work(1)
handle.force_flush()
child = os.fork()
if child == 0:
    work(4)
    handle.force_flush()
    handle.shutdown()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
work(1)
"""
    )
    run_app(code, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    last = {}  # cumulative: the highest of each instance is what it counted
    for point in receiver.store.metrics():
        if (
            point["name"] == "mlflow.trace.count"
            and point["attributes"]["mlflow.trace.state"] == "OK"
        ):
            instance = point["resource"].get("service.instance.id")
            last[instance] = max(last.get(instance, 0), point["value"])
    assert sorted(last.values()) == [2, 4]


def test_the_apps_own_reader_gets_them_with_the_conventions_boundaries_and_exemplars(run_app):
    code = (
        """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
"""
        + APP
        + """
with mlflow.start_span("outer") as span:
    trace_id = int(span.trace_id.removeprefix("tr-"), 16)
    agent("sky?")
import json
handle = mlflow_otel.instrument()
assert handle._signals.jobs.drain(30)  # a flush would collect, and leave no exemplars
collected = reader.get_metrics_data()
(scope,) = collected.resource_metrics[0].scope_metrics
found = {m.name: m.data.data_points[0] for m in scope.metrics}
print(json.dumps({
    "seconds": found["gen_ai.client.operation.duration"].explicit_bounds,
    "tokens": found["gen_ai.client.token.usage"].explicit_bounds,
    "same trace": [e.trace_id == trace_id for e in found["gen_ai.client.operation.duration"].exemplars],
    "scope": scope.scope.name,
}))
"""
    )
    env = {
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1",
    }
    found = run_app(code, env)
    assert found["seconds"] == [
        0.01,
        0.02,
        0.04,
        0.08,
        0.16,
        0.32,
        0.64,
        1.28,
        2.56,
        5.12,
        10.24,
        20.48,
        40.96,
        81.92,
    ]
    assert found["tokens"] == [4**power for power in range(14)]
    assert found["same trace"] == [True]
    assert found["scope"] == "mlflow_otel"


def test_what_waits_to_be_measured_is_bounded_in_bytes_and_what_is_not_measured_is_counted(
    receiver,
):
    settings = Settings.from_environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
            "MLFLOW_OTEL_MAX_HELD_BYTES": "100",
        }
    )
    accounting = Accounting()
    signals = LazyPipelines(settings, Resource.get_empty, accounting)
    recorder = Recorder(signals)
    span = TracerProvider().get_tracer("mlflow.app").start_span("call")
    span.set_attribute("mlflow.spanType", '"CHAT_MODEL"')
    span.end()
    gate = threading.Event()
    signals.jobs.run(gate.wait)
    for _ in range(3):
        recorder.released([span], BatchContext(size=40), None)
    gate.set()
    assert signals.jobs.drain(10)
    recorder.released([span], BatchContext(size=40), None)
    assert signals.force_flush(10)
    assert accounting.snapshot()["metrics.not_measured"] == 1
    (point,) = receiver.store.metrics()
    assert point["count"] == 3
    signals.shutdown(5)


@pytest.mark.parametrize(
    ("environ", "shared", "measured"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a"}, False, True),
        ({"OTEL_METRICS_EXPORTER": "none"}, True, False),
        ({"OTEL_METRICS_EXPORTER": "none", "MLFLOW_OTEL_METRICS": "true"}, False, True),
        ({"MLFLOW_OTEL_METRICS": "false"}, True, False),
    ],
)
def test_who_wants_them(environ, shared, measured):
    assert Settings.from_environment(environ).measures(shared=shared) is measured


def test_a_span_that_was_exported_is_measured_by_what_its_mapping_found():
    meters, kept = InMemoryMetricReader(), InMemorySpanExporter()
    settings = Settings(isolated=False)
    recorder = Recorder(LazyPipelines(settings, Resource.get_empty))
    recorder._instruments = create(MeterProvider([meters]).get_meter("m"))
    processor = MlflowSpanProcessor(kept, settings)
    processor.on_released = recorder.released
    provider = TracerProvider()
    provider.add_span_processor(processor)
    span = provider.get_tracer("mlflow.app").start_span("call")
    span.set_attributes({"mlflow.spanType": '"CHAT_MODEL"', "mlflow.llm.model": '"m"'})
    span.end()
    assert processor.force_flush()
    (mapped,) = kept.get_finished_spans()
    assert mapped.attributes["gen_ai.request.model"] == "m"
    assert mapped.batch.outlines == {
        mapped.context.span_id: {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    }
    mapped.batch.outlines[mapped.context.span_id] = {"gen_ai.operation.name": "embeddings"}
    assert recorder._signals.jobs.drain(10)
    ((point,),) = (
        metric.data.data_points
        for scope in meters.get_metrics_data().resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == "gen_ai.client.operation.duration"
    )
    assert dict(point.attributes) == {
        "gen_ai.operation.name": "embeddings"
    }  # what was found, not the span
    processor.shutdown()
