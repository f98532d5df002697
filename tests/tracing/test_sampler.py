"""Whole traces, by the trace ID, as OpenTelemetry's own sampler decides."""

from __future__ import annotations

import logging
import math
import random

import mlflow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from mlflow_otel import MlflowSampler
from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.tracing.recent import RECENT
from mlflow_otel.tracing.sampler import from_environment, from_file


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


def decision(sampler, parent=None, trace_id=1, **said):
    return sampler.should_sample(parent, trace_id, "root", SpanKind.SERVER, **said).decision


def below(*, sampled, remote):
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else 0)
    return set_span_in_context(NonRecordingSpan(SpanContext(1, 2, remote, flags)))


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize(("record", "left_out"), [(False, "DROP"), (True, "RECORD_ONLY")])
def test_what_is_left_out_is_recorded_on_request_whoever_decided(remote, record, left_out):
    sampler = MlflowSampler(0.0, record=record)
    assert decision(sampler) is Decision[left_out]
    assert decision(sampler, below(sampled=False, remote=remote)) is Decision[left_out]
    assert decision(sampler, below(sampled=True, remote=remote)) is Decision.RECORD_AND_SAMPLE


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_ratio_out_of_range_keeps_every_trace(ratio):
    sampler = MlflowSampler(ratio)
    kept = {decision(sampler, trace_id=2**128 - 1 - number) for number in range(50)}
    assert kept == {Decision.RECORD_AND_SAMPLE}


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=1, max_value=2**128 - 1), st.floats(min_value=0, max_value=1))
def test_mlflows_override_decides_as_opentelemetrys_ratio_does(trace_id, ratio):
    seen = []

    @mlflow.trace(sampling_ratio_override=ratio)
    def app():
        seen.append(decision(MlflowSampler(0.5), trace_id=trace_id))

    app()
    stock = TraceIdRatioBased(ratio).should_sample(None, trace_id, "root")
    assert seen == [stock.decision]


def test_the_result_has_the_attributes_and_links_go_to_the_ratio_as_they_came():
    link = Link(SpanContext(5, 6, True))
    ours = MlflowSampler(1.0).should_sample(
        None, 1, "root", SpanKind.CLIENT, {"a": 1}, [link], None
    )
    stock = TraceIdRatioBased(1.0).should_sample(None, 1, "root", SpanKind.CLIENT, {"a": 1}, [link])
    assert dict(ours.attributes) == dict(stock.attributes) == {"a": 1}


@pytest.mark.parametrize("variable", ["true", "false"])
def test_the_variable_says_whether_what_is_left_out_is_recorded(monkeypatch, variable):
    monkeypatch.setenv("MLFLOW_OTEL_RECORD_SAMPLED_OUT", variable)
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "0")
    wanted = Decision.RECORD_ONLY if variable == "true" else Decision.DROP
    assert decision(from_environment()) is wanted
    assert decision(from_file()) is wanted


def test_an_argument_of_the_file_beats_the_variables(monkeypatch):
    monkeypatch.setenv("MLFLOW_OTEL_RECORD_SAMPLED_OUT", "true")
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "1")
    assert decision(from_file(0.0, False)) is Decision.DROP
    assert decision(from_file(0, True)) is Decision.RECORD_ONLY
    assert decision(from_file("no number")) is Decision.RECORD_AND_SAMPLE


@given(st.lists(st.integers(2**100, 2**128 - 1), min_size=1, max_size=20, unique=True))
@settings(max_examples=30, deadline=None)
def test_traces_that_are_not_kept_are_remembered_as_such_and_no_others(ids):
    left = kept(MlflowSampler(0.5), ids)
    assert [i for i in ids if not RECENT.was_sampled_out(i)] == left


@pytest.mark.parametrize("ratio", [1.5, -0.1, math.nan])
def test_a_ratio_out_of_range_is_a_warning_that_names_it_and_the_range(ratio, caplog):
    ACCOUNTING._warned_at.clear()
    with caplog.at_level(logging.WARNING, "mlflow_otel"):
        assert kept(MlflowSampler(ratio), IDS[:50]) == IDS[:50]
    (record,) = caplog.records
    assert str(ratio) in record.getMessage()
    assert "from 0 to 1" in record.getMessage()


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_a_ratio_in_range_is_no_warning_and_is_in_the_description(ratio, caplog):
    ACCOUNTING._warned_at.clear()
    with caplog.at_level(logging.WARNING, "mlflow_otel"):
        assert f"MlflowRatio{{{ratio}}}" in MlflowSampler(ratio).get_description()
    assert not caplog.records


FILE = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch: {exporter: {mlflow_otlp: {}}}
  sampler: {mlflow: OPTIONS}
"""


@pytest.mark.newest
@pytest.mark.parametrize(
    ("options", "variables", "wanted"),
    [
        ("{ratio: 0}", {}, Decision.DROP),
        ("{ratio: 0, record: true}", {}, Decision.RECORD_ONLY),
        ("{ratio: 1}", {"MLFLOW_TRACE_SAMPLING_RATIO": "0"}, Decision.RECORD_AND_SAMPLE),
        ("{record: true}", {"MLFLOW_TRACE_SAMPLING_RATIO": "0"}, Decision.RECORD_ONLY),
        ("{record: false}", {"MLFLOW_OTEL_RECORD_SAMPLED_OUT": "true"}, Decision.RECORD_AND_SAMPLE),
        # A ratio that is none keeps every trace, whatever the variables say.
        ("{ratio: often}", {"MLFLOW_TRACE_SAMPLING_RATIO": "0"}, Decision.RECORD_AND_SAMPLE),
        ("{ratio: [1]}", {"MLFLOW_TRACE_SAMPLING_RATIO": "0"}, Decision.RECORD_AND_SAMPLE),
    ],
)
def test_the_files_options_beat_the_variables(monkeypatch, tmp_path, options, variables, wanted):
    file = tmp_path / "otel.yaml"
    file.write_text(FILE.replace("OPTIONS", options))
    monkeypatch.setenv("OTEL_CONFIG_FILE", str(file))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert decision(from_file()) is wanted


@pytest.mark.newest
def test_a_ratio_of_the_file_that_is_none_records_as_the_file_says(monkeypatch, tmp_path):
    file = tmp_path / "otel.yaml"
    file.write_text(FILE.replace("OPTIONS", "{ratio: often, record: true}"))
    monkeypatch.setenv("OTEL_CONFIG_FILE", str(file))
    parent = below(sampled=False, remote=False)
    assert decision(from_file(), parent) is Decision.RECORD_ONLY


@pytest.mark.parametrize("argument", [None, "", "0.5"])
def test_without_the_variable_there_is_nothing_to_warn_of(argument, caplog):
    ACCOUNTING._warned_at.clear()
    with caplog.at_level(logging.WARNING, "mlflow_otel"):
        from_environment(argument)
    assert not caplog.records
