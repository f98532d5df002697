"""What is said of an endpoint: at the first failure, at recovery, of signals it does not take."""

from __future__ import annotations

import logging

import pytest

from mlflow_otel.delivery.announce import Announcer
from mlflow_otel.delivery.transport import Outcome
from mlflow_otel.settings import OtlpSettings
from tests.delivery.faults import Http, free_port

REFUSED = Outcome("retryable", "UNAVAILABLE", "connection refused")
TAKEN = Outcome("accepted", "OK")
HERE = OtlpSettings("http://user:pw@c:4318/v1/traces", headers=(("k", "topsecret"),))
THERE = OtlpSettings("http://c:4319/v1/traces", headers=(("k", "topsecret"),))
LOGS = OtlpSettings("http://user:pw@c:4318/v1/logs")


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "mlflow_otel")
    return lambda: [(r.levelname, r.getMessage()) for r in caplog.records]


def test_an_endpoint_that_stops_and_one_that_answers_again_are_one_line_each(said):
    announcer = Announcer()
    for outcome in (TAKEN, REFUSED, REFUSED, TAKEN, TAKEN):
        for settings in (HERE, LOGS):
            announcer.tried(settings, outcome, kept="requests are retried for 500 s")
    (warned, down), (told, up) = said()
    assert (warned, told) == ("WARNING", "INFO")
    assert "http://c:4318" in down
    assert "connection refused" in down
    assert "retried for 500 s" in down
    assert "doctor" in down
    assert "answers again" in up


def test_each_endpoint_has_lines_of_its_own_and_no_secret_in_them(said):
    announcer = Announcer()
    answer = Outcome("retryable", "503", "you sent topsecret")
    announcer.tried(HERE, answer, kept="")
    announcer.tried(THERE, answer, kept="")
    lines = [line for _, line in said()]
    assert len(lines) == 2
    assert not any(secret in "".join(lines) for secret in ("topsecret", "pw@"))


def test_a_refusal_is_an_answer_and_running_out_of_time_is_none(said):
    announcer = Announcer()
    announcer.tried(HERE, Outcome("rejected", "400"), kept="")
    announcer.tried(HERE, Outcome("unsent", "stopped"), kept="")
    assert said() == []


def test_signals_that_are_not_taken_are_one_line_in_all(said):
    announcer = Announcer()
    unimplemented = Outcome("rejected", "UNIMPLEMENTED")
    announcer.takes_not_all("logs", LOGS, unimplemented)
    announcer.takes_not_all("metrics", LOGS, unimplemented)
    ((level, line),) = said()
    assert level == "INFO"
    assert "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" in line


APP = """
import json, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
said = []
logging.getLogger("mlflow_otel").addHandler(type("Said", (logging.Handler,), {"emit": lambda self, r: said.append([r.levelname, r.getMessage()])})())
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()
LATER
with mlflow.start_span("a"):
    pass
flushed = handle.force_flush(2000)
print(json.dumps(said))
"""


def test_the_first_failed_try_and_the_start_are_said_at_once(run_app):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_METRICS_EXPORTER": "none",
    }
    said = run_app(APP.replace("LATER", ""), environ)
    assert [level for level, _ in said] == ["INFO", "WARNING"]
    started, down = (line for _, line in said)
    for part in (
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"],
        "grpc",
        "genai",
        "MLflow's own export is off",
    ):
        assert part in started
    assert "retried for 500 s" in down


@pytest.mark.parametrize("when", ["before", "later"])
def test_a_tracking_server_that_gets_nothing_is_one_warning(run_app, when):
    uri = "http://user:pw@127.0.0.1:9"
    later = f"mlflow.set_tracking_uri({uri!r}); mlflow.set_tracking_uri({uri!r})"
    with Http("ok") as server:
        environ = {**server.environ, **({"MLFLOW_TRACKING_URI": uri} if when == "before" else {})}
        said = run_app(APP.replace("LATER", later if when == "later" else ""), environ)
    warnings = [line for level, line in said if level == "WARNING"]
    (line,) = warnings
    assert "http://127.0.0.1:9" in line
    assert "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT=true" in line
    assert "pw" not in line
