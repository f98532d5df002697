"""``mlflow_otel.testing``: an app's own tests, run as its author would run them."""

from __future__ import annotations

import subprocess
import sys

import mlflow
import pytest

import mlflow_otel
from mlflow_otel.testing import captured
from tests.conftest import ROOT
from tests.pasted.blocks import blocks

PAGE = ROOT / "docs" / "testing.md"


@pytest.fixture
def found():
    with captured() as traces:
        yield traces


def test_the_pages_examples_pass_as_an_apps_own_tests(tmp_path):
    for number, block in enumerate(blocks(PAGE)):
        (tmp_path / f"test_{number}.py").write_text(block.text)
    # Said by name as well, for an environment that was made before the package had an entry point for it.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "mlflow_otel_pytest", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_pytests_start_imports_neither_the_package_nor_the_sdk():
    code = "import sys, mlflow_otel_pytest; print([n for n in ('mlflow_otel', 'mlflow', 'opentelemetry') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_traces_come_apart_with_their_root_and_spans_by_name(found):
    for name in ("one", "two"):
        with mlflow.start_span(name), mlflow.start_span("child"):
            pass
    first, second = found.traces()
    assert (first.root.name, second.root.name) == ("one", "two")
    assert first.span("child").parent.span_id == first.root.context.span_id
    with pytest.raises(AssertionError, match="'child', 'one'"):
        first.span("other")
    found.clear()
    assert found.traces() == []


def test_feedback_is_a_span_of_the_trace(found):
    with mlflow.start_span("answer"):
        mlflow.update_current_trace(client_request_id="req-1")
    mlflow_otel.log_feedback(client_request_id="req-1", name="correct", value=True)
    (trace,) = found.traces()
    assert trace.span("evaluation correct").attributes["gen_ai.evaluation.score.label"] == "true"


def test_an_app_that_calls_instrument_itself_is_captured_too(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    mlflow_otel.instrument()
    with captured() as found:
        mlflow_otel.instrument()
        with mlflow.start_span("answer"):
            pass
    assert [trace.root.name for trace in found.traces()] == ["answer"]
    assert not mlflow_otel.instrument().settings.spool_dir
    mlflow_otel.uninstrument()


def test_a_text_that_left_is_found_wherever_it_is(found):
    with pytest.raises(RuntimeError), mlflow.start_span("answer", span_type="TOOL") as span:
        span.set_inputs({"card": "4929"})
        raise RuntimeError("no 4929")
    found.assert_no_content("1234")
    with pytest.raises(AssertionError) as error:
        found.assert_no_content("4929")
    for place in ("gen_ai.tool.call.arguments", "event exception", "its status"):
        assert place in str(error.value)


@pytest.mark.parametrize("capture", ["true", "false"])
def test_content_is_told_from_what_is_none(capture, monkeypatch):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", capture)
    with captured() as found:
        with (
            pytest.raises(ValueError, match="said"),
            mlflow.start_span("a", span_type="AGENT") as span,
        ):
            span.set_inputs({"question": "who?"})
            span.set_attribute("mine", "a sentence of mine")
            mlflow.update_current_trace(session_id="s", tags={"k": "v"}, metadata={"m": "text"})
            raise ValueError("said")
        mlflow.log_feedback(trace_id=span.trace_id, name="ok", value=0.5, rationale="since")
        if capture == "false":
            found.assert_no_content()
        else:
            with pytest.raises(AssertionError, match="spanInputs"):
                found.assert_no_content()
