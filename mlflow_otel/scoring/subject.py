"""What a scorer judges: a trace, or the traces of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mlflow_otel.filtering.matching import TraceValues
from mlflow_otel.mapping.assessment import AssessmentView


class Subject(Protocol):
    """What a scorer judges, wherever it comes from."""

    @property
    def trace_id(self) -> str:
        """MLflow's ID of the trace that the results stand on."""
        ...

    @property
    def location(self) -> tuple[int, int]:
        """OpenTelemetry's ID of that trace, and the span ID of its root (0: not known)."""
        ...

    @property
    def size(self) -> int:
        """Bytes that it holds on to."""
        ...

    @property
    def is_production(self) -> bool:
        """Whether it is an app's own: MLflow scores no trace of an evaluation run or of a scorer."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """What every result about it says besides."""
        ...

    @property
    def said(self) -> Sequence[AssessmentView]:
        """What is known to have been said of it before."""
        ...

    def values(self) -> TraceValues:
        """Return its plain values, as filters see them."""
        ...

    def argument(self, name: str) -> Any:
        """Return what a scorer gets by the name of a parameter. The caller may change it."""
        ...
