"""The exporter against real sockets: our receiver, both transports."""

from __future__ import annotations

import http.server
import threading

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as stock_encode
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.export import spans as encode
from mlflow_otel.export.exporter import flush_all
from mlflow_otel.otlp import envelope
from mlflow_otel.receiver.server import Receiver
from tests.delivery import certificates, faults


def make_spans(number=3, **attributes):
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("app", "1.0", "https://opentelemetry.io/schemas/1.30.0")
    link = Link(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1)), {"l": 1})
    with tracer.start_as_current_span("root", links=[link]):
        for index in range(number - 1):
            with tracer.start_as_current_span(f"child-{index}", kind=SpanKind.CLIENT) as span:
                span.set_attributes(
                    {
                        "s": "x",
                        "i": 1,
                        "f": 1.5,
                        "b": True,
                        "l": ["a", "b"],
                        "n": [1, 2],
                        **attributes,
                    }
                )
                span.add_event("e", {"k": "v"})
                span.set_status(Status(StatusCode.ERROR, "because"))
    return memory.get_finished_spans()


def encoded(spans):
    return ExportTraceServiceRequest.FromString(envelope.request(encode.encode_spans(spans)))


def export(environ, spans=None):
    accounting = Accounting()
    settings = Settings.from_environment(environ, accounting, asynchronous=False)
    exporter = MlflowSpanExporter(settings, accounting=accounting)
    result = exporter.export(spans or make_spans())
    exporter.shutdown()
    return result, accounting.snapshot()


PROTOCOLS = ("grpc", "http/protobuf")


def endpoint(receiver, protocol):
    return receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_spans_arrive(receiver, protocol, compression):
    result, counted = export(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint(receiver, protocol),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": compression,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-general=1",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Bearer%20t,x-own=a%2Cb",
        }
    )
    assert result is SpanExportResult.SUCCESS
    assert counted == {"exported": 3}
    assert sorted(s["name"] for s in receiver.store.spans()) == ["child-0", "child-1", "root"]
    headers = receiver.headers[-1]
    assert (headers["authorization"], headers["x-own"]) == ("Bearer t", "a,b")
    assert "x-general" not in headers  # a signal's own variable beats the general one


def test_the_request_says_what_the_stock_encoders_says():
    spans = make_spans(4)
    ours, stock = encoded(spans), stock_encode(spans)
    assert {r.schema_url for r in ours.resource_spans} == {
        r.schema_url for r in stock.resource_spans
    }

    def sorted_spans(request):
        (scope,) = request.resource_spans[0].scope_spans
        return (
            scope.scope,
            scope.schema_url,
            sorted((s for s in scope.spans), key=lambda s: s.span_id),
        )

    for mine, theirs in zip(sorted_spans(ours)[2], sorted_spans(stock)[2], strict=True):
        mine.flags, theirs.flags = 0, 0  # the stock one leaves out the sampled bit
        for one in (*mine.links, *theirs.links):
            one.flags = 0
        assert mine == theirs
    assert sorted_spans(ours)[:2] == sorted_spans(stock)[:2]


def test_trace_state_and_flags_leave():
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    parent = SpanContext(7, 8, True, TraceFlags(1), TraceState([("k", "v")]))
    provider.get_tracer("t").start_span("s", set_span_in_context(NonRecordingSpan(parent))).end()
    (span,) = encoded(memory.get_finished_spans()).resource_spans[0].scope_spans[0].spans
    assert (span.trace_state, span.flags) == ("k=v", 0x301)


def test_a_lone_surrogate_in_a_name_costs_one_character_not_the_batch(receiver):
    spans = make_spans()
    spans[0]._name = "bad \ud800 name"
    result, _ = export({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}, spans)
    assert result is SpanExportResult.SUCCESS
    assert sorted(s["name"] for s in receiver.store.spans()) == ["bad ? name", "child-1", "root"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_and_mutual_tls(tmp_path, protocol):
    files = certificates.make(tmp_path)
    with Receiver(
        tls=(files["server.pem"], files["server.key"]), client_ca=files["ca.pem"]
    ) as receiver:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint(receiver, protocol),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": files["ca.pem"],
            "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
        }
        client = {
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": files["client.key"],
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": files["client.pem"],
        }
        assert export({**environ, **client})[0] is SpanExportResult.SUCCESS
        assert len(receiver.store.spans()) == 3
        assert export({**environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"})[0] is SpanExportResult.FAILURE
        assert len(receiver.store.spans()) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_backend_that_refuses_is_counted(protocol):
    result, counted = export(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        }
    )
    assert result is SpanExportResult.FAILURE
    assert counted["dropped"] == 3
    assert counted["dropped.unreachable"] == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_certificates_that_do_not_exist_are_one_message_and_no_exception(protocol):
    result, counted = export(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:9",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem",
        }
    )
    assert result is SpanExportResult.FAILURE
    assert counted["dropped"] == 3


