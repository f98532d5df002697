"""Answers that are torn, endless, dripped, or not to be read: judged by the status, and bounded."""

from __future__ import annotations

import base64
import gzip
import logging
import socket
import threading
import time

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider

from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery import retry
from mlflow_otel.delivery.transport import Outcome
from tests.conformance.peers import (
    EVERY_PROTOCOL,
    GrpcPeer,
    Http2,
    HttpPeer,
    answering,
    read_request,
    transport,
)
from tests.export.test_exporter import make_spans

TIMEOUT = 1.0
MEBIBYTE = 1024 * 1024
GZIP_BOMB = gzip.compress(b"\0" * 64 * MEBIBYTE)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def _quick_backoff(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)


def exporter_for(endpoint, protocol, **overrides):
    accounting = Accounting()
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
    }
    settings = Settings.from_environment(environ, accounting, **overrides)
    return MlflowSpanExporter(settings, accounting=accounting), accounting


def http_answer(raw, timeout=TIMEOUT):
    """Return the outcome of a request that is answered with these bytes, and then a closed connection."""

    def answer(connection):
        read_request(connection)
        connection.sendall(raw)

    with answering(answer) as port:
        sender = transport(f"http://127.0.0.1:{port}", "http/protobuf")
        outcome = sender.send(b"", timeout)
        sender.close()
    return outcome


HTTP_ANSWERS = {
    "503, body cut short": (b"HTTP/1.1 503 U\r\nContent-Length: 500\r\n\r\noops", "retryable"),
    "503, chunks cut short": (
        b"HTTP/1.1 503 U\r\nTransfer-Encoding: chunked\r\n\r\n100\r\noops",
        "retryable",
    ),
    "503, said to be gzip": (
        b"HTTP/1.1 503 U\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\noops",
        "retryable",
    ),
    "503, unknown coding": (
        b"HTTP/1.1 503 U\r\nContent-Encoding: zz\r\nContent-Length: 4\r\n\r\noops",
        "retryable",
    ),
    "400, body cut short": (b"HTTP/1.1 400 B\r\nContent-Length: 500\r\n\r\noops", "rejected"),
    "400, no text": (
        b"HTTP/1.1 400 B\r\nContent-Type: text/plain; charset=nonsense\r\nContent-Length: 3\r\n\r\n\xe9\xe9\xe9",
        "rejected",
    ),
    "200, body cut short": (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\noops", "accepted"),
    "200, chunks cut short": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\noops",
        "accepted",
    ),
    "200, said to be gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\noops",
        "accepted",
    ),
    "200, a header of 3 MB": (
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 3_000_000 + b"\r\n\r\n",
        "accepted",
    ),
    "closed at once": (b"", "retryable"),
    "a status line cut short": (b"HTTP/1.1 20", "retryable"),
    "no HTTP": (b"\x00\x01garbage\r\n\r\n", "retryable"),
    "HTTP/2": (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00?\x00\x00", "retryable"),
    "100 and no more": (b"HTTP/1.1 100 Continue\r\n\r\n", "retryable"),
    "a proxy that wants credentials": (b"HTTP/1.1 407 P\r\nContent-Length: 0\r\n\r\n", "retryable"),
}


@pytest.mark.parametrize("name", HTTP_ANSWERS)
def test_a_status_decides_and_what_has_none_is_kept(name):
    raw, result = HTTP_ANSWERS[name]
    assert http_answer(raw).result == result


def test_a_redirect_is_not_followed():
    with HttpPeer() as elsewhere:
        raw = b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
        assert http_answer(raw % elsewhere.port).result == "rejected"
        assert not elsewhere.calls


def test_a_web_page_is_said_to_be_no_otlp_endpoint(caplog):
    def answer(connection):
        read_request(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
        )

    with answering(answer) as port:
        exporter, accounting = exporter_for(f"http://127.0.0.1:{port}", "http/protobuf")
        exporter.export(make_spans(1))
        exporter.force_flush(10_000)
        exporter.shutdown()
    assert accounting.snapshot()["no_otlp"] == 1
    assert "no OTLP endpoint" in caplog.text


def grpc_answer(answer, timeout=TIMEOUT):
    """Return the outcome of a call that ``answer`` answers, given the connection and the stream."""

    def serve(connection):
        server = Http2(connection)
        stream = server.request()
        if stream is not None and answer(server, stream) == "close":
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):  # or what was sent may be lost with the connection
            pass

    with answering(serve) as port:
        sender = transport(f"http://127.0.0.1:{port}", "grpc")
        outcome = sender.send(b"", timeout)
        sender.close()
    return outcome


