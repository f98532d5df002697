"""How the cost grows: with the spans of a trace, and with the bytes of a span."""

from __future__ import annotations

import time

import mlflow

from benchmarks.agent import text
from benchmarks.export import stock_encoding
from benchmarks.measure import in_turn, table
from benchmarks.workload import recorded
from mlflow_otel import Settings
from mlflow_otel.export import spans as encode
from mlflow_otel.otlp import split

SPANS = (1, 10, 100, 1000, 10_000)
PAYLOADS = (1_000, 10_000, 100_000, 1_000_000, 5_000_000)
ROUNDS = 3


def trace_of(spans):
    """Return a function that makes a trace of so many spans."""

    def make():
        with mlflow.start_span("root", span_type="AGENT") as root:
            root.set_inputs({"question": text(200)})
            for number in range(spans - 1):
                with mlflow.start_span(f"step-{number}", span_type="TOOL") as step:
                    step.set_inputs({"n": number})
                    step.set_outputs(text(200))

    return make


def payload_of(size):
    """Return a function that makes one span of so many bytes."""

    def make():
        with mlflow.start_span("big", span_type="TOOL") as span:
            span.set_outputs(text(size))

    return make


def cost(traces, make):
    """Return CPU seconds a span: ours with mapping and cutting, stock without."""
    spans = recorded(traces, make)
    limit = Settings().max_request_bytes

    def ours():
        found = spans()
        started = time.thread_time()
        for request in split.cut(encode.encode_spans(found), limit):
            assert len(request.body) <= limit
        return time.thread_time() - started

    number = len(spans())
    peers = {"stock": lambda: stock_encoding(spans), "ours": ours}
    return {name: seconds / number for name, seconds in in_turn(peers, ROUNDS).items()}


def tables():
    """Yield the tables."""
    rows = []
    for spans in SPANS:
        found = cost(max(2000 // spans, 1), trace_of(spans))
        rows.append([spans, f"{found['stock'] * 1e6:.0f}", f"{found['ours'] * 1e6:.0f}"])
    yield (
        "CPU by spans of a trace (small tool spans)",
        table(["spans", "stock encoding, µs/span", "ours with mapping, µs/span"], rows),
    )
    rows = []
    for size in PAYLOADS:
        found = cost(max(2_000_000 // size, 1), payload_of(size))
        rows.append([f"{size:,}", f"{found['stock'] * 1e6:.0f}", f"{found['ours'] * 1e6:.0f}"])
    yield (
        "CPU by bytes of a span's output (5 MB is truncated to fit a request)",
        table(["bytes", "stock encoding, µs/span", "ours with mapping, µs/span"], rows),
    )
