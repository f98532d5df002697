"""The bridge as a service: what it logs, and that ``doctor`` knows it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from mlflow_otel.cli.log_lines import JsonLines
from mlflow_otel.cli.tracking import tracking
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.settings import Settings
from tests.bridge.running import running


def said(uri):
    return [(one.level, one.text) for one in tracking(Settings(tracking_uri=uri))]


def test_doctor_tells_a_bridge_from_another_server_and_from_nobody():
    with running() as bridge:
        ((level, text),) = said(bridge.http)
        assert (level, "mlflow-otel bridge" in text) == ("ok", True)
        ((level, text),) = said(bridge.http.replace("//", "//user:secret@"))
        assert "secret" not in text
    ((level, text),) = said(bridge.http)
    assert (level, "nobody answers" in text) == ("note", True)
    assert said("sqlite:///x.db") == said(None) == []
    with Receiver() as receiver:
        assert said(receiver.http_endpoint)[0][0] == "note"


@pytest.mark.parametrize("text", ["plain", 'a "quoted" line\nand another', "\ud800 ü"])
def test_a_record_is_one_line_of_json(text):
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("mlflow_otel", 30, "f", 1, "%s", (text,), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"]) == ("warning", "mlflow_otel", text)
    assert "ValueError: why" in found["exception"]


def test_a_bridge_writes_its_warnings_as_json_when_told_to():
    command = [sys.executable, "-m", "mlflow_otel", "bridge", "--log-format", "json"]
    done = subprocess.run(
        [*command, "--grpc", "127.0.0.1:0", "--http", "256.0.0.1:0"],
        env={"MLFLOW_OTEL_MAX_HELD_BYTES": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    (line,) = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert "MLFLOW_OTEL_MAX_HELD_BYTES" in line["message"]
