"""One scorer's run over one trace: from the filter to the assessments."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.mapped import attributes_of
from mlflow_otel.filtering.matching import SpanValues, TraceValues, matches
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.mapping.values import decode
from mlflow_otel.scoring import mlflow_adapter
from mlflow_otel.scoring.started import Started
from mlflow_otel.tracing import scorer_calls
from mlflow_otel.tracing.scorer_calls import ScorerCall
from mlflow_otel.tracing.whole import EndedTrace
from mlflow_otel.untraced import untraced

STATUS = {StatusCode.OK: "OK", StatusCode.ERROR: "ERROR", StatusCode.UNSET: "UNSET"}


def values_of(ended: EndedTrace) -> TraceValues:
    """Return a trace's plain values, as filters see them."""
    context, root = ended.context(), ended.root
    started = min(span.start_time or 0 for span in ended.spans) // 1_000_000
    ends = (root.end_time or 0) // 1_000_000
    return TraceValues(
        attributes={
            "request_id": context.trace_id,
            "client_request_id": context.client_request_id,
            "status": context.state,
            "timestamp_ms": started,
            "execution_time_ms": ends - started,
            "end_time_ms": ends,
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


def is_production(context: TraceContext) -> bool:
    """Tell whether a trace is the app's own: MLflow scores none of an evaluation run or of a scorer."""
    return (
        keys.METADATA_SOURCE_RUN not in context.metadata
        and keys.TAG_SOURCE_SCORER not in context.tags
    )


Log = Callable[[str, Any], object]
Timed = Callable[[str, float, str | None], object]


class Outcome:
    """What a run came to.

    Args:
        error: What the scorer raised, or None.
        value: What it returned.
        seconds: How long it took.
    """

    __slots__ = ("error", "seconds", "value")

    def __init__(self, value: Any, error: BaseException | None, seconds: float) -> None:
        self.value = value
        self.error = error
        self.seconds = seconds


class Run:
    """A job of the pool: one scorer over one trace.

    Args:
        scorer: The scorer.
        ended: The trace.
        log: Logs an assessment on a trace.
        timed: Takes each run's scorer, seconds, and error type.
        traced: Whether what the scorer calls leaves as traces.
    """

    __slots__ = ("_ended", "_log", "_timed", "_traced", "scorer")

    def __init__(
        self, scorer: Started, ended: EndedTrace, log: Log, timed: Timed, *, traced: bool
    ) -> None:
        self.scorer = scorer
        self._ended = ended
        self._log = log
        self._timed = timed
        self._traced = traced

    @property
    def seconds(self) -> float:
        """How long it may take."""
        return self.scorer.seconds

    def work(self) -> Outcome | None:
        """Run the scorer, if the trace meets its filter and its limits allow it."""
        began = time.monotonic()
        try:
            if not is_production(self._ended.context()) or not self._meets_filter():
                self.scorer.filtered_out()
                return None
            if not self.scorer.may_run():
                return None
            given = mlflow_adapter.arguments(self.scorer.prepared, self._ended)
            value = contextvars.Context().run(self._call, given)
        except BaseException as error:  # sys.exit() too: it is the scorer's, not the app's
            return Outcome(None, error, time.monotonic() - began)
        return Outcome(value, None, time.monotonic() - began)

    def _meets_filter(self) -> bool:
        clauses = self.scorer.clauses
        return not clauses or matches(clauses, values_of(self._ended))

    def _call(self, given: Mapping[str, Any]) -> Any:
        root = self._ended.root.context
        span_id = 0 if root is None else root.span_id
        scorer_calls.current.set(ScorerCall(self.scorer.name, self._ended.trace_id, span_id))
        with contextlib.nullcontext() if self._traced else untraced():
            return self.scorer.prepared.call(**given)

    def done(self, outcome: Outcome | None) -> None:
        """Log what the scorer said."""
        if outcome is None:
            return
        error, results = outcome.error, []
        if error is None:
            try:
                results = mlflow_adapter.feedbacks(
                    self.scorer.prepared, self._trace_id, outcome.value
                )
                for one in results:
                    self._log(self._trace_id, one)
            except Exception as refused:
                error = refused
        self._report(error, mlflow_adapter.cost_of(results), outcome.seconds)

    def overdue(self) -> None:
        """Log that the scorer took too long."""
        self.scorer.hangs(1)
        error = TimeoutError(f"{self.scorer.name} took longer than {self.scorer.seconds:g} seconds")
        self._report(error, 0.0, self.scorer.seconds)

    def came_back(self) -> None:
        """Note that the thread that took too long has ended."""
        self.scorer.hangs(-1)

    def _report(self, error: BaseException | None, cost: float, seconds: float) -> None:
        self.scorer.ran(failed=error is not None, cost=cost)
        kind = None if error is None else type(error).__name__
        self._timed(self.scorer.name, seconds, kind)
        if error is not None:
            try:
                said = mlflow_adapter.failure(self.scorer.prepared, self._trace_id, error)
                self._log(self._trace_id, said)
            except Exception as refused:  # of an exception without words, or of the log
                self.scorer.unreported(kind, refused)

    @property
    def _trace_id(self) -> str:
        return self._ended.context().trace_id or f"tr-{self._ended.trace_id:032x}"
