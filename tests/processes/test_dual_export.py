"""Dual export: what ended before the process did is in MLflow's tracking server too.

The tracking server is the bridge: it speaks MLflow's API, and what it got is seen behind it.
"""

from __future__ import annotations

import signal
import sys

import pytest

from tests.bridge.running import running
from tests.processes.apps import TRACED, Http, both, script

DUAL = {"MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true", "MLFLOW_EXPERIMENT_NAME": "shop"}


@pytest.fixture(scope="module")
def tracking():
    with running(env={"MLFLOW_OTEL_TRACE_TIMEOUT": "600"}) as bridge:
        yield bridge


def names(spans):
    return sorted(span["name"] for span in spans)


ENDS = {
    "after a flush": "assert mlflow_otel.instrument().force_flush(30_000)\nos._exit(0)\n",
    "by SIGTERM": "print('ready')\ntime.sleep(600)\n",
}
if sys.version_info < (3, 12):  # later ones start no thread at their end, and MLflow needs one
    ENDS["by itself"] = ""


@pytest.mark.parametrize("end", ENDS)
def test_both_sides_have_what_ended_before_the_process_did(tracking, tmp_path, end):
    root = end.replace(" ", "-")
    code = "import os, time\n" + TRACED + f"work({root!r})\n" + ENDS[end]
    with Http("ok") as server:
        environ = {**server.environ, **DUAL, "MLFLOW_TRACKING_URI": tracking.http}
        with script(code, tmp_path, environ) as app:
            if end == "by SIGTERM":
                app.wait_for("ready")
                assert app.end() == -signal.SIGTERM
            else:
                assert app.wait() == 0
        assert sorted(server.names) == both(root)
    ours = tracking.spans(1, name=root) + tracking.spans(1, name=f"{root}-child")
    assert names(ours) == both(root), app.output
