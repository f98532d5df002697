"""CPU to map, encode and send: ours and the stock exporters', the same spans in the same run."""

from __future__ import annotations

import time

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as stock_encode
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as StockGrpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as StockHttp

from benchmarks.measure import in_turn, ratio, table
from benchmarks.workload import agent_trace, plain, recorded
from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.export import spans as encode
from mlflow_otel.otlp import envelope

TRACES = 128
BATCH = 512
ROUNDS = 7


def stock_encoding(spans):
    """Return the stock encoder's CPU seconds for spans that were mapped before."""
    found = [plain(span) for span in spans()]
    started = time.thread_time()
    stock_encode(found).SerializeToString()
    return time.thread_time() - started


def our_encoding(found):
    """Return our encoder's CPU seconds."""
    started = time.thread_time()
    envelope.request(encode.encode_spans(found))
    return time.thread_time() - started


def encoding(spans):
    """Measure CPU µs/span to bytes: ours with the mapping, stock with the mapping done before."""
    peers = {
        "stock": lambda: stock_encoding(spans),
        "ours": lambda: our_encoding(spans()),
        "ours, encoding alone": lambda: our_encoding([plain(span) for span in spans()]),
    }
    return in_turn(peers, ROUNDS)


def sending(spans, sink, protocol, compression):
    """Measure CPU µs/span of the whole process to export."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint(protocol),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
    }
    accounting = Accounting()
    ours = MlflowSpanExporter(Settings.from_environment(environ, accounting), accounting=accounting)
    if protocol == "grpc":
        import grpc

        kind = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        stock = StockGrpc(sink.endpoint(protocol), insecure=True, compression=kind)
    else:
        kind = Compression.Gzip if compression == "gzip" else Compression.NoCompression
        stock = StockHttp(f"{sink.endpoint(protocol)}/v1/traces", compression=kind)

    def run(exporter, found):
        started = time.process_time()
        for index in range(0, len(found), BATCH):
            exporter.export(found[index : index + BATCH])
        exporter.force_flush()
        return time.process_time() - started

    peers = {
        "stock": lambda: run(stock, [plain(span) for span in spans()]),
        "ours": lambda: run(ours, spans()),
    }
    result = in_turn(peers, ROUNDS)
    ours.shutdown()
    stock.shutdown()
    assert accounting.snapshot().keys() == {"exported"}, accounting.snapshot()
    return result


def tables(sink):
    """Yield the tables."""
    spans = recorded(TRACES, agent_trace)
    number = len(spans())
    found = {name: seconds / number * 1e6 for name, seconds in encoding(spans).items()}
    rows = [[name, f"{cost:.0f}", ratio(cost, found["stock"])] for name, cost in found.items()]
    yield (
        "CPU to map, encode and serialize an 8-span agent trace",
        table(["", "µs/span", "of stock"], rows),
    )
    rows = []
    for protocol in ("grpc", "http/protobuf"):
        for compression in ("none", "gzip"):
            cost = {
                name: seconds / number * 1e6
                for name, seconds in sending(spans, sink, protocol, compression).items()
            }
            rows.append(
                [
                    protocol,
                    compression,
                    f"{cost['stock']:.0f}",
                    f"{cost['ours']:.0f}",
                    ratio(cost["ours"], cost["stock"]),
                ]
            )
    yield (
        "CPU of the process to export, mapping included in ours alone",
        table(
            ["protocol", "compression", "stock, µs/span", "ours, µs/span", "ours of stock"], rows
        ),
    )
