"""What the tests of scoring share: an app to score, and what its scorers said."""

from __future__ import annotations

import mlflow
import pytest


@mlflow.trace(span_type="TOOL")
def search(query):
    return {"found": query.upper()}


@mlflow.trace(span_type="AGENT")
def answer(question, **known):
    if known:
        mlflow.update_current_trace(**known)
    search(question)
    return f"It is {question}."


@pytest.fixture
def scored(instrumented):
    """Scorers on an instrumented MLflow; returns (handle, what was said so far)."""
    handle, spans = instrumented
    handle.accounting.begin_anew()  # it is the process's own

    def said():
        assert handle.force_flush(20_000)
        return {
            span.attributes["gen_ai.evaluation.name"]: dict(span.attributes)
            for span in spans()
            if "gen_ai.evaluation.name" in span.attributes
        }

    return handle, said
