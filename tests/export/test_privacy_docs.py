"""docs/privacy.md: its examples run, and its table of what leaves is right."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

REDACT, FILTER, MLFLOWS = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "privacy.md").read_text(), re.DOTALL
)

BEFORE = "import mlflow, mlflow_otel\n"
AFTER = """
handle = mlflow_otel.instrument()
@mlflow.trace(span_type="TOOL", attributes={"http.route": "/healthz"})
def charge(card):
    return "charged"
charge(card="4929-1111")
with mlflow.start_span("shown"):
    pass
assert handle.force_flush(10_000)
"""


@pytest.mark.parametrize("example", [REDACT, FILTER, MLFLOWS], ids=["redact", "filter", "MLflow's"])
def test_each_example_does_what_is_said(example, run_app, receiver):
    run_app(
        BEFORE + example + AFTER,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint, "MLFLOW_OTEL_METRICS": "false"},
    )
    spans = {span["name"]: span["attributes"] for span in receiver.store.spans()}
    assert "shown" in spans
    if example == FILTER:
        assert list(spans) == ["shown"]
    else:
        assert spans["execute_tool charge"]["gen_ai.tool.call.arguments"] == '{"card":"[card]"}'
