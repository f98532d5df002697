"""Two apps without an MLflow server over one Jaeger: what one of them made, the other one finds and changes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.backends import servers

pytestmark = pytest.mark.backend

MAKES = """
import mlflow, mlflow_otel
handle = mlflow_otel.instrument(service_name="one")
with mlflow.start_span("chat") as span:
    pass
mlflow.log_feedback(trace_id=span.trace_id, name="score", value=0.5, rationale="so-so")
mlflow.log_expectation(trace_id=span.trace_id, name="answer", value="Paris")
assert handle.force_flush()
print(span.trace_id)
"""
FINDS = """
import sys, time, mlflow, mlflow_otel
handle = mlflow_otel.instrument(service_name="other")
until = time.monotonic() + 60
def scores():
    trace = mlflow.get_trace(sys.argv[1])
    return [] if trace is None else [a for a in trace.info.assessments if a.name == "score"]
while not scores() and time.monotonic() < until:
    time.sleep(0.5)
"""
CHANGES = f"""{FINDS}
from mlflow.entities import Feedback
(known,) = scores()
assert known.value == 0.5, known
mlflow.update_assessment(
    trace_id=sys.argv[1], assessment_id=known.assessment_id,
    assessment=Feedback(name="score", value=0.25))
(truth,) = [a for a in mlflow.get_trace(sys.argv[1]).info.assessments if a.name == "answer"]
mlflow.delete_assessment(sys.argv[1], truth.assessment_id)
mlflow.set_trace_tag(sys.argv[1], "seen", "yes")
assert [a.value for a in scores()] == [0.25]
assert handle.force_flush()
"""
READS = f"""{FINDS}
while time.monotonic() < until:
    values = [a.value for a in scores()], mlflow.get_trace(sys.argv[1]).info.tags.get("seen")
    if values == ([0.25], "yes"):
        break
    time.sleep(0.5)
held = mlflow.get_trace(sys.argv[1]).info.assessments
print(*values, [(a.name, a.rationale) for a in held])
"""


def test_an_assessment_that_another_process_made_is_found_changed_and_read_by_a_third(tmp_path):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    with servers.jaeger(tmp_path) as (url, grpc, _):
        environ = {
            **own,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}",
            "MLFLOW_OTEL_TRACE_LOOKUP": f"jaeger+{url}",
            "MLFLOW_OTEL_METRICS": "false",
            "MLFLOW_OTEL_ASSESSMENT_SIGNALS": "traces",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

        def run(code, *arguments):
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments],
                env=environ,
                text=True,
                capture_output=True,
                timeout=110,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            return done.stdout.strip()

        trace_id = run(MAKES)
        run(CHANGES, trace_id)
        assert run(READS, trace_id) == "[0.25] yes [('score', 'so-so')]"
