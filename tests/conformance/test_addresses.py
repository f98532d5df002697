"""How an endpoint may be written, and which way its requests take."""

from __future__ import annotations

import base64
import contextlib
import socket

import pytest
from proxy import Proxy as ProxyServer

from tests.conformance.peers import EVERY_PROTOCOL, GrpcPeer, HttpPeer, answering, transport
from tests.delivery.faults import free_port

VARIABLES = [f"{name}_proxy" for name in ("grpc", "http", "https", "all", "no", "no_grpc")]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "form",
    [
        "127.0.0.1:{port}",
        "localhost:{port}",
        "localhost.:{port}",
        "http://127.0.0.1:{port}",
        "http://localhost.:{port}",
        "dns:localhost:{port}",
        "dns:///localhost:{port}",
        "dns://127.0.0.53/localhost:{port}",
        "ipv4:127.0.0.1:{port}",
        "http://[::ffff:127.0.0.1]:{port}",
    ],
)
def test_what_grpc_takes_for_a_target_is_taken(form):
    with GrpcPeer() as peer:
        sender = transport(form.format(port=peer.port), "grpc", insecure=True)
        assert sender.send(b"", 5).result == "accepted"
        sender.close()


@pytest.mark.parametrize("form", ["ipv6:[::1]:{port}", "http://[::1]:{port}"])
def test_an_ipv6_address_is_taken(form):
    with GrpcPeer(address="[::1]") as peer:
        sender = transport(form.format(port=peer.port), "grpc", insecure=True)
        assert sender.send(b"", 5).result == "accepted"
        sender.close()


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("127.0.0.2", "ipv4:127.0.0.3:{port},127.0.0.2:{port}"),
        ("127.0.0.3", "ipv4:127.0.0.3:{port},127.0.0.2:{port}"),
        ("[::1]", "ipv6:[::1]:{port},[::1]:{port}"),
    ],
)
def test_of_several_addresses_one_that_answers_is_taken(address, form):
    with GrpcPeer(address=address) as peer:
        sender = transport(form.format(port=peer.port), "grpc", insecure=True)
        assert sender.send(b"", 5).result == "accepted"
        sender.close()


def test_several_addresses_have_one_port():
    with pytest.raises(ValueError, match="give them one port"):
        transport("ipv4:127.0.0.1:1,127.0.0.2:2", "grpc", insecure=True)


@pytest.mark.parametrize("excepted", ["::1", "[::1]", "a.example, [::1]", "[::1]:{port}"])
def test_an_ipv6_address_that_no_proxy_names_is_reached_without(excepted, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with GrpcPeer(address="[::1]") as peer:
        monkeypatch.setenv("no_proxy", excepted.format(port=peer.port))
        sender = transport(f"http://[::1]:{peer.port}", "grpc", insecure=True)
        assert sender.send(b"", 5).result == "accepted"
        sender.close()


@pytest.mark.parametrize("form", ["unix:{path}", "unix://{path}", "unix:otel.sock"])
def test_a_unix_domain_socket_is_taken(form, tmp_path):
    path = tmp_path / "otel.sock"
    with GrpcPeer(address=f"unix:{path}") as peer:
        sender = transport(form.format(path=path), "grpc", insecure=True)
        assert sender.send(b"", 5).result == "accepted"
        assert len(peer.calls) == 1
        sender.close()


def test_an_abstract_unix_domain_socket_is_taken():
    name = f"mlflow-otel-{free_port()}"
    with GrpcPeer(address=f"unix-abstract:{name}") as peer:
        sender = transport(f"unix-abstract:{name}", "grpc", insecure=True)
        assert [sender.send(b"", 5).result for _ in range(2)] == ["accepted"] * 2
        assert len(peer.calls) == 2
        sender.close()


def test_http_takes_a_host_with_a_trailing_dot_and_one_without_a_scheme():
    with HttpPeer() as peer:
        for endpoint in (f"http://localhost.:{peer.port}", f"127.0.0.1:{peer.port}/v1/traces"):
            sender = transport(endpoint, "http/protobuf")
            assert sender.send(b"", 5).result == "accepted"
            sender.close()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize(
    "endpoint", ["http://", "http://:1", "http://[::1", "http://host:port", "http://host:99999"]
)
def test_what_names_no_host_is_an_error_that_says_so(endpoint, protocol):
    with pytest.raises(ValueError, match=r"host|IPv6|[Pp]ort"):
        transport(endpoint, protocol)


def test_http_takes_no_other_scheme():
    with pytest.raises(ValueError, match="is no URL for HTTP"):
        transport("ftp://host:21", "http/protobuf")


def test_an_unknown_protocol_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match="grpc, http/protobuf"):
        transport("http://host:1", "http/json")


@EVERY_PROTOCOL
def test_credentials_in_the_endpoint_are_sent_as_basic_authentication(peer):
    with peer() as running:
        sender = transport(f"http://ann:p%40ss@127.0.0.1:{running.port}", peer.protocol)
        assert sender.send(b"", 5).result == "accepted"
        sender.close()
    headers, _ = running.calls[0]
    assert headers["authorization"] == "Basic " + base64.b64encode(b"ann:p@ss").decode()


@EVERY_PROTOCOL
def test_an_authorization_header_that_was_set_beats_the_endpoints(peer):
    with peer() as running:
        sender = transport(
            f"http://ann:pass@127.0.0.1:{running.port}",
            peer.protocol,
            headers=(("authorization", "Bearer t"), ("x-empty", ""), ("x-tenant", "ü")),
        )
        assert sender.send(b"", 5).result == "accepted"
        sender.close()
    headers, _ = running.calls[0]
    assert headers["authorization"] == "Bearer t"
    assert "x-empty" in headers
    assert "x-tenant" in headers


