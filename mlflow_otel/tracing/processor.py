"""``MlflowSpanProcessor``: remembers each trace and gives its spans the trace's context."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import SpanContext, TraceFlags

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.delivery.signal_delivery import SHUTDOWN_SECONDS
from mlflow_otel.export.guards import Guards
from mlflow_otel.export.mapped import BatchContext, made_by_mlflow
from mlflow_otel.holding.held_trace import HoldBounds, Reason, Release
from mlflow_otel.holding.holder import Holder
from mlflow_otel.holding.sweeper import Sweeper
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import baggage, mlflow_adapter, otel_adapter, scorer_calls
from mlflow_otel.tracing.contexts import TraceContexts
from mlflow_otel.tracing.filtering import filtering
from mlflow_otel.tracing.next_processor import NextProcessor, batched
from mlflow_otel.tracing.recent import RECENT, KnownTrace, RecentTraces
from mlflow_otel.tracing.recent_spans import RECENT_SPANS, RecentSpans
from mlflow_otel.tracing.span_trace import SpanTrace, ended_root, find_root, known
from mlflow_otel.tracing.under_way import UnderWay
from mlflow_otel.tracing.whole import WholeTraces

SWEEPS_PER_TIMEOUT: Final = 4
SHUTDOWN_MILLIS: Final = int(SHUTDOWN_SECONDS * 1000)


COUNTED: Final[Mapping[Reason, str]] = {
    "traces": "released_early.traces",
    "items": "released_early.spans",
    "bytes": "released_early.bytes",
    "age": "released_early.age",
    "shutdown": "released_early.shutdown",
    "duplicate": "duplicates",
}
"""The counters of releases that are not as usual."""


_Release = Release[ReadableSpan, SpanTrace]


class MlflowSpanProcessor(SpanProcessor):
    """Gives every span of a trace what MLflow knows of the trace, also what it learns after the span.

    It has no lock of its own: the ``Holder`` and the ``NextProcessor`` have theirs.

    Ended spans are held until their local root (a span without a parent, or with a remote one)
    ends. Then each is handed on as a ``MappedSpan`` with the trace's context. Spans are never
    changed, and nothing is mapped in the app's thread. A span that ends after its root is handed on at once.

    Held memory is bounded: by traces, spans a trace, bytes and age (``Settings.max_traces``,
    ``max_spans_per_trace``, ``max_held_bytes``, ``trace_timeout``). Past a bound spans are released
    early with what is known then, and counted as ``released_early.*``. None is dropped here.

    ``force_flush`` flushes what was released. Spans of traces that are under way stay held: the
    context of their trace is not known yet. ``shutdown`` releases them.

    Args:
        next: A ``SpanProcessor`` to hand on to, or a ``SpanExporter``, which then gets the SDK's
            ``BatchSpanProcessor`` (``OTEL_BSP_*``), or ``SimpleSpanProcessor`` when
            ``MLFLOW_ENABLE_ASYNC_TRACE_LOGGING`` is false.
        settings: The configuration; from the environment when None.
        accounting: Gets the counters.
        clock: Monotonic seconds; a test passes its own.
        recent: Remembers the traces, for feedback to find them.
        recent_spans: Keeps their spans, for MLflow's calls to read them.

    Example:
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        >>> memory, provider = InMemorySpanExporter(), TracerProvider()
        >>> provider.add_span_processor(mlflow_otel.MlflowSpanProcessor(SimpleSpanProcessor(memory)))
        >>> tracer = provider.get_tracer("app")
        >>> with tracer.start_as_current_span("request"):
        ...     tracer.start_span("step").end()
        ...     print(len(memory.get_finished_spans()), "handed on while the root runs")
        0 handed on while the root runs
        >>> [span.name for span in memory.get_finished_spans()]
        ['step', 'request']
    """

    on_assessments: Callable[[KnownTrace, list[Any]], object] | None = None
    """Called when a trace has ended, with the assessments that were logged on it before that."""

    on_released: (
        Callable[[list[ReadableSpan], BatchContext, ReadableSpan | None], object] | None
    ) = None
    """Called with spans that are released, sampled or not, and the local root when MLflow's trace ended."""

    def __init__(
        self,
        next: SpanProcessor | SpanExporter,  # noqa: A002 (the pipeline's word)
        settings: Settings | None = None,
        *,
        accounting: Accounting = ACCOUNTING,
        clock: Callable[[], float] = time.monotonic,
        recent: RecentTraces = RECENT,
        recent_spans: RecentSpans = RECENT_SPANS,
    ) -> None:
        self._settings = (
            Settings.from_environment(accounting=accounting) if settings is None else settings
        )
        self._guards = Guards.of(self._settings, accounting)
        behind = batched(next, self._settings) if isinstance(next, SpanExporter) else next
        if self._guards.keep is not None:
            behind = filtering(behind)
        self._next = NextProcessor(behind, self._settings.max_held_bytes, accounting)
        self._accounting = accounting
        self._holder: Holder[ReadableSpan, SpanTrace] = Holder(
            HoldBounds(
                max_traces=self._settings.max_traces,
                max_items=self._settings.max_spans_per_trace,
                max_bytes=self._settings.max_held_bytes,
                max_age=self._settings.trace_timeout,
            ),
            SpanTrace,
            clock,
        )
        self._contexts = TraceContexts(self._settings, accounting, recent)
        self.whole = WholeTraces(self._settings.max_held_bytes, accounting)
        self.under_way = UnderWay(self._holder, self._contexts.facts, self._settings.baggage)
        self._sweeper = Sweeper(
            self.release_aged,
            self._settings.trace_timeout / SWEEPS_PER_TIMEOUT,
            "MlflowSpanProcessor",
        )
        self._stopped = False
        recent.limit = self._settings.recent_traces
        self._recent_spans = recent_spans
        recent.watch(self.under_way)
        self._next_starts = otel_adapter.hears_of_starts(behind)
        self._early: set[int] = set()

    def guard(self, settings: Settings) -> None:
        """Hold back also what other settings hold back. So both the app's and ``instrument()``'s settings hold."""
        filtered = self._guards.keep is not None
        self._guards = Guards.of(settings, self._accounting).combined_with(self._guards)
        if self._guards.keep is not None and not filtered:
            self._next.next = filtering(self._next.next)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember the span's trace. Called in the app's thread."""
        if self._early and span.context.span_id in self._early:
            self._early.discard(span.context.span_id)
            return
        self._start(span, parent_context)

    def start_early(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember a span's trace before ``on_start`` is called. Both together count as one start."""
        trace_id, span_id = span.context[:2]
        trace = self._holder.get(trace_id)
        if trace is None or span_id not in trace.open:
            self._start(span, parent_context)
            self._early.add(span_id)

    def _start(self, span: Span, parent_context: Context | None) -> None:
        try:
            parent = span.parent
            if parent is None or parent.is_remote:
                self._root_started(span, parent_context)
            elif mlflow_adapter.in_use():
                trace_id, span_id, _, flags = span.context[
                    :4
                ]  # reading properties takes as long as all the rest
                trace, releases = self._holder.started(trace_id, span_id)
                if trace.sampled is None:
                    trace.sampled = bool(flags & TraceFlags.SAMPLED)
                self._follow(span, span_id, trace, parent)
                if releases:
                    self._release(releases)
        except Exception as error:
            self._failed("on_start", error)
        if self._next_starts:
            self._next.next.on_start(span, parent_context)

    def _root_started(self, span: Span, parent_context: Context | None) -> None:
        """Hold the trace of a local root until the root has ended."""
        trace_id, span_id, _, flags = span.context[:4]
        if not self._sweeper.running:
            self._sweeper.start()
        trace, releases = self._holder.started(trace_id, span_id, root=True)
        if trace.sampled is None:
            trace.sampled = bool(flags & TraceFlags.SAMPLED)
        trace.roots += (span_id,)
        trace.entries.append(span_id)
        call = scorer_calls.at_work()
        if call is not None:
            trace.scorer = call
            if self._settings.scorer_traces:
                scorer_calls.mark(span, call)
        self._follow(span, span_id, trace, None)
        if self._settings.baggage:
            self._take_over(trace, parent_context)
        if releases:
            self._release(releases)

    def _take_over(self, trace: SpanTrace, parent_context: Context | None) -> None:
        """Take over what the calling service knew of the trace."""
        came = baggage.received(self._settings.baggage, parent_context)
        if not came:
            return
        session, user, request = (came.get(entry) for entry in baggage.ENTRIES.values())
        if trace.info is not None:
            mlflow_adapter.take_over(trace.info, session, user, request)
            return
        said = {keys.METADATA_SESSION: session, keys.METADATA_USER: user}
        metadata = {key: value for key, value in said.items() if value is not None}
        nothing = self._contexts.facts(None)
        trace.received = replace(nothing, client_request_id=request, metadata=metadata)

    def _follow(
        self, span: Span, span_id: int, trace: SpanTrace, parent: SpanContext | None
    ) -> None:
        """Remember MLflow's trace, and whether the span is the topmost of MLflow's."""
        # No lock: each step is one operation of a list or a set, and a parent starts before its child.
        if made_by_mlflow(span):
            mlflow_spans = trace.mlflow_spans
            if mlflow_spans is None:
                mlflow_spans = trace.mlflow_spans = set()
            if (
                parent is not None
                and parent.span_id not in mlflow_spans
                and mlflow_spans.isdisjoint(trace.roots)
            ):
                trace.entries.append(span_id)  # the topmost below another library's root
            mlflow_spans.add(span_id)
        if mlflow_adapter.in_use():
            info, registered = mlflow_adapter.follow(span, trace.info)
            trace.info = info or trace.info
            trace.registered = trace.registered or registered

    def on_end(self, span: ReadableSpan) -> None:
        """Hold the span, or release its trace when it was the last local root."""
        try:
            context = span.context
            assert context is not None  # noqa: S101 (an ended span has one)
            trace_id, span_id = context[:2]
            if self._early:
                self._early.discard(span_id)
            releases = self._holder.add(trace_id, span_id, span, otel_adapter.size_of(span))
        except Exception as error:
            self._failed("on_end", error)
            releases = [Release(0, None, {0: span}, 0, "unknown")]
        if releases:
            self._release(releases)

    def _release(self, releases: list[_Release]) -> None:
        for release in releases:
            try:
                if release.reason in COUNTED:
                    self._count(release)
                if release.items and release.reason != "duplicate":
                    self._hand_over(release)
                trace = release.trace
                if release.complete and trace is not None:
                    self._report_assessments(release.trace_id, trace)
                    if trace.registered:
                        trace.registered = False
                        mlflow_adapter.forget(release.trace_id, trace.info)
            except Exception as error:
                self._failed("hand-over", error)

    def _count(self, release: _Release) -> None:
        if release.items or release.reason == "traces":
            self._accounting.count(COUNTED[release.reason])

    def _hand_over(self, release: _Release) -> None:
        """Hand spans on with their trace's context, unless the trace is sampled out. Have them measured."""
        trace, spans = release.trace, list(release.items.values())
        if trace is not None:
            if trace.scorer is not None and not self._settings.scorer_traces:
                self._accounting.count("scorer.spans_not_exported", len(spans))
                return
            find_root(trace, release.items)
        root = None if trace is None else ended_root(trace)
        batch = self._contexts.batch(self._guards, spans, release.size, trace)
        read_later = trace is not None and self.whole.ended(release, trace, spans, root)
        handed_on = 0
        if trace is None or trace.sampled is not False:
            if self.on_released is not None:
                batch.outlines = {}  # what the exporter maps is measured without mapping it again
            handed_on = self._next.hand_on(spans, batch)
            if handed_on and trace is not None and trace.info is not None:
                self._recent_spans.keep(release.trace_id, spans, batch, release.size)
        else:
            self._accounting.count("sampled_out", len(spans))
        if self.on_released is not None:
            self.on_released(spans, batch, root)
        elif not handed_on and not read_later and trace is not None and trace.context is not None:
            trace.context.forget_spans()  # or the remembered traces would keep their spans

    def _report_assessments(self, trace_id: int, trace: SpanTrace) -> None:
        found = mlflow_adapter.assessments(trace.info)[trace.assessed :]
        if found and self.on_assessments is not None:
            trace.assessed += len(found)
            self.on_assessments(known(trace_id, trace, self._contexts.facts(trace.info)), found)

    def hand_on(self, span: ReadableSpan) -> None:
        """Hand on a span that belongs to no held trace, such as an evaluation."""
        batch = self._contexts.batch(self._guards, [span], otel_adapter.size_of(span), None)
        handed_on = self._next.hand_on([span], batch)
        assert span.context is not None  # noqa: S101 (an ended span has one)
        if handed_on:
            self._recent_spans.keep(span.context.trace_id, [span], batch, batch.size)

    def release_aged(self) -> None:
        """Release what has been held longer than ``trace_timeout``. A thread calls this."""
        self._release(self._holder.release_aged())

    def stats(self) -> dict[str, int]:
        """Return how much is held or on its way now.

        ``held.traces``, ``held.spans``, ``held.bytes``; ``queued``: spans that wait for export;
        ``in_flight``: spans in requests; and ``spooled``: spans left to the spool.
        """
        held = self._holder.stats()
        return {
            "held.traces": held["traces"],
            "held.spans": held["items"],
            "held.bytes": held["bytes"],
            **self._next.stats(),
        }

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush what was released. Spans of traces under way stay held.

        Returns in time, whatever the backend does. True only if everything that ended since the
        last flush was accepted by then.
        """
        return self._next.force_flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: int = SHUTDOWN_MILLIS) -> None:
        """Release everything that is held, then shut down the next processor, in time. Once.

        Args:
            timeout_millis: Milliseconds for both. What was not delivered by then is spooled, or counted
                as dropped.
        """
        if self._stopped:
            return
        until = time.monotonic() + timeout_millis / 1000
        self._stopped = True
        self._sweeper.stop()
        self._release(self._holder.release_all())
        self._next.shutdown(max(until - time.monotonic(), 0.0))

    def _failed(self, where: str, error: Exception) -> None:
        self._accounting.warn(
            "processor_failed",
            "mlflow-otel failed on a span (%s, %s: %s). The span is exported without its trace's "
            "context. Please report it to mlflow-otel.",
            where,
            type(error).__name__,
            error,
        )
