"""The recorded payloads: what MLflow wrote for the real libraries."""

from __future__ import annotations

import json
from pathlib import Path

from mlflow_otel.mapping.model import EventView, MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span

FIXTURES = Path(__file__).parent / "fixtures"
ALL = frozenset({"genai", "openinference", "mlflow"})


def recorded(name="*"):
    """Yield (id, span) of every recorded span, or of those in one file."""
    for file in sorted(FIXTURES.glob(f"{name}.json")):
        for scenario, found in json.loads(file.read_text())["scenarios"].items():
            for index, span in enumerate(found["spans"]):
                yield f"{file.stem}/{scenario}/{index}:{span['name']}", span


def one(library, scenario, type_=("CHAT_MODEL", "LLM")):
    """Return the first recorded span of a scenario that is of one of the types."""
    for identity, span in recorded():
        wanted = identity.startswith(library) and identity.split("/")[1] == scenario
        if wanted and json.loads(span["attributes"].get("mlflow.spanType", '""')) in type_:
            return span
    raise LookupError((library, scenario))


def view(span):
    return SpanView(
        span["name"],
        attributes=span["attributes"],
        events=[
            EventView(e["name"], 1_500_000_000, e["attributes"]) for e in span.get("events", ())
        ],
        start_time=1_000_000_000,
        failed=span.get("status") == "ERROR",
        made_by_mlflow=span["scope"].split(".")[0] == "mlflow",
        is_entry=span.get("parent_id") is None,
    )


def mapped(span, conventions=("genai",), **options):
    return map_span(view(span), TraceContext(), MappingOptions(frozenset(conventions), **options))
