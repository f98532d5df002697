"""Scorers on the full mlflow package: its rules beside ours, its scorers on our traces."""

from __future__ import annotations

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
