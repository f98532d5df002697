"""What is found of a trace where the app's own traces are looked for: its memory, and a backend if one is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow_otel.tracing import store


def assessment(trace_id: str, assessment_id: str) -> Any | None:
    """Return one of MLflow's assessments, or None when it is not found. May wait for the backend."""
    held = store.answers()
    return None if held is None else held.known_assessment(trace_id, assessment_id)


def tags(trace_id: str) -> Mapping[str, str] | None:
    """Return a trace's tags, or None when the trace is not found. May wait for the backend."""
    held = store.answers()
    return None if held is None else held.known_tags(trace_id)