def trailers(*pairs, **how):
    return lambda server, stream: server.answer(stream, *pairs, **how)


def cut_after_the_status(server, stream):
    server.headers(
        stream, (":status", "200"), ("grpc-status", "3"), ("content-type", "application/grpc")
    )
    return "close"


def reset(server, stream):
    server.h2.reset_stream(stream, 2)
    server.flush()


GRPC_ANSWERS = {
    "OK": (trailers(("grpc-status", "0")), "accepted", "OK"),
    "OK, a message that is no gzip": (
        trailers(
            ("grpc-status", "0"), body=b"\1\0\0\0\4oops", headers=(("grpc-encoding", "gzip"),)
        ),
        "accepted",
        "OK",
    ),
    "OK, no message": (trailers(("grpc-status", "0"), body=b""), "accepted", "OK"),
    "refused": (trailers(("grpc-status", "3")), "rejected", "INVALID_ARGUMENT"),
    "refused, then cut": (cut_after_the_status, "rejected", "INVALID_ARGUMENT"),
    "a code that gRPC has not": (trailers(("grpc-status", "99")), "rejected", "UNKNOWN"),
    "a huge code": (trailers(("grpc-status", "9" * 5000)), "retryable", "UNAVAILABLE"),
    "a code that is a digit to Python": (
        trailers(("grpc-status", "\u00b2")),
        "retryable",
        "UNAVAILABLE",
    ),
    "a negative code": (trailers(("grpc-status", "-1")), "retryable", "UNAVAILABLE"),
    "no status": (trailers(("x", "y")), "retryable", "UNAVAILABLE"),
    "reset": (reset, "retryable", "UNAVAILABLE"),
    "closed": (lambda *_: "close", "retryable", "UNAVAILABLE"),
    "a proxy's 503": (
        lambda server, stream: server.headers(stream, (":status", "503"), end=True),
        "retryable",
        "UNAVAILABLE",
    ),
    "a proxy's 403": (
        lambda server, stream: server.headers(stream, (":status", "403"), end=True),
        "rejected",
        "PERMISSION_DENIED",
    ),
    "details that are none": (
        trailers(("grpc-status", "14"), ("grpc-status-details-bin", "!!!")),
        "retryable",
        "UNAVAILABLE",
    ),
}


@pytest.mark.parametrize("name", GRPC_ANSWERS)
def test_a_grpc_status_decides_and_what_has_none_is_kept(name):
    answer, result, status = GRPC_ANSWERS[name]
    outcome = grpc_answer(answer)
    assert (outcome.result, outcome.status) == (result, status)


def endless(connection, sent):
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 524288000\r\n\r\n")
    for _ in range(500):
        connection.sendall(b"\0" * MEBIBYTE)
        sent.append(MEBIBYTE)


def endless_over_http2(connection, sent):
    server = Http2(connection)
    stream = server.request()
    server.headers(stream, (":status", "200"), ("content-type", "application/grpc"))
    for _ in range(500):
        server.body(stream, b"\0" * MEBIBYTE)
        sent.append(MEBIBYTE)


ENDLESS = {"grpc": (endless_over_http2, "retryable"), "http/protobuf": (endless, "accepted")}


@pytest.mark.parametrize("protocol", ENDLESS)
def test_of_an_answer_of_500_megabytes_one_is_read(protocol):
    sent = []
    answer, result = ENDLESS[protocol]
    with answering(lambda connection: answer(connection, sent)) as port:
        sender = transport(f"http://127.0.0.1:{port}", protocol)
        assert sender.send(b"", 60).result == result
        sender.close()
    assert sum(sent) < 100 * MEBIBYTE  # what the kernel's and HTTP/2's windows hold, at most


def test_what_an_answer_decompresses_to_is_bounded():
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    outcome = http_answer(head % len(GZIP_BOMB) + GZIP_BOMB, timeout=20)
    assert outcome.result == "accepted"
    assert len(outcome.response) <= MEBIBYTE
    message = b"\1" + len(GZIP_BOMB).to_bytes(4, "big") + GZIP_BOMB
    gzipped = (("grpc-encoding", "gzip"),)
    outcome = grpc_answer(trailers(("grpc-status", "0"), body=message, headers=gzipped), timeout=20)
    assert outcome.result == "accepted"
    assert len(outcome.response) <= MEBIBYTE


