"""nginx, HAProxy and tinyproxy between us and the server, as Debian has them."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

from mlflow_otel.delivery import retry
from tests.conformance.peers import EVERY_PROTOCOL, transport
from tests.conformance.test_answers import exporter_for
from tests.delivery import certificates
from tests.delivery.faults import Grpc, Http, free_port
from tests.export.test_exporter import make_spans

pytestmark = pytest.mark.backend
KINDS = {"grpc": Grpc, "http/protobuf": Http}
EACH = pytest.mark.parametrize("protocol", KINDS)
SBIN = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin"


@pytest.fixture(autouse=True)
def _quick_backoff(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)


def program(name):
    found = shutil.which(name, path=SBIN)
    assert found, f"{name} is not there: run tests/backends/install-packages.sh"
    return found


@contextlib.contextmanager
def running(*command, port):
    """Run a server until the block ends; it listens on ``port`` when it begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(60)


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 5;
  server {{
    listen 127.0.0.1:{port} {http2};
    location / {{ {pass_to}:{upstream}; }}
  }}
}}
"""


@EACH
def test_nginx_that_ends_a_connection_after_five_requests_gets_each_once(protocol, tmp_path):
    port = free_port()
    with KINDS[protocol](("slow", 0.05)) as server:
        grpc = protocol == "grpc"
        (tmp_path / "nginx.conf").write_text(
            NGINX.format(
                folder=tmp_path,
                port=port,
                upstream=server.port,
                http2="http2" if grpc else "",
                pass_to="grpc_pass grpc://127.0.0.1" if grpc else "proxy_pass http://127.0.0.1",
            )
        )
        command = (program("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))
        with running(*command, port=port):
            exporter, accounting = exporter_for(f"http://127.0.0.1:{port}", protocol, max_workers=4)
            for _ in range(40):
                exporter.export(make_spans(1))
            assert exporter.force_flush(60_000)
            exporter.shutdown()
    assert len(server.times) == 40
    assert accounting.snapshot() == {"exported": 40}


HAPROXY = """
global
  hard-stop-after 60s
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port} {http2}
  default_backend out
backend out
  server one 127.0.0.1:{upstream} {http2}
"""


@EACH
def test_haproxy_that_is_reloaded_with_calls_in_flight_loses_none_and_doubles_none(
    protocol, tmp_path
):
    port = free_port()
    with KINDS[protocol](("slow", 0.3)) as server:
        config = tmp_path / "haproxy.cfg"
        http2 = "proto h2" if protocol == "grpc" else ""
        config.write_text(HAPROXY.format(port=port, upstream=server.port, http2=http2))
        command = (program("haproxy"), "-db", "-f", str(config))
        with running(*command, port=port) as first:
            exporter, accounting = exporter_for(f"http://127.0.0.1:{port}", protocol, max_workers=4)
            for _ in range(20):
                exporter.export(make_spans(1))
            assert len(server.times) < 20  # calls are in flight
            with running(*command, "-sf", str(first.pid), port=port):
                for _ in range(20):
                    exporter.export(make_spans(1))
                assert exporter.force_flush(60_000)
                exporter.shutdown()
                first.send_signal(signal.SIGUSR1)
                first.wait(60)
    assert len(server.times) == 40
    counted = accounting.snapshot()
    assert (counted["exported"], counted.get("dropped", 0)) == (40, 0)


TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
LogFile "{folder}/log"
Allow 127.0.0.1
{credentials}
"""


@pytest.mark.parametrize("credentials", ["", "ann:secret@"], ids=["open", "credentials"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@EVERY_PROTOCOL
def test_through_tinyproxy_each_request_arrives(peer, secure, credentials, tmp_path, monkeypatch):
    port = free_port()
    config = tmp_path / "tinyproxy.conf"
    known = "BasicAuth ann secret" if credentials else ""
    config.write_text(TINYPROXY.format(port=port, folder=tmp_path, credentials=known))
    for name in ("no_proxy", "NO_PROXY", "grpc_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{credentials}127.0.0.1:{port}")
    files = certificates.make(tmp_path / "certificates")
    tls = (files["server.pem"], files["server.key"]) if secure else None
    sizes = [10, 100_000, 1_000_000] * 5
    with peer(tls=tls) as server, running(program("tinyproxy"), "-d", "-c", str(config), port=port):
        scheme = "https" if secure else "http"
        sender = transport(
            f"{scheme}://127.0.0.1:{server.port}", peer.protocol, certificate=files["ca.pem"]
        )
        assert [sender.send(b"x" * size, 30).result for size in sizes] == ["accepted"] * 15
        sender.close()
    assert [size for _, size in server.calls] == sizes
