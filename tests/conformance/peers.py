"""Servers for the conformance tests: with TLS, that remember headers, that never end, that go silent."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events
import hyperframe.frame
import pytest

from mlflow_otel.delivery.transport import open_transport
from mlflow_otel.settings import OtlpSettings

OPTIONS = (("grpc.so_reuseport", 0),)


class GrpcPeer:
    """grpcio's server: takes everything, remembers each call's headers and size."""

    protocol = "grpc"

    def __init__(self, port=0, tls=None, address="127.0.0.1", options=OPTIONS):
        self.calls = []
        peer = self

        class Handle(grpc.GenericRpcHandler):
            def service(self, details):
                def export(body, context):
                    peer.calls.append((dict(context.invocation_metadata()), len(body)))
                    return b""

                return grpc.unary_unary_rpc_method_handler(export)

        self.server = grpc.server(
            ThreadPoolExecutor(8), options=(*options, ("grpc.max_receive_message_length", -1))
        )
        self.server.add_generic_rpc_handlers((Handle(),))
        where = address if address.startswith("unix") else f"{address}:{port}"
        self.port = (
            self.server.add_secure_port(where, grpc_credentials(tls))
            if tls
            else self.server.add_insecure_port(where)
        )
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop(0).wait()


def grpc_credentials(tls):
    """Return grpcio's credentials of (certificate, key[, CA that clients must be of])."""
    certificate, key, *roots = (Path(path).read_bytes() for path in tls)
    return grpc.ssl_server_credentials(
        [(key, certificate)], *(roots or [None]), require_client_auth=bool(roots)
    )


class HttpPeer:
    """Python's own HTTP server: takes everything, remembers each request's headers and size."""

    protocol = "http/protobuf"

    def __init__(self, port=0, tls=None, address="127.0.0.1", refuses_empty=False):
        self.calls = []
        self.connections = []
        peer = self

        class Handle(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                size = len(self.rfile.read(int(self.headers["content-length"])))
                headers = {key.lower(): value for key, value in self.headers.items()}
                peer.calls.append((headers, size))
                # Two bytes are a resource without spans.
                self.send_response(400 if refuses_empty and size <= 2 else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

            def finish_request(self, request, client_address):
                if tls:  # in the connection's own thread: a handshake that hangs holds up no other
                    request = server_context(tls).wrap_socket(request, server_side=True)
                peer.connections.append(request)
                super().finish_request(request, client_address)

            def handle_error(self, *_):
                pass

        self.server = Server((address, port), Handle)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


EVERY_PROTOCOL = pytest.mark.parametrize("peer", [GrpcPeer, HttpPeer], ids=["grpc", "http"])
"""Runs a test with the peer of each protocol; a new protocol gets its peer here."""


def server_context(tls):
    """Return Python's TLS context of (certificate, key[, CA that clients must be of])."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls[0], tls[1])
    if len(tls) > 2:
        context.load_verify_locations(tls[2])
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def transport(endpoint, protocol, **options):
    """Return a transport for traces."""
    if protocol != "grpc" and "://" in endpoint:
        endpoint += "/v1/traces"
    return open_transport("traces", OtlpSettings(endpoint, protocol, **options))


@contextlib.contextmanager
def answering(answer):
    """Listen on loopback; ``answer`` gets each connection, in a thread of its own. Yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def serve(connection):
        with contextlib.suppress(OSError), connection:
            answer(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def read_request(connection):
    """Read one HTTP/1.1 request; False when the client closed instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return False
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))
    return True


class Http2:
    """The server's side of one HTTP/2 connection, for answers that no server's library gives."""

    def __init__(self, connection):
        self.connection = connection
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.connection.sendall(self.h2.data_to_send())

    def request(self):
        """Read until a request ended; return its stream, or None when the client closed."""
        while True:
            data = self.connection.recv(65536)
            if not data:
                return None
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, h2.events.StreamEnded):
                    self.flush()
                    return event.stream_id
            self.flush()

    def leave(self):
        """Say GOAWAY for later streams, and ask for a sign of life, as grpc-go does."""
        leaving = hyperframe.frame.GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=0)
        ping = hyperframe.frame.PingFrame(0, opaque_data=b"grpc-go!")
        self.connection.sendall(leaving.serialize() + ping.serialize())

    def headers(self, stream, *pairs, end=False):
        self.h2.send_headers(stream, pairs, end_stream=end)
        self.flush()

    def body(self, stream, data):
        """Send as the client makes room."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                received = self.connection.recv(65536)
                if not received:
                    raise OSError("closed")
                self.h2.receive_data(received)
            else:
                self.h2.send_data(stream, data[:room])
                data = data[room:]
            self.flush()

    def answer(self, stream, *trailers, body=b"\0\0\0\0\0", headers=()):
        """Answer as gRPC does."""
        self.headers(stream, (":status", "200"), ("content-type", "application/grpc"), *headers)
        self.body(stream, body)
        self.headers(stream, *trailers, end=True)
