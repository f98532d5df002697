"""TLS: whom we trust, who we are, and what becomes of requests when either fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery import retry
from tests.conformance.peers import EVERY_PROTOCOL, GrpcPeer, HttpPeer, transport
from tests.delivery import certificates
from tests.delivery.faults import free_port
from tests.export.test_exporter import make_spans


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("certificates"))


def secured(files, name="server", *, clients=False):
    return (files[f"{name}.pem"], files[f"{name}.key"], *([files["ca.pem"]] if clients else []))


@EVERY_PROTOCOL
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost."])
def test_a_server_of_a_trusted_ca_is_taken(peer, host, files):
    with peer(tls=secured(files)) as running:
        sender = transport(
            f"https://{host}:{running.port}", peer.protocol, certificate=files["ca.pem"]
        )
        assert [sender.send(b"x" * 100_000, 10).result for _ in range(3)] == ["accepted"] * 3
        sender.close()


@EVERY_PROTOCOL
@pytest.mark.parametrize("name", ["expired", "other"])
def test_an_expired_certificate_or_another_hosts_is_refused_and_the_request_kept(peer, name, files):
    with peer(tls=secured(files, name)) as running:
        sender = transport(
            f"https://localhost:{running.port}", peer.protocol, certificate=files["ca.pem"]
        )
        outcome = sender.send(b"", 10)
        sender.close()
    assert (outcome.result, outcome.reason) == ("retryable", "tls")
    assert not running.calls


@EVERY_PROTOCOL
def test_a_server_of_an_unknown_ca_is_refused_and_the_request_kept(peer, files):
    with peer(tls=secured(files)) as running:
        sender = transport(f"https://localhost:{running.port}", peer.protocol)
        outcome = sender.send(b"", 10)
        sender.close()
    assert (outcome.result, outcome.reason) == ("retryable", "tls")
    assert not running.calls


@EVERY_PROTOCOL
def test_a_server_without_tls_is_told_from_one_that_is_down(peer):
    with peer() as running:
        sender = transport(f"https://localhost:{running.port}", peer.protocol)
        outcome = sender.send(b"", 10)
        sender.close()
    assert (outcome.result, outcome.reason) == ("retryable", "tls")


@EVERY_PROTOCOL
def test_a_server_with_tls_that_is_asked_without_gets_nothing(peer, files):
    with peer(tls=secured(files)) as running:
        sender = transport(f"http://localhost:{running.port}", peer.protocol)
        outcome = sender.send(b"", 10)
        sender.close()
    assert outcome.result == "retryable"
    assert outcome.reason in ({"protocol"} if peer is GrpcPeer else {"protocol", "network"})


@EVERY_PROTOCOL
def test_both_sides_show_certificates(peer, files):
    with peer(tls=secured(files, clients=True)) as running:
        endpoint = f"https://localhost:{running.port}"
        known = transport(
            endpoint,
            peer.protocol,
            certificate=files["ca.pem"],
            client_certificate=files["client.pem"],
            client_key=files["client.key"],
        )
        assert known.send(b"", 10).result == "accepted"
        unknown = transport(endpoint, peer.protocol, certificate=files["ca.pem"])
        refused = unknown.send(b"", 10)
        assert (refused.result, refused.reason) == ("retryable", "tls")
        known.close()
        unknown.close()
    assert len(running.calls) == 1


@EVERY_PROTOCOL
def test_certificate_and_key_may_be_in_one_file(peer, files, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(
        b"".join(Path(files[f"client.{kind}"]).read_bytes() for kind in ("pem", "key"))
    )
    with peer(tls=secured(files, clients=True)) as running:
        sender = transport(
            f"https://localhost:{running.port}",
            peer.protocol,
            certificate=files["ca.pem"],
            client_certificate=str(both),
        )
        assert sender.send(b"", 10).result == "accepted"
        sender.close()


@EVERY_PROTOCOL
def test_renewed_certificates_are_read_again(peer, files, tmp_path):
    """The CA, the server's certificate and ours change on disk; the process goes on."""
    later = certificates.make(tmp_path / "later")
    used = tmp_path / "used"
    used.mkdir()
    names = ("ca.pem", "client.pem", "client.key")
    for name in names:
        shutil.copy(files[name], used / name)
    with peer(port=free_port(), tls=secured(files, clients=True)) as first:
        sender = transport(
            f"https://localhost:{first.port}",
            peer.protocol,
            certificate=str(used / "ca.pem"),
            client_certificate=str(used / "client.pem"),
            client_key=str(used / "client.key"),
        )
        assert sender.send(b"", 10).result == "accepted"
    for name in names:
        shutil.copy(later[name], used / name)
    with peer(port=first.port, tls=secured(later, clients=True)):
        assert sender.send(b"", 10).result == "accepted"
        sender.close()


