"""The entry point by which ``opentelemetry-instrument`` finds this package."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from mlflow_otel.instrumentation import instrument, uninstrument


class MlflowInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """``opentelemetry-instrument``'s name for ``instrument()``."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: ``instrument()`` itself finds out which of MLflow's packages is installed."""
        return ()

    def _instrument(self, **_kwargs: Any) -> None:
        instrument()

    def _uninstrument(self, **_kwargs: Any) -> None:
        uninstrument()
