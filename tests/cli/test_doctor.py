"""``mlflow-otel doctor``, beside real peers: what is wrong is named, once, with the one thing to do."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from typing import ClassVar

import pytest

from mlflow_otel.cli import doctor
from mlflow_otel.cli.contentless import WITHOUT_SPANS
from mlflow_otel.cli.finding import Finding
from mlflow_otel.cli.misspelt import known_names, misspelt
from mlflow_otel.cli.probing import _advice, probe, probe_all
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.delivery.transport import Outcome
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
    return [one.finding for one in probe_all(settings, environ)]


TODO = "\n         → "


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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OTLP_TRACE_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ("OTEL_EXPORTER_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_PROTOKOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_a_misspelt_variable_that_explains_why_nothing_arrives_is_a_problem(name, meant):
    said = f"nothing reads this variable, and {meant} is not set"
    assert list(misspelt({name: "x"})) == [Finding("problem", name, said, f"did you mean {meant}?")]
    (both,) = misspelt({name: "x", meant: "y"})
    assert both.level == "note"


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
    assert "→ set it to a number from 0 to 1" in done.stdout
    assert done.stderr == "", "it is said once"


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_PROTOCOL", "http"), ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "HTTP/json")],
)
def test_a_protocol_that_there_is_not_is_one_advice_for_which_nobody_is_asked(
    receiver, name, value
):
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint, **{name: value})
    assert done.returncode == 1
    assert done.stdout.count("PROBLEM") == done.stdout.count(TODO) == 1
    assert "→ set it to http/protobuf\n" in done.stdout
    assert done.stderr == ""
    assert receiver.store.requests == 0


def test_signals_that_are_not_sent_are_not_asked_about(receiver):
    found = probed(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint,
        MLFLOW_OTEL_METRICS="false",
        MLFLOW_OTEL_ASSESSMENT_SIGNALS="traces",
    )
    assert [one.about.partition(" ")[0] for one in found] == ["traces"]


def test_who_answers_at_the_endpoint_is_asked_there_and_not_guessed_by_other_ports(receiver):
    """Something that takes OTLP and does not tell its name, beside a receiver that would."""
    with HttpPeer() as peer:
        said = run(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{peer.port}",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        ).stdout
    assert "who answers: an OTLP backend; takes traces, logs, metrics" in said


class MlflowLike(http.server.BaseHTTPRequestHandler):
    """Refuses and answers as MLflow 3.17's server was seen to (tests/backends has the real one)."""

    kept: ClassVar = []

    def do_GET(self):
        _, asked, experiment = self.path.partition("/experiments/get?experiment_id=")
        if asked:
            self._experiment(experiment)
            return
        known = self.path.endswith("/server-info")
        self._answer(200 if known else 404, '{"store_type": "sql"}' if known else "{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        experiment = self.headers["x-mlflow-experiment-id"]
        if self.path != "/v1/traces":
            self._answer(404, "<!doctype html><html lang=en><title>404 Not Found</title><h1>Not")
        elif experiment is None:
            self._answer(422, '{"detail":[{"loc":["header","x-mlflow-experiment-id"]}]}')
        elif not body:
            self._answer(400, '{"detail":"Invalid OpenTelemetry format - no spans found"}')
        elif body == WITHOUT_SPANS:
            self._answer(200, "")
        else:
            self.kept.append(body)
            self._experiment(experiment)

    def _experiment(self, experiment):
        if not experiment.isdigit():
            self._answer(400, '{"error_code":"INVALID_PARAMETER_VALUE"}')
        elif experiment != "0":
            self._answer(404, '{"error_code":"RESOURCE_DOES_NOT_EXIST"}')
        else:
            self._answer(200, "")

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def mlflow_like():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), MlflowLike) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("environ", "todo"),
    [
        ({}, "set OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-mlflow-experiment-id=0 "),
        (
            {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=x"},
            "add x-mlflow-experiment-id=0 to OTEL_EXPORTER_OTLP_HEADERS ",
        ),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=shop"}, "a number, not its name"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=77"}, "which no experiment has"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, and set OTEL_EXPORTER_OTLP_TRACES_HEADERS=",
        ),
    ],
)
def test_what_mlflows_server_wants_is_told(mlflow_like, environ, todo):
    (found,) = bad(
        probed(
            **{
                "OTEL_EXPORTER_OTLP_ENDPOINT": mlflow_like,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                **environ,
            }
        )
    )
    assert "MLflow's tracking server" in found.text
    assert todo in found.todo
    assert not MlflowLike.kept


def test_what_is_set_for_mlflows_server_already_is_not_advised(mlflow_like):
    followed = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{mlflow_like}/v1/traces",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-mlflow-experiment-id=0",
        "MLFLOW_OTEL_ASSESSMENT_SIGNALS": "traces",
    }
    said = run(**followed).stdout
    assert "note     who answers: MLflow's tracking server; takes traces" in said
    assert said.count(TODO) == 1
    assert "set MLFLOW_OTEL_CONVENTIONS=genai,mlflow" in said
    said = run(**followed, MLFLOW_OTEL_CONVENTIONS="mlflow,genai").stdout
    assert "ok       who answers: MLflow's tracking server; takes traces" in said
    assert TODO not in said


def test_what_spares_attempts_is_advised_once_and_only_what_is_not_set_yet(mlflow_like):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": mlflow_like,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=0",
        "MLFLOW_OTEL_CONVENTIONS": "genai,mlflow",
    }
    said = run(**environ).stdout
    assert "it takes no logs (404 Not Found)" in said
    assert said.count(TODO) == 1
    assert (
        "; MLFLOW_OTEL_METRICS=false and MLFLOW_OTEL_ASSESSMENT_SIGNALS=traces would spare" in said
    )
    said = run(**environ, MLFLOW_OTEL_METRICS="false").stdout
    assert "; MLFLOW_OTEL_ASSESSMENT_SIGNALS=traces would spare" in said
    said = run(
        **environ, MLFLOW_OTEL_METRICS="false", MLFLOW_OTEL_ASSESSMENT_SIGNALS="traces"
    ).stdout
    assert TODO not in said


@pytest.mark.parametrize(
    ("lookup", "todo"),
    [
        ("http://127.0.0.1:16686", "write jaeger+http://127.0.0.1:16686"),
        ("mlflow", "set MLFLOW_TRACKING_URI to the server's URL"),
        ("jaeger+http://127.0.0.1:9", "see that it runs, and that host and port are right"),
        ("tempo+{grpc}", "name Tempo's query API, as a rule at port 3200"),
        ("jaeger+{http}", "name Jaeger's query API, as a rule at port 16686"),
    ],
)
def test_a_look_up_that_cannot_be_asked_is_told_with_what_to_write(receiver, lookup, todo):
    named = lookup.format(grpc=receiver.grpc_endpoint, http=receiver.http_endpoint)
    (found,) = doctor._lookup(Settings.from_environment({"MLFLOW_OTEL_TRACE_LOOKUP": named}))
    assert found.level == "problem"
    assert found.todo.startswith(todo)


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


def test_where_traces_alone_have_an_endpoint_it_says_how_to_send_nothing_else():
    refused = Outcome("retryable", "unavailable")
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:5000/v1/traces"}

    def told(environ):
        settings = Settings.from_environment(environ)
        return _advice("metrics", refused, settings.otlp("metrics"), environ)

    assert "MLFLOW_OTEL_METRICS=false" in told(environ)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in told(environ)
    assert "mlflow-otel receive" in told({})