@EVERY_PROTOCOL
def test_headers_that_say_how_a_request_is_framed_are_not_the_users_to_set(peer):
    with peer() as running:
        sender = transport(
            f"http://127.0.0.1:{running.port}",
            peer.protocol,
            headers=(("content-length", "999"), ("te", "gzip"), ("x", "a\r\nx-forged: 1")),
        )
        assert sender.send(b"", 5).result == "accepted"
        sender.close()
    headers, _ = running.calls[0]
    assert "x-forged" not in headers


@EVERY_PROTOCOL
def test_the_first_address_of_a_name_may_be_a_black_hole(peer):
    """``localhost`` is ::1 and 127.0.0.1: what listens on the first takes no connection."""
    with peer() as running, black_hole("::1", running.port):
        sender = transport(f"http://localhost:{running.port}", peer.protocol)
        assert sender.send(b"", 10).result == "accepted"
        sender.close()


@contextlib.contextmanager
def black_hole(address, port):
    """Listen with a queue that is full: the kernel drops what comes then, as a firewall would."""
    with socket.socket(socket.AF_INET6) as listener, contextlib.ExitStack() as held:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket(socket.AF_INET6))
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


@pytest.fixture(scope="module")
def proxy_port():
    """proxy.py, which wants credentials."""
    with ProxyServer(
        [
            "--port",
            "0",
            "--basic-auth",
            "ann:secret",
            "--num-workers",
            "1",
            "--num-acceptors",
            "1",
            "--log-level",
            "ERROR",
        ]
    ) as running:
        yield running.flags.port


WAYS = {
    GrpcPeer: ("grpc_proxy", "https_proxy", "http_proxy"),
    HttpPeer: ("http_proxy", "all_proxy"),
}


@pytest.mark.parametrize(
    ("peer", "variable"), [(p, name) for p, names in WAYS.items() for name in names]
)
@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
def test_a_proxy_is_taken_with_its_credentials(peer, variable, size, proxy_port, monkeypatch):
    monkeypatch.setenv(variable, f"http://ann:secret@127.0.0.1:{proxy_port}")
    with peer() as running:
        sender = transport(f"http://127.0.0.1:{running.port}", peer.protocol)
        assert [sender.send(b"x" * size, 20).result for _ in range(3)] == ["accepted"] * 3
        sender.close()
    assert [length for _, length in running.calls] == [size] * 3


@EVERY_PROTOCOL
def test_a_proxy_that_refuses_is_no_refusal_of_the_server(peer, proxy_port, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://ann:wrong@127.0.0.1:{proxy_port}")
    with peer() as running:
        sender = transport(f"http://127.0.0.1:{running.port}", peer.protocol)
        assert sender.send(b"", 10).result == "retryable"
        sender.close()
    assert not running.calls


@EVERY_PROTOCOL
@pytest.mark.parametrize(
    "proxy",
    [
        "http://127.0.0.1:9",
        "socks5://127.0.0.1:9",
        "socks9://127.0.0.1:9",
        "http://no.such.host.invalid:1",
        "http://[",
        "http://127.0.0.1:port",
    ],
)
def test_whatever_is_wrong_with_a_proxy_is_retryable(peer, proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", proxy)
    with peer() as running:
        sender = transport(f"http://127.0.0.1:{running.port}", peer.protocol)
        assert sender.send(b"", 10).result == "retryable"
        sender.close()


@EVERY_PROTOCOL
@pytest.mark.parametrize(
    "proxy",
    [
        "http://ann:S3CRET@[",
        "socks9://ann:S3CRET@127.0.0.1:9",
        "http://ann:S3CRET@127.0.0.1:port",
        "ann:S3CRET@@:1",
        "http://ann:S3%2fCRET@127.0.0.1:port",
    ],
)
def test_what_is_wrong_with_a_proxy_is_said_without_its_credentials(peer, proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", proxy)
    sender = transport("http://127.0.0.1:1", peer.protocol)
    outcome = sender.send(b"", 10)
    sender.close()
    assert "proxy" in outcome.message
    assert "CRET" not in outcome.message


def test_a_proxy_that_repeats_what_it_was_sent_makes_nothing_show_its_credentials(monkeypatch):
    def repeat(connection):
        said = connection.recv(65536)
        connection.sendall(b"HTTP/1.1 403 F\r\nContent-Length: %d\r\n\r\n" % len(said) + said)

    with answering(repeat) as port:
        monkeypatch.setenv("http_proxy", f"http://ann:S3CRET@127.0.0.1:{port}")
        sender = transport("http://collector.invalid:1", "http/protobuf")
        outcome = sender.send(b"", 10)
        sender.close()
    assert "Proxy-Authorization" in outcome.message
    assert base64.b64encode(b"ann:S3CRET").decode() not in outcome.message


@EVERY_PROTOCOL
@pytest.mark.parametrize(
    "excepted", ["127.0.0.1", "127.0.0.0/8", "example.com,127.0.0.1", "*", "127.0.0.1:{port}"]
)
def test_hosts_that_no_proxy_names_are_reached_without(peer, excepted, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with peer() as running:
        monkeypatch.setenv("no_proxy", excepted.format(port=running.port))
        sender = transport(f"http://127.0.0.1:{running.port}", peer.protocol)
        assert sender.send(b"", 10).result == "accepted"
        sender.close()


def test_http_takes_the_users_netrc_where_no_credentials_are_set(tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login ann password se:cret\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    with HttpPeer() as running:
        sender = transport(f"http://127.0.0.1:{running.port}", "http/protobuf")
        assert sender.send(b"", 5).result == "accepted"
        sender.close()
    assert (
        running.calls[0][0]["authorization"] == "Basic " + base64.b64encode(b"ann:se:cret").decode()
    )
