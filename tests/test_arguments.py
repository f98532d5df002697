"""``instrument()``'s arguments beside the variables of the same meaning."""

from __future__ import annotations

import pytest

from mlflow_otel.accounting import Accounting
from mlflow_otel.arguments import Arguments
from mlflow_otel.settings import SIGNALS, OtlpSettings, Settings

HTTP_DEFAULT = "http://localhost:4318/v1/traces"


def test_arguments_beat_variables_a_signals_own_among_them(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "a=b")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "till")
    monkeypatch.setenv("MLFLOW_OTEL_CONVENTIONS", "openinference")
    given = Arguments(
        endpoint="http://c:4318",
        protocol="http/protobuf",
        headers={"Authorization": "Bearer a,b=c"},
        service_name="shop",
        conventions=["genai", "mlflow"],
    )
    settings = given.settings()
    for signal in SIGNALS:
        options = settings.otlp(signal)
        assert options.endpoint == f"http://c:4318/v1/{signal}"
        assert options.headers == (("authorization", "Bearer a,b=c"),)
        assert options.configured
    assert settings.service_name == "shop"
    assert settings.conventions == {"genai", "mlflow"}


@pytest.mark.parametrize("endpoint", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"])
def test_an_http_endpoint_may_have_the_path_of_traces(endpoint):
    settings = Arguments(endpoint=endpoint, protocol="http/protobuf").settings()
    assert settings.traces.endpoint == "http://c:4318/v1/traces"
    assert settings.metrics.endpoint == "http://c:4318/v1/metrics"


def test_what_is_not_given_stays_the_environments(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b")
    settings = Arguments(endpoint="http://c:4318").settings()
    assert settings.traces.endpoint == "http://c:4318/v1/traces"
    assert settings.traces.headers == (("a", "b"),)
    assert not Arguments().given


def test_arguments_beat_settings_and_leave_the_rest_of_them():
    settings = Settings.from_environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
            "MLFLOW_OTEL_COST": "true",
        }
    )
    changed = Arguments(endpoint="http://b:4318", service_name="shop").applied_to(settings)
    assert changed.traces.endpoint == "http://b:4318/v1/traces"
    assert changed.traces.headers == (("a", "b"),)
    assert (changed.service_name, changed.work_out_cost) == ("shop", True)
    assert Arguments().applied_to(settings) == settings


def test_a_bad_argument_is_one_warning_and_the_default(monkeypatch):
    accounting = Accounting()
    settings = Arguments(protocol="tcp", conventions="none such").settings(accounting)
    assert settings.traces.protocol == "grpc"
    assert settings.conventions == {"genai"}
    assert accounting.snapshot()["settings.invalid.MLFLOW_OTEL_CONVENTIONS"] == 1


def test_headers_may_be_pairs_as_the_stock_exporters_take_them():
    pairs = Arguments(headers=[("x-a", "b, c"), ("x-b", "d")]).settings(Accounting())
    assert pairs.logs.headers == (("x-a", "b, c"), ("x-b", "d"))


@pytest.mark.parametrize(
    "bad", [{"headers": 5}, {"headers": [1]}, {"headers": ["x-key=S3CRET"]}, {"conventions": 5}]
)
def test_an_argument_of_another_kind_is_one_warning_and_never_an_error(bad, caplog):
    accounting = Accounting()
    settings = Settings.from_environment({"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}, accounting)
    assert Arguments(**bad).applied_to(settings, accounting) == settings
    assert accounting.snapshot() == {f"arguments.{name}": 1 for name in bad}
    assert "S3CRET" not in caplog.text


def test_an_object_that_stands_for_an_endpoint_is_taken_as_its_text():
    class Url:
        def __str__(self):
            return "http://c:4317"

    assert Arguments(endpoint=Url()).settings(Accounting()).traces.endpoint == "http://c:4317"


def test_an_empty_argument_is_not_given(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "till")
    monkeypatch.setenv("MLFLOW_OTEL_CONVENTIONS", "mlflow")
    empty = Arguments(endpoint="", protocol=" ", headers="", service_name="", conventions=[])
    assert empty.settings(Accounting()) == Settings.from_environment()
    assert Arguments(headers={}).settings(Accounting()).traces.headers == ()


def test_of_headers_one_without_a_text_is_left_out_by_name(caplog):
    accounting = Accounting()
    given = Arguments(headers={"x-key": None, "x-a": b"b", b"x-c": "d"}).settings(accounting)
    assert given.traces.headers == (("x-a", "b"), ("x-c", "d"))
    assert accounting.snapshot() == {"arguments.headers.x-key": 1}
    assert "x-key" in caplog.text


@pytest.mark.parametrize(
    ("before", "given", "endpoint"),
    [
        (OtlpSettings("http://c:4317"), {"service_name": "shop"}, "http://c:4317"),
        (OtlpSettings("http://c:4317"), {"protocol": "http/protobuf"}, "http://c:4317/v1/traces"),
        (
            OtlpSettings("http://c:4318/v1/traces", "http/protobuf"),
            {"protocol": "grpc"},
            "http://c:4318",
        ),
        (
            OtlpSettings("http://c:1/own", named=True),
            {"protocol": "http/protobuf"},
            "http://c:1/own",
        ),
        (OtlpSettings("http://c:1/own", named=True), {"endpoint": "http://d:1"}, "http://d:1"),
        (OtlpSettings("http://localhost:4317"), {"protocol": "http/protobuf"}, HTTP_DEFAULT),
    ],
)
def test_settings_by_hand_keep_their_endpoint_in_the_form_of_the_protocol(before, given, endpoint):
    changed = Arguments(**given).applied_to(Settings(traces=before), Accounting())
    assert changed.traces.endpoint == endpoint
    assert changed.traces.protocol == given.get("protocol", before.protocol)
    assert not (changed.traces.named and "endpoint" in given)


def test_a_bad_protocol_beside_settings_is_one_warning(caplog):
    Arguments(protocol="tcp").applied_to(Settings(), Accounting())
    assert len(caplog.records) == 1


def test_the_service_has_its_name_and_a_second_call_says_that_it_changes_nothing(run_app):
    code = """
    import json, logging
    import mlflow, mlflow_otel
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    said = []
    logging.getLogger("mlflow_otel").addHandler(type("Said", (logging.Handler,), {"emit": lambda self, r: said.append(r.getMessage())})())
    memory = InMemorySpanExporter()
    first = mlflow_otel.instrument(service_name="shop", exporter=memory)
    assert mlflow_otel.instrument() is mlflow_otel.instrument(service_name="shop") is first
    before = len(said)
    assert mlflow_otel.instrument(service_name="till", endpoint="http://c:4317", headers={"k": "secret"}) is first
    with mlflow.start_span("a"):
        pass
    first.force_flush()
    (span,) = memory.get_finished_spans()
    print(json.dumps([before, said[before:], span.resource.attributes["service.name"]]))
    """
    _, said, name = run_app(code, {"OTEL_SERVICE_NAME": "till"})
    assert name == "shop"
    (line,) = said
    assert "changes nothing" in line
    assert "service_name" in line
    assert "endpoint" in line
    assert "secret" not in line
