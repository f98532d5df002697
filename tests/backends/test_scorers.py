"""Scorers on the full mlflow package: its rules beside ours, its scorers on our traces."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.backends.servers import MLFLOW_PYTHON
from tests.conftest import ROOT

pytestmark = pytest.mark.backend

HERE = Path(__file__).parent


def run(run_app, script, *arguments, **environ):
    code = f"""
import runpy, sys
sys.argv[1:] = {list(arguments)!r}
runpy.run_path({str(HERE / script)!r}, run_name="__main__")
"""
    environ = {"PYTHONPATH": str(ROOT), **environ}
    return run_app(code, environ, timeout=100, command=(str(MLFLOW_PYTHON),))


def test_sampling_and_filters_decide_as_mlflows_own_do(run_app):
    found = run(run_app, "beside_mlflow.py")
    assert found["differ"] == []
    assert found["cases"] == 6000


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """What ``scoring_app.py`` found, once for all tests."""
    import json
    import subprocess

    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_", "OPENAI_"))
    }
    done = subprocess.run(
        [str(MLFLOW_PYTHON), str(HERE / "scoring_app.py")],
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
        },
        cwd=tmp_path_factory.mktemp("scored"),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_mlflows_scorers_and_judges_run_unmodified(scored):
    said = {
        name: values.get(
            "gen_ai.evaluation.score.label", values.get("gen_ai.evaluation.score.value")
        )
        for name, values in scored["said"].items()
    }
    assert scored["flushed"]
    assert said["words"] == 4
    assert said["look"] == "true"
    assert said["tone"] == "friendly"
    assert set(said) == set(scored["started"])
    assert all("error.type" not in values for values in scored["said"].values())
    tone = scored["said"]["tone"]
    assert tone["mlflow.assessment.source.type"] == "LLM_JUDGE"
    assert tone["gen_ai.evaluation.explanation"] == "It says please."
    assert scored["traces"] == 1


def test_a_judge_without_a_key_is_refused_at_start(scored):
    judge, of_mlflows_default_model = scored["without_key"]
    assert "set OPENAI_API_KEY" in judge
    assert "set OPENAI_API_KEY" in of_mlflows_default_model


def test_an_async_scorer_is_refused_at_start(scored):
    assert "async" in scored["asynchronous"]


def test_what_a_scorer_of_mlflows_was_made_with_is_part_of_its_digest(scored):
    closed, of_a_class = scored["digests"][:3], scored["digests"][3:]
    assert closed[0] == closed[2] != closed[1]
    assert of_a_class[0] == of_a_class[2] != of_a_class[1]


def test_a_scorer_sees_what_get_trace_shows(scored):
    assert scored["seen"] == scored["stored"]
    assert scored["given"] == [{"question": "Where?"}, "It is Paris, please."]


def test_the_tracking_server_gets_the_same_assessments_in_dual_export(scored):
    leave = {n: v["mlflow.assessment.id"] for n, v in scored["said"].items()}
    assert scored["assessments"] == leave
