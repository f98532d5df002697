"""The bridge as a service: it ends well, asks for credentials, and says what is wrong with its options."""

from __future__ import annotations

import signal
import ssl
from pathlib import Path

import grpc
import httpx
import pytest
from click.testing import CliRunner

from mlflow_otel.cli import main
from tests.bridge.parts import Part, info_body, otlp_span
from tests.bridge.running import running
from tests.bridge.test_http import PROTOBUF, foreign, request
from tests.delivery import certificates

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
API = "/api/3.0/mlflow"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("# two of them\nsecret-token\nann:pass:word\n")
    with running("--token-file", str(tokens)) as bridge:
        yield bridge


def export(bridge, body, metadata=()):
    with grpc.insecure_channel(bridge.grpc) as channel:
        return channel.unary_unary(EXPORT)(body, metadata=metadata, timeout=60)


def test_each_credential_of_the_file_lets_in_and_nothing_else_does(guarded):
    path = f"{guarded.http}{API}/experiments/search"
    assert httpx.get(f"{guarded.http}/version").is_success
    assert httpx.get(path).status_code == httpx.get(f"{guarded.http}/metrics").status_code == 401
    assert httpx.get(path, headers={"authorization": "Bearer secret-token"}).is_success
    assert httpx.get(path, auth=("ann", "pass:word")).is_success
    assert httpx.get(path, auth=("ann", "pass")).status_code == 401
    assert httpx.get(path, headers={"authorization": "Bearer secret"}).status_code == 401
    with pytest.raises(grpc.RpcError) as refused:
        export(guarded, b"")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_grpc_takes_spans_and_refuses_what_is_none(guarded):
    credentials = (("authorization", "Bearer secret-token"),)
    body = request(foreign(77), scope="fastapi").SerializeToString()
    assert export(guarded, body, credentials) == b""
    assert guarded.spans(1)[0]["attributes"] == {"http.route": "/ask"}
    with pytest.raises(grpc.RpcError) as refused:
        export(guarded, b"\xff\xff", credentials)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_held_leaves_when_the_bridge_is_told_to_end():
    with running() as bridge:
        httpx.post(f"{bridge.http}{API}/traces", json=info_body(5))
        body = request(otlp_span(Part(5, 2, 1))).SerializeToString()
        assert httpx.post(f"{bridge.http}/v1/traces", content=body, headers=PROTOBUF).is_success
        assert bridge.receiver.store.spans() == []
        assert bridge.stop(signal.SIGINT) == 0
        (span,) = bridge.receiver.store.spans()
        assert span["attributes"]["session.id"] == "s-1"


def test_too_much_that_waits_is_refused_until_later():
    env = {
        "MLFLOW_OTEL_MAX_HELD_BYTES": "20000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    with running("--drain", "0", env=env) as bridge, httpx.Client(base_url=bridge.http) as client:
        waiting = request(otlp_span(Part(9, 1, 0))).SerializeToString()
        assert client.post("/v1/traces", content=waiting, headers=PROTOBUF).is_success
        body = request(*(foreign(5, n) for n in range(1, 50)), scope="x").SerializeToString()
        answers = {}

        def come(name, ask):
            """Ask until it is refused; the spans in between fill what waits."""
            for _ in range(2000):
                client.post("/v1/traces", content=body, headers=PROTOBUF)
                answers[name] = ask()
                if answers[name].status_code == 503:
                    return
            raise AssertionError(f"{name} was never refused")

        come("spans", lambda: client.post("/v1/traces", content=body, headers=PROTOBUF))
        come("info", lambda: client.post(f"{API}/traces", json=info_body(5)))
        come("ready", lambda: client.get("/readyz"))
        assert int(answers["spans"].headers["retry-after"]) >= 2
        assert int(answers["info"].headers["retry-after"]) >= 2
        assert client.get("/healthz").is_success
        # A span waits for this one: it is taken all the same.
        assert bridge.counters()["held.items"] == 1
        assert client.post(f"{API}/traces", json=info_body(9)).is_success
        assert bridge.counters()["held.items"] == 0
        with pytest.raises(grpc.RpcError) as refused:
            for _ in range(2000):
                export(bridge, body)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "grpc-status-details-bin" in dict(refused.value.trailing_metadata())


def command(*arguments):
    return CliRunner().invoke(main, ["bridge", *arguments])


def test_a_bridge_that_would_send_to_itself_does_not_start(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:43170")
    done = command("--grpc", "127.0.0.1:43170")
    assert done.exit_code == 1
    assert "is the bridge itself" in done.output


def test_a_bridge_that_would_ask_for_a_token_and_has_none_does_not_start(tmp_path):
    (tmp_path / "tokens").write_text("# none\n")
    done = command("--token-file", str(tmp_path / "tokens"), "--grpc", "127.0.0.1:0")
    assert done.exit_code == 1
    assert "holds no token" in done.output


@pytest.mark.parametrize(
    "arguments", [("--http", "localhost"), ("--http", "localhost:x"), ("--tls-key", __file__)]
)
def test_options_that_cannot_be_are_usage_errors(arguments):
    assert command(*arguments).exit_code == 2


def test_with_tls_both_ports_are_encrypted_and_clients_show_their_certificate(tmp_path):
    files = certificates.make(tmp_path / "tls")
    options = ["--tls-cert", files["server.pem"], "--tls-key", files["server.key"]]
    trusted = ssl.create_default_context(cafile=files["ca.pem"])
    with running(*options, "--tls-client-ca", files["ca.pem"]) as bridge:
        assert bridge.http.startswith("https://")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{bridge.http}/version", verify=trusted)
        trusted.load_cert_chain(files["client.pem"], files["client.key"])
        assert httpx.get(f"{bridge.http}/version", verify=trusted).is_success
        root, key, chain = (
            Path(files[name]).read_bytes() for name in ("ca.pem", "client.key", "client.pem")
        )
        shown = grpc.ssl_channel_credentials(root, key, chain)
        with grpc.secure_channel(bridge.grpc.removeprefix("https://"), shown) as channel:
            assert channel.unary_unary(EXPORT)(b"", timeout=60) == b""
