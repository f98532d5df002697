"""``MLFLOW_OTEL_SHOULD_EXPORT`` for spans that come as OTLP messages: of the bridge, and of ``pull``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mlflow_otel.bridge.leaving import Keep
from mlflow_otel.export.guards import Guards
from mlflow_otel.export.hooks import SpanToExport


def keep_of(guards: Guards) -> Keep | None:
    """Return what tells whether a span leaves, by its name, attributes and scope; None: all do."""
    wanted = guards.keep
    if wanted is None:
        return None

    def keep(name: str, attributes: Mapping[str, Any], scope: str, by_mlflow: bool) -> bool:
        return wanted(SpanToExport(name, attributes, InstrumentationScope(scope), by_mlflow))

    return keep
