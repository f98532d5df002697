"""No credential in anything that is shown or kept: logs at every level, repr, stats, env, doctor, errors, spool."""

from __future__ import annotations

import base64
import gzip
import http.server
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import grpc
import pytest

from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.backends.model import BackendError, Condition, TraceQuery
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.cli import doctor, env
from tests.export.test_exporter import make_spans

TOKEN = "t0ken-6f1d2c3b4a"
PASSWORD = "pa55-w0rd-of-ann"
API_KEY = "k3y-9e8d7c6b5a49"
PATH = "p4th-0123456789ab"
BASIC = base64.b64encode(f"ann-the-user:{PASSWORD}".encode()).decode()
SECRETS = (TOKEN, PASSWORD, API_KEY, PATH, BASIC, "ann-the-user")


class Echo:
    """Answers every HTTP request with all of its headers and its path, and a status; gRPC calls likewise."""

    def __init__(self, status):
        class Handle(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                said = f"{self.path} {urlsplit(self.path)} {self.headers} \x1b[31mERROR forged"
                body = said.encode()
                self.send_response(status, f"no {self.headers.get('authorization')}")
                self.send_header("content-length", str(len(body)))
                self.send_header("x-echo", str(self.headers.get("authorization")))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handle)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        code = {400: grpc.StatusCode.INVALID_ARGUMENT, 401: grpc.StatusCode.UNAUTHENTICATED}
        outer_code = code.get(status, grpc.StatusCode.UNAVAILABLE)

        class Services(grpc.GenericRpcHandler):
            def service(self, _details):
                def export(_body, context):
                    context.abort(outer_code, f"no: {dict(context.invocation_metadata())}\nforged")

                return grpc.unary_unary_rpc_method_handler(export)

        self.grpc = grpc.server(ThreadPoolExecutor(4))
        self.grpc.add_generic_rpc_handlers((Services(),))
        self.grpc_port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()

    def environ(self, protocol):
        port = self.grpc_port if protocol == "grpc" else self.http.server_port
        path = "" if protocol == "grpc" else f"/{PATH}/v1/traces?key={API_KEY}"
        return {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://ann-the-user:{PASSWORD}@127.0.0.1:{port}{path}",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"authorization=Bearer {TOKEN},x-api-key={API_KEY}",
            "OTEL_METRICS_EXPORTER": "none",
            "MLFLOW_TRACKING_URI": f"http://ann-the-user:{PASSWORD}@127.0.0.1:9",
            "MLFLOW_OTEL_TRACE_LOOKUP": f"tempo+http://ann-the-user:{PASSWORD}@127.0.0.1:{self.http.server_port}",
            "MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT": "2",
            "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT": "0.2",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.grpc.stop(0).wait()


def logged(caplog):
    """Return all that was logged, at every level, by whatever library."""
    return "\n".join(f"{r.name} {r.getMessage()} {r.exc_text}" for r in caplog.records)


def assert_clean(text):
    text = str(text)
    assert not [secret for secret in SECRETS if secret in text], text
    assert "\x1b" not in text


@pytest.mark.parametrize("spool", [False, True])
@pytest.mark.parametrize("status", [400, 401, 503])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_server_that_repeats_what_it_was_sent_makes_nothing_show_a_secret(
    protocol, status, spool, caplog, tmp_path
):
    caplog.set_level(logging.DEBUG)
    with Echo(status) as server:
        environ = server.environ(protocol)
        if spool:
            environ["MLFLOW_OTEL_SPOOL_DIR"] = str(tmp_path / "spool")
        accounting = Accounting()
        settings = Settings.from_environment(environ, accounting)
        exporter = MlflowSpanExporter(settings, accounting=accounting)
        exporter.export(make_spans(2))
        assert exporter.force_flush(5000) is False
        exporter.shutdown()
    ours = [r for r in caplog.records if r.name.startswith("mlflow_otel")]
    assert ours
    for record in ours:
        assert_clean(record.getMessage())
        assert "\n" not in record.getMessage()
    assert_clean(logged(caplog))
    assert_clean(accounting.snapshot())
    for file in tmp_path.rglob("*"):
        assert_clean(file)
        if file.is_file():
            data = file.read_bytes()
            assert_clean(gzip.decompress(data) if file.name.endswith(".gz") else data)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_repr_env_and_doctor_show_no_secret(protocol, caplog, capsys, monkeypatch, tmp_path):
    caplog.set_level(logging.DEBUG)
    with Echo(401) as server:
        for name, value in server.environ(protocol).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MLFLOW_OTEL_SPOOL_DIR", str(tmp_path))
        settings = Settings.from_environment()
        for shown in (repr(settings), str(settings), f"{settings.traces!r}", f"{settings.traces}"):
            assert_clean(shown)
            assert "127.0.0.1" in shown
            assert "x-api-key=…" in shown
        env.env()
        doctor.doctor()
    said = capsys.readouterr().out
    assert "401" in said or "UNAUTHENTICATED" in said
    assert_clean(said.replace("\x1b", ""))
    assert "forged" not in "".join(line for line in said.splitlines() if line.startswith("forged"))
    assert_clean(logged(caplog))


@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_trace_backends_error_shows_no_secret(status, caplog):
    caplog.set_level(logging.DEBUG)
    with Echo(status) as server:
        backend = open_backend(Settings.from_environment(server.environ("grpc"), Accounting()))
        with pytest.raises(BackendError) as raised:
            backend.find(TraceQuery((Condition("a", "b"),), 0, 10**18), 3)
    assert_clean(raised.value)
    assert_clean(repr(raised.value))
    assert_clean(backend.where)
    assert_clean(logged(caplog))


def test_an_error_of_other_peoples_code_is_shown_without_what_is_configured(caplog):
    accounting = Accounting()
    with Echo(400) as server:
        Settings.from_environment(
            {**server.environ("grpc"), "MLFLOW_TRACKING_TOKEN": "tr4cking-t0ken"}, accounting
        )
    error = RuntimeError(
        f"cannot reach http://ann-the-user:{PASSWORD}@h with {TOKEN}, tr4cking-t0ken\nforged"
    )
    accounting.prefixed("logs.").warn(
        "some.cause", "It failed (%s, %r), %d times.", error, error, 3
    )
    (record,) = caplog.records
    assert_clean(record.getMessage())
    assert "tr4cking" not in record.getMessage()
    assert "RuntimeError(" in record.getMessage()
    assert record.getMessage().endswith("3 times.")
    assert "\n" not in record.getMessage()
