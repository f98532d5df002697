"""What the receiver does not take, and how much it keeps."""

from __future__ import annotations

import gzip
import http.client
import zlib

import grpc
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.receiver import server
from mlflow_otel.receiver.records import Store
from mlflow_otel.receiver.server import TooLargeError, decompress

HEADERS = {"content-type": "application/x-protobuf"}
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def request_of(*names):
    request = ExportTraceServiceRequest()
    for name in names:
        request.resource_spans.add().scope_spans.add().spans.add(name=name)
    return request.SerializeToString()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(["gzip", "deflate"]), st.integers(0, 4000))
def test_a_body_is_decompressed_up_to_the_limit(body, encoding, limit):
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    if len(body) > limit:
        with pytest.raises(TooLargeError):
            decompress(packed, encoding, limit)
    else:
        assert decompress(packed, encoding, limit) == body
        assert decompress(body, "") == body
        if encoding == "gzip":
            assert decompress(packed + gzip.compress(b""), encoding, limit) == body


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_a_body_that_is_not_compressed_so_is_an_error(body, encoding):
    if not body:
        body = b"\0"
    with pytest.raises((ValueError, zlib.error, TooLargeError)):
        decompress(body, encoding)


def bomb(mebibytes):
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"\0" * 2**20
    return b"".join([*(stream.compress(zeros) for _ in range(mebibytes)), stream.flush()])


def test_a_body_that_unpacks_to_gigabytes_is_refused_and_the_next_is_taken(receiver):
    packed = bomb(1500)
    url = f"{receiver.http_endpoint}/v1/traces"
    with httpx.Client() as client:
        answer = client.post(url, content=packed, headers={**HEADERS, "content-encoding": "gzip"})
        assert answer.status_code == 413
        assert client.post(url, content=request_of("a"), headers=HEADERS).status_code == 200
    assert [span["name"] for span in receiver.store.spans()] == ["a"]


def test_a_grpc_message_that_unpacks_to_more_is_refused_and_the_next_is_taken(receiver):
    options = (("grpc.max_send_message_length", -1),)
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}", options) as channel:
        call = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError) as raised:
            call(b"\0" * (server.MAX_BODY_BYTES + 1000), compression=grpc.Compression.Gzip)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call(request_of("a")) == b""


@pytest.mark.parametrize(
    "length", ["-1", "x", "1e3", "9" * 30, str(server.MAX_BODY_BYTES + 1), "٣"]
)
def test_a_length_that_cannot_be_is_answered_and_nothing_breaks(receiver, length):
    connection = http.client.HTTPConnection("127.0.0.1", receiver.http_port, timeout=10)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("content-type", "application/x-protobuf")
    connection.putheader("content-length", length.encode())
    connection.endheaders()
    assert connection.getresponse().status in {400, 411, 413}
    connection.close()
    url = f"{receiver.http_endpoint}/v1/traces"
    assert httpx.post(url, content=request_of("a"), headers=HEADERS).status_code == 200


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=20), st.integers(1, 10), st.integers(1, 400))
def test_the_newest_requests_are_kept_within_records_and_bytes(sizes, limit, max_bytes):
    store = Store(limit, max_bytes=max_bytes)
    bodies = [request_of(*(f"{i}-{n}" for n in range(size))) for i, size in enumerate(sizes)]
    for body in bodies:
        store.add("traces", body)
    kept = [span["name"] for span in store.spans()]
    sent = [f"{i}-{n}" for i, size in enumerate(sizes) for n in range(size)]
    assert kept == sent[len(sent) - len(kept) :]
    assert len(kept) <= max(limit, 0)
    if sizes:
        assert kept  # the last one, whatever its size
    whole = {name.partition("-")[0] for name in kept}
    if len(whole) > 1:
        assert sum(len(bodies[int(i)]) for i in whole) <= max_bytes
