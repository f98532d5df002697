"""MLflow's autologging in the shared provider: it annotates each span before our processor takes it.

Some libraries make OpenTelemetry spans themselves (Strands, Haystack, Semantic Kernel). For these
MLflow's autologging adds a span processor to the global provider. When a span ends, that processor
writes type, inputs and outputs on it, and then hands it on to MLflow's own provider. In shared mode
this is the same provider, so all its processors would get the span a second time.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from mlflow_otel.tracing.otel_adapter import annotates, in_order
from mlflow_otel.tracing.processor import MlflowSpanProcessor

MLFLOWS_OWN: Final = "mlflow.tracing."
"""Where MLflow's own spans come from."""


def annotating_first(chain: tuple[SpanProcessor, ...]) -> tuple[SpanProcessor, ...]:
    """Return the processors, the annotating ones first. The same tuple if they already are."""
    first = tuple(processor for processor in chain if annotates(processor))
    if chain[: len(first)] == first:
        return chain
    return (*first, *(processor for processor in chain if processor not in first))


class _StartsHeardEarly(SpanProcessor):
    """Takes the starts and ends that MLflow's autologging hands on to the shared provider.

    A start is passed to our processor at once: MLflow must know the trace before its autologging
    can register the span. An end is ignored, because the provider itself tells all its processors.
    """

    def __init__(self, chain: tuple[SpanProcessor, ...]) -> None:
        self._chain = chain

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell our processors that a span started."""
        for processor in self._chain:
            if isinstance(processor, MlflowSpanProcessor):
                processor.start_early(span, parent_context)


class _TracerOfAutologging:
    """What MLflow's autologging uses of a tracer: the processor behind it."""

    def __init__(self, chain: tuple[SpanProcessor, ...]) -> None:
        self.span_processor = _StartsHeardEarly(chain)


def shared_tracer(module: str, tracer: Any) -> Any:
    """Return what one of MLflow's modules gets when it asks for the shared provider's tracer.

    Autologging asks at each span's start and end. So its processor stands in front before the first
    span ends, whenever autologging was turned on.

    Args:
        module: Who asks.
        tracer: The shared provider's tracer.
    """
    chain = in_order(getattr(tracer, "span_processor", None), annotating_first)
    if module.startswith(MLFLOWS_OWN):
        return tracer  # as a rule
    stands = any(annotates(p) and type(p).__module__ == module for p in chain)
    return _TracerOfAutologging(chain) if stands else tracer
