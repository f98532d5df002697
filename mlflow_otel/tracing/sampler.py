"""Head sampling of whole traces, as ``MLFLOW_TRACE_SAMPLING_RATIO`` says."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.declared import declared
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter
from mlflow_otel.tracing.recent import RECENT

RATIO: Final = "MLFLOW_TRACE_SAMPLING_RATIO"


class _RootSampler(Sampler):
    """Decides for roots: by ``@mlflow.trace(sampling_ratio_override=…)``, else by the ratio."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._by_ratio = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,  # noqa: ARG002 (the parent's: TraceIdRatioBased keeps it)
    ) -> SamplingResult:
        """Decide by the trace ID, as OpenTelemetry's own ``TraceIdRatioBased`` does."""
        override = mlflow_adapter.sampling_override()
        sampler = self._by_ratio if override is None else TraceIdRatioBased(override)
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        """Name the sampler and its ratio."""
        return f"MlflowRatio{{{self._ratio}}}"


class _NotingSampler(Sampler):
    """Remembers what another sampler drops, so that feedback on it makes no span in a trace that is not there."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self, parent_context: Context | None, trace_id: int, *args: Any, **kwargs: Any
    ) -> SamplingResult:
        """Decide as the other does."""
        result = self._sampler.should_sample(parent_context, trace_id, *args, **kwargs)
        if result.decision is Decision.DROP:
            RECENT.note_sampled_out(trace_id)
        return result

    def get_description(self) -> str:
        """Name the other sampler."""
        return self._sampler.get_description()


class _RecordingSampler(Sampler):
    """Records what another sampler would drop. It is followed, but not exported."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Decide as the other does, but never to drop."""
        result = self._sampler.should_sample(*args, **kwargs)
        if result.decision is Decision.DROP:
            result.decision = Decision.RECORD_ONLY
        return result

    def get_description(self) -> str:
        """Name the other sampler."""
        return f"Recorded{{{self._sampler.get_description()}}}"


class MlflowSampler(ParentBased):
    """Keeps whole traces: a root is sampled by the ratio, a child is sampled like its parent.

    The decision is ``TraceIdRatioBased``'s (SDK specification), a function of the trace ID alone,
    so two services at one ratio keep the same traces.

    Args:
        ratio: Share of traces to keep, 0 to 1; ``MLFLOW_TRACE_SAMPLING_RATIO`` when None. A ratio
            out of range warns once and keeps everything.
        record: Whether the other traces are recorded, but not exported, so that metrics count them and
            feedback finds them (``MLFLOW_OTEL_RECORD_SAMPLED_OUT``).

    Example:
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> provider = TracerProvider(sampler=mlflow_otel.MlflowSampler(0.0))
        >>> provider.get_tracer("app").start_span("answer").is_recording()
        False
    """

    def __init__(self, ratio: float | None = None, *, record: bool = False) -> None:
        if ratio is None:
            ratio = Settings.from_environment().sampling_ratio
        if not 0 <= ratio <= 1:  # NaN is in no range
            ACCOUNTING.warn(
                "settings.invalid.ratio",
                "The sampling ratio %r is not a number from 0 to 1, so every trace is kept. Set a "
                "ratio from 0 to 1.",
                ratio,
            )
            ratio = 1.0
        root: Sampler = _RootSampler(ratio)
        if not record:
            super().__init__(
                root=_NotingSampler(root), remote_parent_not_sampled=_NotingSampler(ALWAYS_OFF)
            )
            return
        record_only = _RecordingSampler(ALWAYS_OFF)
        super().__init__(
            root=_RecordingSampler(root),
            remote_parent_not_sampled=record_only,
            local_parent_not_sampled=record_only,
        )


def from_environment(argument: str | None = None) -> MlflowSampler:
    """Build the sampler for ``OTEL_TRACES_SAMPLER=mlflow``.

    Args:
        argument: ``OTEL_TRACES_SAMPLER_ARG``: the ratio when ``MLFLOW_TRACE_SAMPLING_RATIO`` is
            unset.
    """
    ratio = os.environ.get(RATIO, "").strip() or (argument or "")
    record = Settings.from_environment().record_sampled_out
    return MlflowSampler(Settings.from_environment({RATIO: ratio}).sampling_ratio, record=record)


def from_file(ratio: float | None = None, record: bool | None = None) -> MlflowSampler:
    """Build the sampler for ``sampler: {mlflow: …}`` in the file at ``OTEL_CONFIG_FILE``.

    The SDK (1.45) gives a sampler none of its options, so they are read from the file here.

    Args:
        ratio: Share of traces to keep; the file's when None, else ``MLFLOW_TRACE_SAMPLING_RATIO``.
        record: As in ``MlflowSampler``; the file's when None, else ``MLFLOW_OTEL_RECORD_SAMPLED_OUT``.
    """
    options = dict(declared().sampler or {})
    found = Settings.from_environment()
    ratio = options.get("ratio", found.sampling_ratio) if ratio is None else ratio
    record = options.get("record", found.record_sampled_out) if record is None else record
    try:
        return MlflowSampler(float(ratio), record=bool(record))
    except (TypeError, ValueError):
        return MlflowSampler(math.nan, record=bool(record))  # warns
