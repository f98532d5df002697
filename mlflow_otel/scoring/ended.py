"""A trace that ended in this process, as scorers and filters see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.mapped import attributes_of
from mlflow_otel.filtering.matching import SpanValues, TraceValues
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.values import decode
from mlflow_otel.scoring import mlflow_adapter
from mlflow_otel.tracing.whole import EndedTrace

STATUS: Final = {StatusCode.OK: "OK", StatusCode.ERROR: "ERROR", StatusCode.UNSET: "UNSET"}
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class EndedSubject:
    """A trace that ended in this process, as a ``Subject``.

    Args:
        ended: The trace.
    """

    __slots__ = ("_ended", "size")

    metadata = NOTHING
    said: Sequence[AssessmentView] = ()
    """Nothing: it is judged when it ends, before anybody else could say something."""

    def __init__(self, ended: EndedTrace) -> None:
        self._ended = ended
        self.size = ended.size

    @property
    def trace_id(self) -> str:
        """MLflow's ID of the trace."""
        return self._ended.context().trace_id or f"tr-{self._ended.trace_id:032x}"

    @property
    def location(self) -> tuple[int, int]:
        """OpenTelemetry's ID of the trace, and the span ID of its local root."""
        root = self._ended.root.context
        return self._ended.trace_id, 0 if root is None else root.span_id

    @property
    def is_production(self) -> bool:
        """Whether it is an app's own: MLflow scores no trace of an evaluation run or of a scorer."""
        context = self._ended.context()
        return (
            keys.METADATA_SOURCE_RUN not in context.metadata
            and keys.TAG_SOURCE_SCORER not in context.tags
        )

    def values(self) -> TraceValues:
        """Return its plain values, as filters see them."""
        return values_of(self._ended)

    def argument(self, name: str) -> Any:
        """Return what a scorer gets by the name of a parameter. The caller may change it."""
        return mlflow_adapter.argument(name, self._ended)


def values_of(ended: EndedTrace) -> TraceValues:
    """Return a trace's plain values, as filters see them."""
    context, root = ended.context(), ended.root
    began = min(span.start_time or 0 for span in ended.spans)
    started, took = began // 1_000_000, max((root.end_time or 0) - began, 0) // 1_000_000
    return TraceValues(
        attributes={
            "request_id": context.trace_id,
            "client_request_id": context.client_request_id,
            "status": context.state,
            "timestamp_ms": started,
            "execution_time_ms": took,
            "end_time_ms": started + took,
        },
        tags=context.tags,
        metadata=context.metadata,
        spans=_Spans(ended.spans),
    )


class _Spans(Sequence[SpanValues]):
    """The spans' values, each worked out when it is looked at: few filters are about spans."""

    def __init__(self, spans: Sequence[ReadableSpan]) -> None:
        self._spans = spans

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: Any) -> Any:
        span = self._spans[index]
        attributes = {key: decode(value) for key, value in attributes_of(span).items()}
        kind = attributes.get(keys.SPAN_TYPE)
        return SpanValues(span.name, kind, STATUS[span.status.status_code], attributes)
