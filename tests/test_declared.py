"""Declarative configuration: ``OTEL_CONFIG_FILE`` names our exporter and sampler."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mlflow_otel import declared
from mlflow_otel.accounting import Accounting
from mlflow_otel.export.declared import DeclaredSpanExporter
from mlflow_otel.export.exporter import MlflowSpanExporter
from tests.conftest import ROOT

FILE = """
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: shop}
tracer_provider:
  processors:
    - batch:
        exporter:
          mlflow_otlp:
            endpoint: ENDPOINT/v1/traces
            protocol: http/protobuf
            headers: [{name: x-team, value: "a,b"}]
            timeout: 5000
            conventions: [genai, openinference]
  sampler:
    SAMPLER
"""
APP = """
import json, sys
import mlflow, mlflow_otel
from opentelemetry import trace
handle = mlflow_otel.instrument()
with mlflow.start_span("a", span_type="LLM"):
    mlflow.update_current_trace(metadata={"mlflow.trace.session": "s"})
with trace.get_tracer("app").start_as_current_span("other"):
    pass
handle.force_flush()
if hasattr(trace.get_tracer_provider(), "force_flush"):
    trace.get_tracer_provider().force_flush()
print(json.dumps([list(handle.settings.traces.headers), handle.settings.traces.timeout]))
"""
BEFORE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SERVICE_NAME": "till"}


def write(folder, receiver, sampler):
    file = folder / "otel.yaml"
    file.write_text(FILE.replace("ENDPOINT", receiver.http_endpoint).replace("SAMPLER", sampler))
    return {**BEFORE, "OTEL_CONFIG_FILE": str(file)}


@pytest.mark.newest
@pytest.mark.parametrize(
    "automatic", [True, False], ids=["opentelemetry-instrument", "instrument()"]
)
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "isolated"])
def test_exporter_and_sampler_by_name_with_their_options(
    run_app, receiver, tmp_path, shared, automatic
):
    environ = write(tmp_path, receiver, "mlflow: {ratio: 1}")
    environ["MLFLOW_USE_DEFAULT_TRACER_PROVIDER"] = str(not shared)
    wrapper = (str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable)
    command = wrapper if automatic else (sys.executable,)
    headers, timeout = run_app(APP, environ, command=command)
    assert (headers, timeout) == ([["x-team", "a,b"]], 5.0)
    spans = {span["name"]: span for span in receiver.store.spans()}
    assert spans["chat"]["attributes"]["session.id"] == "s"
    assert spans["chat"]["attributes"]["openinference.span.kind"] == "LLM"
    assert spans["chat"]["resource"]["service.name"] == "shop"
    assert len(receiver.store.spans()) == len(spans)  # each once
    assert ("other" in spans) == (automatic or shared)


@pytest.mark.newest
@pytest.mark.parametrize(
    "sampler", ["mlflow: {ratio: 0}", "parent_based: {root: {mlflow: {ratio: 0}}}", "always_off:"]
)
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "isolated"])
def test_what_the_files_sampler_leaves_out_does_not_leave(
    run_app, receiver, tmp_path, shared, sampler
):
    environ = write(tmp_path, receiver, sampler)
    environ["MLFLOW_USE_DEFAULT_TRACER_PROVIDER"] = str(not shared)
    wrapper = (str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable)
    run_app(APP, environ, command=wrapper)
    assert receiver.store.spans() == []


@pytest.mark.newest
def test_a_file_that_cannot_be_read_is_one_warning(run_app, tmp_path, receiver):
    (tmp_path / "otel.yaml").write_text("file_format: [")
    environ = {
        "OTEL_CONFIG_FILE": str(tmp_path / "otel.yaml"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
    }
    code = "import json\n" + APP.replace(
        "print(", "handle.stats()['declared.invalid'] == 1 or exit(3)\nprint("
    )
    run_app(code, environ)
    assert [span["name"] for span in receiver.store.spans()] == ["chat"]


OPTIONS = [
    ({"endpoint": "http://c:4318", "protocol": "http/protobuf"}, "http://c:4318/v1/traces"),
    (
        {"endpoint": "http://c:4318/v1/traces", "protocol": "http/protobuf"},
        "http://c:4318/v1/traces",
    ),
    ({"endpoint": "http://c/own", "protocol": "http/protobuf"}, "http://c/own"),
    ({"endpoint": "http://c:4317"}, "http://c:4317"),
]


@pytest.mark.parametrize(("options", "endpoint"), OPTIONS)
def test_the_endpoint_of_the_file(options, endpoint, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other")
    assert declared.settings(options).traces.endpoint == endpoint


def test_every_option_of_the_schemas_exporters_and_every_setting_of_ours():
    accounting = Accounting()
    found = declared.settings(
        {
            "headers_list": "a=b",
            "compression": "gzip",
            "tls": {
                "ca_file": "ca.pem",
                "key_file": "k.pem",
                "cert_file": "c.pem",
                "insecure": False,
            },
            "timeout": 2500,
            "capture_content": False,
            "promote_tags": {"region": "cloud.region"},
            "retry_timeout": 7,
            "flush": "trace",
        },
        accounting,
    )
    assert found.traces.headers == (("a", "b"),)
    assert (found.traces.certificate, found.traces.client_key) == ("ca.pem", "k.pem")
    assert (found.traces.timeout, found.traces.compression) == (2.5, "gzip")
    assert (found.capture_content, found.retry_timeout, found.flush) == (False, 7, "trace")
    assert ("region", "cloud.region") in found.promote_tags
    assert accounting.snapshot() == {}


def test_an_unknown_option_is_one_warning_and_never_an_error():
    accounting = Accounting()
    found = declared.settings({"colour": "red", "protocol": "http/protobuf"}, accounting)
    assert found.traces.protocol == "http/protobuf"
    assert accounting.snapshot() == {"declared.unknown.colour": 1}
    exporter = DeclaredSpanExporter(colour="red", compression="gzip")
    assert isinstance(exporter, MlflowSpanExporter)
    exporter.shutdown()


@pytest.mark.parametrize(
    "option",
    [
        {"headers": ["x-key"]},
        {"headers": [{"value": "S3CRET"}]},
        {"headers": [5]},
        {"endpoint": {"url": "S3CRET"}},
        {"timeout": ["S3CRET"]},
        {"tls": {"ca_file": ["S3CRET"]}},
    ],
)
def test_an_option_of_another_shape_is_one_warning_and_the_others_hold(option, caplog):
    accounting = Accounting()
    settings = declared.settings({**option, "compression": "gzip"}, accounting)
    assert settings.traces.compression == "gzip"
    assert len(accounting.snapshot()) == len(caplog.records) == 1
    assert "S3CRET" not in caplog.text


def test_an_endpoint_that_is_no_url_is_one_warning_without_its_password(caplog):
    accounting = Accounting()
    settings = declared.settings({"endpoint": "http://ann:S3CRET@[::1"}, accounting)
    assert settings.traces.endpoint == "http://localhost:4317"
    assert len(caplog.records) == 1
    assert "S3CRET" not in caplog.text


PAGES_APP = """
import json, mlflow_otel
made = mlflow_otel.instrument().settings
print(json.dumps([made.traces.endpoint, sorted(made.conventions)]))
"""


@pytest.mark.newest
def test_the_file_of_the_docs_names_the_exporter_and_its_options(run_app, tmp_path):
    page = (ROOT / "docs" / "configuration.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "otel.yaml").write_text(f'file_format: "1.0"\n{shown}')
    found = run_app(PAGES_APP, {**BEFORE, "OTEL_CONFIG_FILE": str(tmp_path / "otel.yaml")})
    assert found == ["http://localhost:4317", ["genai", "mlflow"]]
