"""Tokens that say what their clients' experiments are called: two teams choose the same names and do not meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest
from click.testing import CliRunner

from mlflow_otel.bridge.access import Access, credentials
from mlflow_otel.cli import main
from tests.bridge.parts import Part, otlp_span
from tests.bridge.running import running
from tests.bridge.test_http import request
from tests.bridge.test_service import EXPORT
from tests.conftest import PREFIXES, ROOT
from tests.delivery.faults import free_port

APP = Path(__file__).with_name("prefix_app.py")
API = "/api/2.0/mlflow"
LINES = ["alpha experiments=a/", "ann:pass word  experiments=b/", "plain"]
BOTH = {"Authorization": "Bearer alpha"}, {"Authorization": "Bearer plain"}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("\n".join(LINES))
    with running("--token-file", str(tokens)) as running_bridge:
        yield running_bridge


@pytest.mark.parametrize(
    ("authorization", "prefix"),
    [
        ("Bearer alpha", "a/"),
        ("Basic YW5uOnBhc3Mgd29yZA==", "b/"),
        ("Bearer plain", ""),
        ("Bearer alpha experiments=a/", None),
        ("", None),
    ],
)
def test_a_line_says_who_may_send_and_what_experiments_are_called(authorization, prefix):
    access = Access(credentials(LINES))
    assert access.may_send(authorization) == (prefix is not None)
    assert access.prefix_of(authorization) == (prefix or "")


def run(bridge, **credentials):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    own = {"MLFLOW_TRACKING_URI": bridge.http, "PYTHONPATH": str(ROOT), **credentials}
    done = subprocess.run(
        [sys.executable, str(APP)],
        env={**kept, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.timeout(400)
def test_clients_with_and_without_a_prefix_choose_the_same_names_and_do_not_meet(bridge):
    teams = {
        "a/chat": {"MLFLOW_TRACKING_TOKEN": "alpha"},
        "b/chat": {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "pass word"},
        "chat": {"MLFLOW_TRACKING_TOKEN": "plain"},
    }
    for chat, variables in teams.items():
        said = json.loads(run(bridge, **variables).splitlines()[-1])
        assert said == [chat, ['{"word": "chosen"}'], ['{"word": "none chosen"}']]
    spans = bridge.spans(6, name="answer")
    assert sorted(span["resource"]["service.name"] for span in spans) == [
        "Default",
        "a/Default",
        "a/chat",
        "b/Default",
        "b/chat",
        "chat",
    ]
    alpha, plain = (
        {
            one["name"]
            for one in httpx.get(f"{bridge.http}{API}/experiments/search", headers=headers).json()[
                "experiments"
            ]
        }
        for headers in BOTH
    )
    assert alpha == {"a/chat", "a/Default"}
    assert {"chat", "a/chat", "b/chat"} <= plain
    search = f"{bridge.http}/api/3.0/mlflow/traces/search"  # naming no experiment
    found = [httpx.post(search, json={}, headers=one).json()["traces"] for one in BOTH]
    assert [len(traces) for traces in found] == [2, 6]


def test_over_grpc_they_do_not_meet_either(bridge):
    body = request(otlp_span(Part(90, 1, 0))).SerializeToString()
    metadata = (("authorization", "Bearer alpha"), ("x-mlflow-experiment-id", "0"))
    with grpc.insecure_channel(bridge.grpc) as channel:
        channel.unary_unary(EXPORT)(body, metadata=metadata, timeout=60)
    told = httpx.post(
        f"{bridge.http}/api/3.0/mlflow/traces",
        json={"trace": {"trace_info": {"trace_id": f"tr-{90:032x}"}}},
        headers=BOTH[0],
    )
    told.raise_for_status()
    (span,) = bridge.spans(1, trace_id=f"{90:032x}")
    assert span["attributes"]["mlflow.experiment.name"] == "a/Default"


def test_a_tracking_server_has_experiments_of_its_own(tmp_path):
    (tmp_path / "tokens").write_text(LINES[0])
    port = free_port()
    asked = [
        "--grpc",
        f"127.0.0.1:{port}",
        "--token-file",
        str(tmp_path / "tokens"),
        "--mlflow-upstream",
        "http://127.0.0.1:9",
    ]
    done = CliRunner().invoke(main, ["bridge", *asked])
    assert done.exit_code == 1
    assert "leave out one of both" in done.output
    assert "alpha" not in done.output