@EVERY_PROTOCOL
def test_an_encrypted_key_is_an_error_and_no_question_at_the_terminal(peer, files, run_app):
    code = """
    import json, os, pty, sys
    from tests.conformance.peers import transport
    master, terminal = pty.openpty()
    os.setsid()
    os.dup2(terminal, 0)
    import fcntl, termios
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)  # /dev/tty is this one: a question would wait on it
    endpoint, protocol, ca, certificate, key = json.loads(os.environ["GIVEN"])
    outcome = transport(
        endpoint, protocol, certificate=ca, client_certificate=certificate, client_key=key
    ).send(b"", 10)
    print(json.dumps([outcome.result, outcome.reason]))
    """
    import json

    with peer(tls=secured(files, clients=True)) as running:
        given = [
            f"https://localhost:{running.port}",
            peer.protocol,
            *(files[name] for name in ("ca.pem", "client.pem", "encrypted.key")),
        ]
        environ = {"GIVEN": json.dumps(given), "PYTHONPATH": os.pathsep.join(sys.path)}
        assert run_app(code, environ, timeout=60) == ["retryable", "tls"]


VARIABLES = {
    GrpcPeer: ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE"),
    HttpPeer: ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
}


@pytest.mark.parametrize(
    ("peer", "variable"), [(peer, name) for peer, names in VARIABLES.items() for name in names]
)
def test_variables_name_the_trusted_certificates(peer, variable, files, monkeypatch):
    for name in {name for names in VARIABLES.values() for name in names}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, files["ca.pem"])
    with peer(tls=secured(files)) as running:
        sender = transport(f"https://localhost:{running.port}", peer.protocol)
        assert sender.send(b"", 10).result == "accepted"
        sender.close()


@EVERY_PROTOCOL
def test_a_folder_of_certificates_is_trusted_beside_the_file(peer, files, tmp_path, monkeypatch):
    for name in {name for names in VARIABLES.values() for name in names}:
        monkeypatch.delenv(name, raising=False)
    command = ("openssl", "x509", "-noout", "-hash", "-in", files["ca.pem"])
    hashed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / f"{hashed}.0").write_bytes(Path(files["ca.pem"]).read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    for others in ("", files["client.pem"]):
        monkeypatch.setenv("SSL_CERT_FILE", others)
        with peer(tls=secured(files)) as running:
            sender = transport(f"https://localhost:{running.port}", peer.protocol)
            assert sender.send(b"", 10).result == "accepted"
            sender.close()


@EVERY_PROTOCOL
def test_a_file_that_is_not_there_is_an_error_that_names_it(peer):
    with pytest.raises(OSError, match=r"no\.pem"):
        transport("https://localhost:1", peer.protocol, certificate="/no.pem")


@EVERY_PROTOCOL
def test_a_certificate_that_is_written_later_loses_nothing(peer, files, tmp_path, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)
    roots = tmp_path / "roots.pem"
    accounting = Accounting()
    with peer(tls=secured(files)) as running:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{running.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": peer.protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(roots),
        }
        exporter = MlflowSpanExporter(
            Settings.from_environment(environ, accounting), accounting=accounting
        )
        exporter.export(make_spans(2))
        while not accounting.snapshot().get("retried"):
            time.sleep(0.01)
        shutil.copy(files["ca.pem"], tmp_path / "new")
        (tmp_path / "new").rename(roots)
        assert exporter.force_flush(20_000)
        exporter.shutdown()
    assert accounting.snapshot()["exported"] == 2