class Answering(http.server.BaseHTTPRequestHandler):
    status = 302
    body = b""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("location", "http://127.0.0.1:9/")
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


def answering(status, body=b""):
    handler = type("H", (Answering,), {"status": status, "body": body})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize("status", [302, 400, 413, 500])
def test_only_2xx_is_success(status):
    server = answering(status)
    url = f"http://127.0.0.1:{server.server_port}"
    result, counted = export(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    )
    server.shutdown()
    assert result is SpanExportResult.FAILURE
    assert counted["dropped.rejected"] == 3
    assert "exported" not in counted


def test_a_partial_success_is_counted_with_what_the_server_said(caplog):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    answer.partial_success.error_message = "too old"
    server = answering(200, answer.SerializeToString())
    url = f"http://127.0.0.1:{server.server_port}"
    _, counted = export(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    )
    server.shutdown()
    assert (counted["exported"], counted["rejected_by_server"]) == (1, 2)
    assert "too old" in caplog.text


def test_a_five_megabyte_span_leaves(receiver):
    result, _ = export(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}, make_spans(2, big="x" * 5_000_000)
    )
    assert result is SpanExportResult.SUCCESS


def test_a_forked_child_exports_over_a_connection_of_its_own(run_app, receiver):
    code = """
    import os, sys, time
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    with mlflow.start_span("parent"): pass
    handle.force_flush()
    child = os.fork()
    if child == 0:
        with mlflow.start_span("child"): pass
        handle.force_flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    run_app(
        code,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        },
    )
    assert sorted(s["name"] for s in receiver.store.spans()) == ["child", "parent"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("nonsense", ["http://", "::::", "ftp://a b"])
def test_a_nonsense_endpoint_is_a_message_at_the_first_try_and_at_the_loss_and_no_exception(
    protocol, nonsense, caplog
):
    result, counted = export(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": nonsense,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        }
    )
    assert result is SpanExportResult.FAILURE
    assert counted["dropped"] == 3
    messages = [r.getMessage() for r in caplog.records if r.name == "mlflow_otel"]
    assert 1 <= len(messages) <= 2
    assert all("`mlflow-otel doctor`" in message for message in messages)
    assert "could not be exported" in messages[-1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "nonsense", ["http://127.0.0.1:S3CRET", "http://ann:S3CRET/x@h:1", "http://ann:S3CRET@[::1"]
)
def test_an_endpoint_that_is_no_url_is_a_bad_value_as_any_other(protocol, nonsense, caplog):
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": nonsense, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    settings = Settings.from_environment(environ, Accounting())
    default = Settings.from_environment({"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}, Accounting())
    assert settings.traces == default.traces
    (message,) = [r.getMessage() for r in caplog.records if r.name == "mlflow_otel"]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in message
    assert "S3CRET" not in message


@pytest.mark.parametrize("server", [faults.Grpc, faults.Http])
def test_the_sdks_own_force_flush_is_true_when_the_backend_has_the_spans(server, monkeypatch):
    with server(("slow", 0.5)) as backend:
        for key, value in backend.environ.items():
            monkeypatch.setenv(key, value)
        provider = TracerProvider(shutdown_on_exit=False)
        exporter = MlflowSpanExporter()
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
        provider.get_tracer("app").start_span("answer").end()
        assert provider.force_flush()
        assert backend.names == ["answer"]
        provider.shutdown()


def test_what_the_sdks_worker_handed_on_is_waited_for_at_the_process_end(monkeypatch):
    with faults.Http(("slow", 0.5)) as backend:
        for key, value in backend.environ.items():
            monkeypatch.setenv(key, value)
        exporter = MlflowSpanExporter()
        exporter.export(make_spans(1))
        flush_all(10)
        assert backend.names == ["root"]
        exporter.shutdown()
