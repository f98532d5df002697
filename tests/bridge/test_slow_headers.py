"""A client that does not end its header lines is let go; one that is slow elsewhere is not."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mlflow_otel.bridge.slow_headers import MAX_HEADER_BYTES, limited


async def answer(request):
    assert len(await request.body()) in {0, 4}
    return PlainTextResponse("")


async def refuse(_request):
    return PlainTextResponse("", 503)


@pytest.fixture(scope="module")
def port():
    routes = (
        Route("/", answer, methods=["GET", "POST"]),
        Route("/refused", refuse, methods=["POST"]),
    )
    app = Starlette(routes=routes)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=limited(0.5), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(30)


def connected(port):
    made = socket.create_connection(("127.0.0.1", port), timeout=30)
    made.settimeout(30)
    return made


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: "])
def test_a_connection_whose_header_lines_do_not_end_is_closed(port, sent):
    with connected(port) as client:
        client.sendall(sent)
        assert client.recv(100) == b""


def test_header_lines_of_a_later_request_must_end_too(port):
    with connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET / HT")
        assert client.recv(1000) == b""


def test_a_body_may_take_longer_than_header_lines(port):
    with connected(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab")
        time.sleep(1)
        client.sendall(b"cd")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begun", [b"GET /", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: "])
def test_header_lines_have_a_bound(port, begun):
    with connected(port) as client:
        client.sendall(begun + b"a" * (MAX_HEADER_BYTES + 1 - len(begun)))
        assert client.recv(1000).startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


def test_a_body_that_nobody_reads_is_no_header_line(port):
    with connected(port) as client:
        client.sendall(b"POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 503")
        client.sendall(b"a" * 1_000_000 + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
