"""Servers that take everything, in a process of their own: OTLP over gRPC and HTTP, counting spans."""

from __future__ import annotations

import gzip
import http.server
import json
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Sink:
    """The process, its ports, and how many spans it took."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE, text=True
        )
        self.grpc_port, self.http_port = json.loads(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def endpoint(self, protocol):
        """Return the endpoint of ``grpc`` or ``http/protobuf``."""
        return f"http://127.0.0.1:{self.grpc_port if protocol == 'grpc' else self.http_port}"

    def taken(self):
        """Return how many spans came."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/") as answer:
            return int(answer.read())


def main():
    """Serve until killed."""
    lock, taken = threading.Lock(), [0]

    def take(body):
        request = ExportTraceServiceRequest.FromString(body)
        number = sum(len(g.spans) for r in request.resource_spans for g in r.scope_spans)
        with lock:
            taken[0] += number

    class Handler(grpc.GenericRpcHandler):
        def service(self, _details):
            return grpc.unary_unary_rpc_method_handler(lambda body, _context: take(body) or b"")

    class Http(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/v1/traces"):
                take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.answer(b"")

        def do_GET(self):
            self.answer(str(taken[0]).encode())

        def answer(self, body):
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Http)
    print(json.dumps([port, web.server_port]), flush=True)
    web.serve_forever()


if __name__ == "__main__":
    main()
