"""Whole traces, by the trace ID, as OpenTelemetry's own sampler decides."""

from __future__ import annotations

import logging
import random

import mlflow
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from mlflow_otel import MlflowSampler
from mlflow_otel.tracing.sampler import from_environment


def kept(sampler, ids):
    return [i for i in ids if sampler.should_sample(None, i, "n").decision.is_sampled()]


IDS = [random.Random(7).getrandbits(128) for _ in range(1)] + [
    random.Random(i).getrandbits(128) for i in range(2000)
]


def test_two_services_at_one_ratio_keep_the_same_traces():
    assert kept(MlflowSampler(0.3), IDS) == kept(TraceIdRatioBased(0.3), IDS)
    assert 400 < len(kept(MlflowSampler(0.3), IDS)) < 800


def test_zero_keeps_none_and_one_keeps_all():
    assert kept(MlflowSampler(0.0), IDS) == []
    assert kept(MlflowSampler(1.0), IDS) == IDS


def test_a_child_follows_its_parent():
    tracer = TracerProvider(sampler=MlflowSampler(0.0)).get_tracer("t")
    with tracer.start_as_current_span("root"):
        assert not tracer.start_span("child").is_recording()


def test_a_bad_ratio_keeps_everything_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "often")
    from mlflow_otel.accounting import ACCOUNTING

    ACCOUNTING._warned_at.clear()
    with caplog.at_level(logging.WARNING, "mlflow_otel"):
        samplers = [MlflowSampler(), MlflowSampler()]
    assert [len(kept(s, IDS)) for s in samplers] == [len(IDS)] * 2
    assert sum("MLFLOW_TRACE_SAMPLING_RATIO" in r.getMessage() for r in caplog.records) == 1


def test_the_argument_is_the_ratio_when_mlflows_variable_is_unset(monkeypatch):
    assert kept(from_environment("0.3"), IDS) == kept(TraceIdRatioBased(0.3), IDS)
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "0")
    assert kept(from_environment("0.3"), IDS) == []


def test_whole_traces_leave_or_none(monkeypatch, memory):
    import mlflow_otel

    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "0.5")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    mlflow_otel.instrument(exporter=memory)
    try:
        for _ in range(60):
            with mlflow.start_span("root"), mlflow.start_span("child"):
                pass
    finally:
        mlflow_otel.uninstrument()
    spans = memory.get_finished_spans()
    traces = {s.context.trace_id for s in spans}
    assert 5 < len(traces) < 55
    assert len(spans) == 2 * len(traces)
