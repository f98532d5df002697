"""Frameworks that make their own spans, with MLflow's autologging, in the provider that MLflow shares."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PYTHON = ROOT / ".venv-frameworks/bin/python"

LEAVE = {
    "strands": {
        "chat": "CHAT_MODEL",
        "execute_event_loop_cycle": None,
        "invoke_agent Strands Agents": "AGENT",
    },
    "haystack": {"execute_tool haystack.component.run": "TOOL", "haystack.pipeline.run": "CHAIN"},
    "semantic_kernel": {"execute_tool knots-pick": "TOOL", "Kernel.invoke": "UNKNOWN"},
}
"""The spans of one call, and the types that MLflow's autologging gives them."""

SAY_BOTH = {"chat", "invoke_agent Strands Agents", *LEAVE["haystack"], "Kernel.invoke"}
"""The spans on which it writes the question and the answer."""


@pytest.mark.parametrize("export", ["none", "simple", "batch"])
@pytest.mark.parametrize("first", ["autolog", "instrument"])
@pytest.mark.parametrize("framework", LEAVE)
def test_each_span_leaves_once_with_what_mlflow_writes_on_it(
    run_app, receiver, framework, first, export
):
    code = f"""
import runpy, sys
sys.argv[1:] = {[framework, first, export]!r}
runpy.run_path({str(HERE / "forwarding_app.py")!r}, run_name="__main__")
"""
    environ = {
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
        "HAYSTACK_TELEMETRY_ENABLED": "false",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "PYTHONPATH": str(ROOT),
    }
    found = run_app(code, environ, timeout=300, command=(str(PYTHON),))
    spans = receiver.store.spans()
    twice = Counter(dict.fromkeys(LEAVE[framework], 2))  # two calls
    assert Counter(span["name"] for span in spans) == twice
    assert len({span["span_id"] for span in spans}) == len(spans) == found["stats"]["exported"]
    assert Counter(found["memory"]) == (Counter() if export == "none" else twice)
    for span in spans:
        attributes = span["attributes"]
        assert attributes.get("mlflow.spanType") == LEAVE[framework][span["name"]]
        if span["name"] in SAY_BOTH:
            said = str([v for k, v in attributes.items() if not k.startswith("mlflow.trace")])
            assert "Which knot?" in said
            assert "A bowline." in said
