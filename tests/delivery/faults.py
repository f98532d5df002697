"""OTLP servers that do what a test tells them: refuse, hang, ask to wait, limit size, lie."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HANG_SECONDS = 60


def free_port():
    """Return a port that nothing listens on now.

    Below those the system gives to connections: one of these would be taken by the next, before the
    server that is meant to have it is up, or up again.
    """
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Server:
    """Answers by ``script``: a list of answers, the last one for good.

    An answer is ``"ok"``, ``"hang"``, ``("slow", seconds)``, ``("partial", response)`` or
    ``("partial taken", response)`` (whose spans are in ``names``),
    ``(status, retry seconds or None)`` or ``(status, retry, message)``; the status is a gRPC code or
    an HTTP number.
    """

    def __init__(self, script):
        self.script = list(script)
        self.times = []
        self.names = []
        self.sizes = []
        self.lock = threading.Lock()
        self.released = threading.Event()

    def next(self, body):
        with self.lock:
            self.times.append(time.monotonic())
            self.sizes.append(len(body))
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def take(self, body):
        request = ExportTraceServiceRequest.FromString(body)
        names = [s.name for r in request.resource_spans for g in r.scope_spans for s in g.spans]
        with self.lock:
            self.names += names

    def settle(self, answer, body):
        """Do what comes before the answer; return it, or the response's bytes for acceptance."""
        if answer == "hang":
            self.released.wait(HANG_SECONDS)
            return b""
        if answer[0] == "slow":
            self.released.wait(answer[1])
            self.take(body)
            return b""
        if answer == "ok":
            self.take(body)
            return b""
        if answer[0] == "partial taken":
            self.take(body)
        return answer[1] if isinstance(answer[1], bytes) else answer


class Grpc(Server):
    def __init__(self, *script, port=0, **options):
        super().__init__(script)
        self.server = grpc.server(ThreadPoolExecutor(16), options=list(options.items()))
        self.server.add_generic_rpc_handlers((Handler(self),))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    environ = property(
        lambda self: {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_METRICS_EXPORTER": "none",  # it reads traces alone
        }
    )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.stop(0).wait()


class Handler(grpc.GenericRpcHandler):
    def __init__(self, server):
        self.server = server

    def service(self, details):
        def export(body, context):
            answer = self.server.settle(self.server.next(body), body)
            if not isinstance(answer, bytes):
                status, retry, *message = answer
                if retry is not None:
                    detail = Status(code=status.value[0])
                    delay = Duration(seconds=int(retry), nanos=int(retry % 1 * 1e9))
                    detail.details.add().Pack(RetryInfo(retry_delay=delay))
                    context.set_trailing_metadata(
                        (("grpc-status-details-bin", detail.SerializeToString()),)
                    )
                context.abort(status, message[0] if message else "told to")
            return answer

        return grpc.unary_unary_rpc_method_handler(export)


class Http(Server):
    def __init__(self, *script, port=0):
        super().__init__(script)
        self.connections = []
        outer = self

        class Handle(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                outer.connections.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers["content-encoding"] == "gzip":
                    body = gzip.decompress(body)
                answer = outer.settle(outer.next(body), body)
                accepted = isinstance(answer, bytes)
                status, retry = (200, None) if accepted else answer[:2]
                content = answer if accepted else b""
                self.send_response(status)
                if retry is not None:
                    self.send_header("retry-after", str(retry))
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handle)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # connections cut by the proxy are no news
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    environ = property(
        lambda self: {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRICS_EXPORTER": "none",
        }
    )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:  # kept alive, they would be served on
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
