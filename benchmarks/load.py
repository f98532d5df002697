"""An app at full load: what it loses while the backend is there, what it holds while it is not."""

from __future__ import annotations

import json

from benchmarks.measure import in_process, table

FLAT_OUT_SECONDS = 6
OUTAGE_SECONDS = 30

APP = """
import json, os, sys, threading, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(shutdown_on_exit=False)
if os.environ["PEER"] == "stock":
    if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    processor = BatchSpanProcessor(OTLPSpanExporter())
else:
    from mlflow_otel import MlflowSpanExporter, MlflowSpanProcessor
    processor = MlflowSpanProcessor(MlflowSpanExporter())
provider.add_span_processor(processor)
tracer = provider.get_tracer("app")
values = {f"app.attribute.{n}": "v" * 300 for n in range(8)}
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
began, peak, ended = resident(), 0.0, 0
until = time.monotonic() + float(os.environ["SECONDS"])
while time.monotonic() < until:
    with tracer.start_as_current_span("root", attributes=values):
        for _ in range(7):
            with tracer.start_as_current_span("child", attributes=values):
                pass
    ended += 8
    if ended % 4000 == 0:
        peak = max(peak, resident())
if os.environ["FLUSH"] == "yes":
    processor.force_flush(60000)
found = {"ended": ended, "grown": peak - began}
if os.environ["PEER"] != "stock":
    found |= {"stats": processor.stats()}
print(json.dumps(found), flush=True)
os._exit(0)
"""


def run(peer, environ, seconds, flush):
    """Run the app; return what it said."""
    return json.loads(
        in_process(
            APP,
            {**environ, "PEER": peer, "SECONDS": str(seconds), "FLUSH": "yes" if flush else "no"},
        )
    )


def flat_out(sink):
    """Return table rows of spans ended and spans arrived."""
    rows = []
    for protocol in ("grpc", "http/protobuf"):
        for peer in ("stock", "ours"):
            environ = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint(protocol),
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
            }
            before = sink.taken()
            found = run(peer, environ, FLAT_OUT_SECONDS, flush=True)
            arrived = sink.taken() - before
            lost = 1 - arrived / found["ended"]
            rows.append([protocol, peer, found["ended"], arrived, f"{lost:.1%}"])
    return rows


def outage(tmp):
    """Return table rows of memory grown while nothing listens."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
    }
    rows = []
    for name, peer, more in (
        ("stock", "stock", {}),
        ("ours", "ours", {}),
        ("ours with a spool", "ours", {"MLFLOW_OTEL_SPOOL_DIR": f"{tmp}/spool"}),
    ):
        found = run(peer, {**environ, **more}, OUTAGE_SECONDS, flush=False)
        stats = found.get("stats", {})
        kept = sum(stats.get(key, 0) for key in ("queued", "in_flight", "held.spans"))
        rows.append(
            [
                name,
                found["ended"],
                f"{found['grown']:.0f}",
                kept if stats else "",
                stats.get("spooled", ""),
            ]
        )
    return rows


def tables(sink, tmp):
    """Yield the tables."""
    yield (
        f"An app flat out for {FLAT_OUT_SECONDS} s, defaults, spans of 2.4 KB",
        table(["protocol", "exporter", "ended", "arrived", "lost"], flat_out(sink)),
    )
    yield (
        f"Memory while nothing listens, full load for {OUTAGE_SECONDS} s",
        table(
            ["", "spans ended", "MiB grown, at most", "spans in memory", "spans spooled"],
            outage(tmp),
        ),
    )
