"""Our counters as OpenTelemetry metrics, under the SDK's own names."""

from __future__ import annotations

import grpc
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery import retry
from mlflow_otel.export import observability
from tests.delivery.faults import Grpc, Http
from tests.export.test_exporter import make_spans


@pytest.fixture
def reader(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)
    memory = InMemoryMetricReader()
    provider = MeterProvider([memory], shutdown_on_exit=False)
    monkeypatch.setattr(observability, "get_meter_provider", lambda: provider)
    return memory


def points(reader):
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    key = metric.name, point.attributes.get("error.type")
                    found[key] = point
    return found


def exporter_for(server, **environ):
    accounting = Accounting()
    settings = Settings.from_environment({**server.environ, **environ}, accounting)
    return MlflowSpanExporter(settings, accounting=accounting)


ON = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true"}


@pytest.mark.parametrize("kind", [Grpc, Http], ids=["grpc", "http"])
def test_every_outcome_is_a_metric(kind, reader):
    code = grpc.StatusCode
    down, refused = (
        ((code.UNAVAILABLE, None), (code.INVALID_ARGUMENT, None))
        if kind is Grpc
        else ((503, None), (400, None))
    )
    with kind(down, "ok", refused) as server:
        exporter = exporter_for(server, **ON)
        exporter.export(make_spans(3))
        assert exporter.force_flush(10_000)
        exporter.export(make_spans(2))
        exporter.force_flush(10_000)
        found = points(reader)
        exporter.shutdown()
    exported = "otel.sdk.exporter.span.exported"
    assert found[exported, None].value == 3
    assert found[exported, "rejected"].value == 2
    assert found["otel.sdk.exporter.span.inflight", None].value == 0
    assert found["mlflow_otel.exporter.retries", None].value == 1
    status = "UNAVAILABLE" if kind is Grpc else "503"
    assert found["otel.sdk.exporter.operation.duration", status].count == 1
    assert found["otel.sdk.exporter.operation.duration", None].count == 1
    attributes = found[exported, None].attributes
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["server.port"] == server.port
    assert attributes["otel.component.type"].startswith("otlp_")


def test_without_the_sdks_switch_there_are_none(reader):
    with Grpc("ok") as server:
        exporter = exporter_for(server)
        exporter.export(make_spans(1))
        assert exporter.force_flush(10_000)
        exporter.shutdown()
    assert reader.get_metrics_data() is None or not points(reader)
