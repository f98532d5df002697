"""``mlflow-otel doctor``, beside real peers: what is wrong is named, once, with the one thing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mlflow_otel.cli import doctor
from mlflow_otel.cli.finding import Finding
from mlflow_otel.cli.misspelt import known_names, misspelt
from mlflow_otel.cli.probing import probe, probe_all
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.settings import OtlpSettings, Settings
from tests.conformance.peers import HttpPeer
from tests.delivery import certificates


def run(*arguments, **environ):
    command = [sys.executable, "-m", "mlflow_otel", "doctor", *arguments]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    return subprocess.run(
        command, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def probed(**environ):
    """Return what is found of the endpoints that an environment names."""
    settings = Settings.from_environment(environ)
    return [finding for finding, _ in probe_all(settings, environ)]


def bad(findings):
    return [finding for finding in findings if finding.level == "problem"]


def test_all_is_well_and_nothing_is_left_in_the_backend(receiver):
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint)
    assert done.returncode == 0, done.stdout
    assert "0 problem(s)" in done.stdout
    assert "takes traces, logs, metrics" in done.stdout
    assert receiver.store.requests >= 3
    assert receiver.store.spans() == receiver.store.logs() == receiver.store.metrics() == []


def test_who_answers_is_told():
    with HttpPeer() as peer:
        found = probed(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{peer.port}",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )
    assert [one.level for one in found] == ["ok"] * 3


def test_the_findings_as_json(receiver):
    done = run(
        "--json",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    assert done.returncode == 0, done.stdout
    found = {one["about"]: one for one in json.loads(done.stdout)}
    assert found["who answers"]["text"] == "mlflow-otel receive; takes traces, logs, metrics"
    assert all(set(one) == {"level", "about", "text", "todo"} for one in found.values())


def test_a_backend_that_is_not_there_is_said_once():
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout.count("see that the backend listens on 127.0.0.1:9") == 1
    assert "traces, logs, metrics → http://127.0.0.1:9 (grpc)" in done.stdout
    assert "1 problem(s)" in done.stdout


def test_places_that_fail_apart_are_said_apart(receiver):
    found = probed(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint,
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="http://127.0.0.1:9",
    )
    assert {one.about.partition(" ")[0]: one.level for one in found} == {
        "traces": "ok",
        "metrics": "ok",
        "logs": "note",
    }


def test_http_sent_to_a_grpc_port_is_named_so(receiver):
    (found,) = probed(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    assert found.level == "problem"
    assert "gRPC is spoken there, and http/protobuf was sent" in found.text
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in found.todo
    assert "4318" in found.todo


def test_grpc_sent_to_an_http_port_is_named_so(receiver):
    (found,) = probed(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint)
    assert found.level == "problem"
    assert "http/protobuf is spoken there, and gRPC was sent" in found.text
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in found.todo
    assert "4317" in found.todo
    assert receiver.store.spans() == []


def test_a_signals_path_that_is_there_twice_is_named(receiver):
    found = bad(
        probed(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"{receiver.http_endpoint}/v1/traces",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )
    )
    assert "added once more" in found[0].text
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in found[0].todo


def test_a_signals_own_endpoint_without_a_path_is_named(receiver):
    (found,) = bad(
        probed(
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.http_endpoint,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )
    )
    assert "has no path" in found.text
    assert found.todo == "add /v1/traces to it"


def test_grpc_to_a_url_with_a_path_is_told(receiver):
    *well, noted = probed(OTEL_EXPORTER_OTLP_ENDPOINT=f"{receiver.grpc_endpoint}/v1/traces")[:2]
    assert [one.level for one in well] == ["ok"]
    assert noted.level == "note"
    assert "a path, which gRPC does not use" in noted.text
    assert "http/protobuf" in noted.todo


@pytest.mark.parametrize(
    ("scheme", "said"), [("", "has no scheme"), ("grpc://", "begins with grpc://")]
)
def test_what_a_scheme_that_is_missing_or_strange_means_is_told(receiver, scheme, said):
    place = receiver.grpc_endpoint.removeprefix("http://")
    (found,) = probed(OTEL_EXPORTER_OTLP_ENDPOINT=f"{scheme}{place}")
    assert found.level == "problem"
    assert f"{said}: TLS is used" in found.text.replace(", which OTLP does not know", "")
    assert found.todo == f"write http://{place} without TLS, https://{place} with it"
    found = probed(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"{scheme}{place}", OTEL_EXPORTER_OTLP_INSECURE="true"
    )
    assert [one.level for one in found] == ["ok", "note", "ok", "ok"]
    assert "no TLS is used" in found[1].text


def test_http_without_a_scheme_goes_without_tls_and_that_is_told(receiver):
    place = receiver.http_endpoint.removeprefix("http://")
    found = probed(OTEL_EXPORTER_OTLP_ENDPOINT=place, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    assert found[0].level == "ok"
    assert "http:// is used, without TLS" in found[1].text


def test_a_certificate_that_nobody_vouches_for_is_said_once(tmp_path):
    made = certificates.make(tmp_path)
    with HttpPeer(tls=(made["server.pem"], made["server.key"])) as peer:
        (found,) = probed(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://127.0.0.1:{peer.port}",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in found.todo


@pytest.mark.parametrize(
    ("protocol", "endpoint", "port"),
    [
        ("grpc", "http://127.0.0.1", 4317),
        ("grpc", "https://127.0.0.1", 443),
        ("http/protobuf", "http://127.0.0.1", 80),
        ("http/protobuf", "https://127.0.0.1", 443),
    ],
)
def test_the_port_that_is_used_where_none_is_given_is_told(protocol, endpoint, port):
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    said = [f"{one.text} {one.todo}" for one in probed(**environ)]
    assert any(f"names no port: {port} is used" in one for one in said), said


def test_a_span_is_sent_where_a_request_without_one_is_refused_and_that_is_told():
    with HttpPeer(refuses_empty=True) as peer:
        found = probe(
            "traces", OtlpSettings(f"http://127.0.0.1:{peer.port}/v1/traces", "http/protobuf")
        )
    assert found.level == "ok"
    assert "'mlflow-otel doctor', which it keeps" in found.text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OTLP_TRACE_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ("OTEL_EXPORTER_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("MLFLOW_TRACKING_URL", "MLFLOW_TRACKING_URI"),
        ("MLFLOW_OTEL_SPOOL_DIRECTORY", "MLFLOW_OTEL_SPOOL_DIR"),
        ("MLFLOW_TRACE_SAMPLE_RATIO", "MLFLOW_TRACE_SAMPLING_RATIO"),
        ("mlflow_experiment_name", "MLFLOW_EXPERIMENT_NAME"),
    ],
)
def test_a_misspelt_variable_is_told_with_the_one_that_was_meant(name, meant):
    assert list(misspelt({name: "x"})) == [
        Finding("note", name, "nothing reads this variable", f"did you mean {meant}?")
    ]


def test_what_is_spelt_right_or_is_the_apps_own_is_no_misspelling():
    own = {
        "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": "x",
        "OTEL_SERVICE_VERSION": "1",
        "MLFLOW_MY_TEAM": "x",
        "PATH": "/bin",
    }
    assert list(misspelt({**dict.fromkeys(known_names(), "x"), **own})) == []
    (found,) = misspelt({"MLFLOW_OTEL_FAVOURITE_NUMBER": "7"})
    assert "env --all" in found.todo


def test_a_bad_value_is_told(receiver):
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint, MLFLOW_TRACE_SAMPLING_RATIO="2")
    assert done.returncode == 1
    assert "MLFLOW_TRACE_SAMPLING_RATIO" in done.stdout


def test_a_missing_certificate_is_told():
    found = probe("traces", OtlpSettings("https://127.0.0.1:9", certificate="/nowhere.pem"))
    assert found.level == "problem"
    assert "/nowhere.pem" in found.text


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_doctors_probe_is_compressed_as_configured(receiver, protocol, compression):
    endpoint = (
        receiver.grpc_endpoint if protocol == "grpc" else f"{receiver.http_endpoint}/v1/traces"
    )
    found = probe("traces", OtlpSettings(endpoint, protocol, compression=compression))
    assert found.level == "ok", found


def test_doctor_asks_where_traces_are_looked_up(monkeypatch):
    monkeypatch.setenv("MLFLOW_OTEL_TRACE_LOOKUP", "tempo+http://ann:secret@127.0.0.1:9")
    (found,) = doctor._lookup(Settings.from_environment())
    assert found.level == "problem"
    assert "127.0.0.1:9" in found.text
    assert "secret" not in found.text
    assert list(doctor._lookup(Settings())) == []


def test_doctor_tells_what_waits_in_the_spool(tmp_path):
    settings = Settings(spool_dir=str(tmp_path))
    other = OtlpSettings("https://ann:pw@other:4317/tok3n-1", headers=(("api-key", "s3cret"),))
    Spool(tmp_path / "traces", settings.traces, 10**6, 60).put(Request(b"x", 7))
    Spool(tmp_path / "traces", other, 10**6, 60).put(Request(b"x", 3))
    ours, theirs = doctor._spool(settings)
    assert ours.level == "ok"
    assert "7 spans wait in it for http://localhost:4317 (grpc), " in ours.text
    assert theirs.level == "note"
    assert "3 spans wait in it for https://other:4317/… (grpc) with api-key, " in theirs.text
    (found,) = doctor._spool(Settings(spool_dir="/proc/nowhere"))
    assert found.level == "problem"