def dripped(connection, head, piece):
    read_request(connection)
    connection.sendall(head)
    while True:
        connection.sendall(piece)
        time.sleep(0.02)


DRIPPED = {
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"\0", "accepted"),
    "body of a refusal": (b"HTTP/1.1 503 U\r\nContent-Length: 1000000\r\n\r\n", b"a", "retryable"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n", "accepted"),
    "status line": (b"HTTP/1.1 ", b"2", "retryable"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "retryable"),
}


@pytest.mark.parametrize("name", DRIPPED)
def test_the_deadline_holds_whatever_is_dripped(name):
    head, piece, result = DRIPPED[name]
    with answering(lambda connection: dripped(connection, head, piece)) as port:
        sender = transport(f"http://127.0.0.1:{port}", "http/protobuf")
        assert sender.send(b"", TIMEOUT).result == result  # or it would never come back
        sender.close()


def test_the_deadline_holds_while_a_grpc_server_gives_signs_of_life():
    def pings(server, _stream):
        while True:
            server.h2.ping(b"12345678")
            server.flush()
            time.sleep(0.05)

    outcome = grpc_answer(pings)
    assert (outcome.result, outcome.status) == ("retryable", "DEADLINE_EXCEEDED")


def test_with_export_in_the_apps_thread_a_dripped_answer_ends_at_the_deadline():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with answering(lambda connection: dripped(connection, head, b"\0")) as port:
        exporter, accounting = exporter_for(
            f"http://127.0.0.1:{port}", "http/protobuf", asynchronous=False
        )
        exporter.export(make_spans(1))  # would never come back
        exporter.shutdown()
    assert accounting.snapshot() == {"exported": 1}


