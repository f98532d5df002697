"""Scripts that do one thing and end: it leaves, whatever was made before it."""

from __future__ import annotations

import pytest

from mlflow_otel.receiver.server import Receiver
from tests.processes.apps import script

TRACE = 0x37B208E1B8802EBCB6588211629A781C
ACTS = {
    "feedback": f"mlflow.log_feedback(trace_id='tr-{TRACE:032x}', name='good', value=True)",
    "expectation": f"mlflow.log_expectation(trace_id='tr-{TRACE:032x}', name='good', value=1)",
    "tag": f"mlflow.set_trace_tag('tr-{TRACE:032x}', 'late', 'yes')",
}


@pytest.mark.parametrize(
    ("act", "signals"),
    [
        ("feedback", "traces"),
        ("feedback", "logs"),
        ("feedback", "metrics"),
        ("expectation", "traces,metrics"),
        ("tag", "traces"),
    ],
)
def test_what_a_script_does_alone_leaves_before_it_ends(tmp_path, act, signals):
    code = f"import mlflow, mlflow_otel\nmlflow_otel.instrument()\n{ACTS[act]}\n"
    with Receiver() as backend:
        own = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.grpc_endpoint,
            "MLFLOW_OTEL_ASSESSMENT_SIGNALS": signals,
        }
        with script(code, tmp_path, own) as app:
            assert app.wait() == 0, app.output
        store = backend.store
        spans = [span["trace_id"] for span in store.spans()]
        assert spans == [f"{TRACE:032x}"] * ("traces" in signals)
        assert len(store.logs()) == ("logs" in signals)
        metrics = {metric["name"] for metric in store.metrics()}
        assert ("mlflow.assessment.count" in metrics) == ("metrics" in signals)
    assert "not exported" not in app.output
