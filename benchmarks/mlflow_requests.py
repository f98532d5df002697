"""What MLflow's client sends of one agent's trace, recorded from the real client, for as many traces as wanted:
to a tracking server, and over OTLP.
"""

from __future__ import annotations

import http.server
import json
import random
import threading
import time
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.measure import in_process

SPANS = "/v1/traces"
INFO = "/api/3.0/mlflow/traces"
REQUEST_ID = "mlflow.traceRequestId"

CLIENT = """
import mlflow
from benchmarks import agent
from benchmarks.workload import write
write(agent.run())
mlflow.flush_trace_async_logging()
print("sent")
"""


class Said(NamedTuple):
    """What a client sends of one trace.

    Args:
        spans: Its requests with spans: two to a tracking server, as the client cuts them; one over OTLP.
        info: Its ``TraceInfo``; None over OTLP, which has none.
    """

    spans: list[ExportTraceServiceRequest]
    info: dict[str, Any] | None


class _Stub(http.server.BaseHTTPRequestHandler):
    """Answers as MLflow's server does, and keeps what came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(b"3.17.2")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.came.append((self.path, body))
        if self.path != INFO:
            return self._answer(b"")
        said = json.loads(body)
        said["trace"]["trace_info"]["tags"]["mlflow.trace.spansLocation"] = "TRACKING_STORE"
        return self._answer(json.dumps(said).encode())

    def _answer(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def recorded(*, otlp: bool = False) -> Said:
    """Return what the real client sends of one trace of the agent's.

    Args:
        otlp: Over OTLP, as MLflow's own export does; else to a tracking server.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stub)
    server.came = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        exports = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}{SPANS}",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        }
        in_process(CLIENT, {"MLFLOW_TRACKING_URI": url, **(exports if otlp else {})})
    finally:
        server.shutdown()
        server.server_close()
    return Said(
        [ExportTraceServiceRequest.FromString(body) for path, body in server.came if path == SPANS],
        None if otlp else next(json.loads(body) for path, body in server.came if path == INFO),
    )


def requests(said: Said, host: str) -> list[bytes]:
    """Return the HTTP requests of a new trace that says the same: those with spans, and the ``TraceInfo`` if any."""
    trace = random.getrandbits(128) | 1
    named = f"tr-{trace:032x}"
    moved = (
        time.time_ns() - said.spans[0].resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano
    )
    turn = random.getrandbits(63) | 1

    def other(span_id: bytes) -> bytes:
        return (int.from_bytes(span_id, "big") ^ turn).to_bytes(8, "big") if span_id else b""

    made = []
    for recorded_request in said.spans:
        request = ExportTraceServiceRequest()
        request.CopyFrom(recorded_request)
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.trace_id = trace.to_bytes(16, "big")
            span.span_id, span.parent_span_id = other(span.span_id), other(span.parent_span_id)
            span.start_time_unix_nano += moved
            span.end_time_unix_nano += moved
            for pair in span.attributes:
                if pair.key == REQUEST_ID:  # over OTLP all values are JSON
                    quoted = pair.value.string_value.startswith('"')
                    pair.value.string_value = json.dumps(named) if quoted else named
        body = request.SerializeToString()
        made.append(_request(SPANS, host, "application/x-protobuf", body))
    if said.info is None:
        return made
    info = {
        **said.info["trace"]["trace_info"],
        "trace_id": named,
        "client_request_id": f"req-{trace}",
    }
    body = json.dumps({"trace": {"trace_info": info}}).encode()
    return [*made, _request(INFO, host, "application/json", body)]


def _request(path, host, kind, body):
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\n"
        f"x-mlflow-experiment-id: 0\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