def test_a_server_that_repeats_the_netrc_files_password_makes_nothing_show_it(
    tmp_path, monkeypatch, caplog
):
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login ann password S3CRETpw\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 1
    response.partial_success.error_message = "not for S3CRETpw"
    body = response.SerializeToString()

    def answer(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with answering(answer) as port:
        exporter, accounting = exporter_for(f"http://127.0.0.1:{port}", "http/protobuf")
        exporter.export(make_spans(2))
        exporter.force_flush(10_000)
        exporter.shutdown()
    assert accounting.snapshot()["rejected_by_server"] == 1
    assert "not for" in caplog.text
    assert "S3CRET" not in caplog.text


WAITS = [
    "\u00b2",
    "9" * 400,
    "1e9",
    "-5",
    "nan",
    "Fri, 99 Foo 99999 99:99:99 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "0 0",
    "",
]


@pytest.mark.parametrize("asked", WAITS)
def test_whatever_a_server_asks_to_wait_is_a_number_of_seconds_or_nothing(asked):
    seconds = retry.retry_after(asked)
    assert seconds is None or 0 <= seconds <= retry.MAX_ASKED_SECONDS


def test_sending_threads_survive_any_wait_that_a_server_asks_for():
    answers = [
        b"HTTP/1.1 503 U\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % asked.encode("latin-1")
        for asked in WAITS
    ]
    lock = threading.Lock()

    def answer(connection):
        while read_request(connection):
            with lock:
                raw = answers.pop() if answers else OK
            connection.sendall(raw)

    with answering(answer) as port:
        exporter, accounting = exporter_for(
            f"http://127.0.0.1:{port}", "http/protobuf", max_workers=2
        )
        for _ in range(20):  # each huge wait is a request that is given up; the threads go on
            exporter.export(make_spans(1))
        exporter.force_flush(2000)
        exporter.shutdown()
    counted = accounting.snapshot()
    assert counted["exported"] + counted.get("dropped", 0) == 20
    assert counted["exported"] >= 10


def details(**delay):
    """Return ``grpc-status-details-bin`` that asks for a delay; None asks for none."""
    status = Status(code=14)
    info = RetryInfo()
    info.retry_delay.CopyFrom(Duration(**delay))
    status.details.add().Pack(info)
    return base64.b64encode(status.SerializeToString()).decode()


ASKED = {
    "the longest": details(seconds=2**63 - 1, nanos=2**31 - 1),
    "before now": details(seconds=-(2**63), nanos=-(2**31)),
    "nothing": details(),
    "nanoseconds": details(nanos=1),
    "no RetryInfo": base64.b64encode(Status(code=14).SerializeToString()).decode(),
    "garbage": base64.b64encode(b"\xff" * 40).decode(),
    "no base64": "!!!",
    "empty": "",
}


@given(st.binary(max_size=64))
def test_whatever_grpc_details_ask_for_is_a_number_of_seconds_or_nothing(data):
    for given_details in (data, base64.b64decode(ASKED["the longest"])[: len(data)] + data):
        seconds = retry.retry_info(given_details)
        assert seconds is None or 0 <= seconds <= retry.MAX_ASKED_SECONDS


@pytest.mark.parametrize("code", ["8", "14"])
def test_sending_threads_survive_any_delay_that_a_grpc_server_asks_for(code):
    waits = [value for value in ASKED.values() for _ in range(2)]
    lock = threading.Lock()

    def serve(connection):
        server = Http2(connection)
        while (stream := server.request()) is not None:
            with lock:
                asked = waits.pop() if waits else None
            pairs = [("grpc-status", "0")]
            if asked is not None:
                pairs = [("grpc-status", code), ("grpc-status-details-bin", asked)]
            server.answer(stream, *pairs)

    with answering(serve) as port:
        exporter, accounting = exporter_for(f"http://127.0.0.1:{port}", "grpc", max_workers=2)
        for _ in range(30):
            exporter.export(make_spans(1))
        exporter.force_flush(2000)
        exporter.shutdown()
    counted = accounting.snapshot()
    assert counted["exported"] + counted.get("dropped", 0) == 30
    assert counted["exported"] >= 14


@pytest.mark.parametrize("error", [7, 11])
def test_a_server_that_refuses_calls_is_not_said_to_speak_no_http2(error):
    def refuse(server, stream):
        server.h2.reset_stream(stream, error)
        server.flush()

    outcome = grpc_answer(refuse)
    assert (outcome.result, outcome.reason) == ("retryable", "network")
    assert "speaks no HTTP/2" not in outcome.message


def test_sending_threads_survive_a_fault_of_ours(caplog):
    class Broken:
        broken = True

        def send(self, _request, _timeout):
            if self.broken:
                raise MemoryError("no room")
            return Outcome("accepted", "200")

        def close(self):
            pass

    accounting = Accounting()
    settings = Settings.from_environment({}, accounting, max_workers=1)
    sender = Broken()
    exporter = MlflowSpanExporter(settings, transport=sender, accounting=accounting)
    exporter.export(make_spans(2))
    assert not exporter.force_flush(10_000)
    sender.broken = False
    exporter.export(make_spans(3))
    assert exporter.force_flush(10_000)
    exporter.shutdown()
    counted = accounting.snapshot()
    assert (counted["exported"], counted["dropped"]) == (3, 2)


@EVERY_PROTOCOL
def test_our_requests_are_not_traced_and_carry_no_trace(peer):
    seen = []

    class Looking:
        """Looks at the context that a request is sent in, as instrumentations do."""

        def send(self, request, timeout):
            seen.append(context.get_value("suppress_instrumentation"))
            return real.send(request, timeout)

        def close(self):
            real.close()

    with peer() as running:
        real = transport(f"http://127.0.0.1:{running.port}", peer.protocol)
        for asynchronous in (True, False):
            settings = Settings.from_environment({}, Accounting(), asynchronous=asynchronous)
            exporter = MlflowSpanExporter(settings, transport=Looking())
            with TracerProvider().get_tracer("app").start_as_current_span("request"):
                exporter.export(make_spans(1))
                exporter.force_flush(10_000)
                assert trace.get_current_span().is_recording()
                assert context.get_value("suppress_instrumentation") is None
    assert seen == [True, True]
    assert len(running.calls) == 2
    assert not any("traceparent" in headers for headers, _ in running.calls)


def test_one_bad_header_is_left_out_and_named_and_the_others_are_sent(caplog):
    caplog.set_level(logging.WARNING)
    with GrpcPeer() as peer:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{peer.port}",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a,bad key=S3CRET,Bearer T0KEN,x-line=a%0D%0Ab,x-user=ann",
        }
        accounting = Accounting()
        exporter = MlflowSpanExporter(
            Settings.from_environment(environ, accounting), accounting=accounting
        )
        exporter.export(make_spans(1))
        assert exporter.force_flush(10_000)
        exporter.shutdown()
    headers, _ = peer.calls[0]
    assert (headers["x-tenant"], headers["x-user"]) == ("a", "ann")
    assert "x-line" not in headers
    assert "'bad key'" in caplog.text
    assert "'x-line'" in caplog.text
    assert "entry 3" in caplog.text
    assert "S3CRET" not in caplog.text
    assert "T0KEN" not in caplog.text
