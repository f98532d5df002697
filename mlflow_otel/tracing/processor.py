"""``MlflowSpanProcessor``: remembers each trace and gives its spans the trace's context."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import SpanContext

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.signal_delivery import SHUTDOWN_SECONDS
from mlflow_otel.export.guards import Guards
from mlflow_otel.export.mapped import BatchContext, attributes_of, made_by_mlflow
from mlflow_otel.forking import in_child
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter, otel_adapter
from mlflow_otel.tracing.filtering import filtering
from mlflow_otel.tracing.mlflow_adapter import TraceFacts
from mlflow_otel.tracing.next_processor import NextProcessor, batched
from mlflow_otel.tracing.recent import RECENT, Known, RecentTraces
from mlflow_otel.tracing.snapshot import Snapshot

SWEEPS_PER_TIMEOUT: Final = 4
SHUTDOWN_MILLIS: Final = int(SHUTDOWN_SECONDS * 1000)

NO_FACTS: Final = TraceFacts()


@dataclass(slots=True)
class _Trace:
    """What is remembered of one trace in this process."""

    started: float
    released: bool
    info: Any = None
    registered: bool = False
    root: ReadableSpan | None = None  # the local root that ended last, until its trace is released
    root_id: int | None = None
    # Tuples where there is one as a rule: a thousand of these are remembered.
    roots: tuple[int, ...] = ()
    open_roots: tuple[int, ...] = ()
    entries: tuple[int, ...] = ()
    open_spans: set[int] = field(default_factory=set)
    mlflow_spans: set[int] | None = None
    held: list[ReadableSpan] = field(default_factory=list)
    held_bytes: int = 0
    context: Snapshot | None = None
    assessed: int = 0
    sampled: bool = True


class _Batch(NamedTuple):
    """Spans to pass on.

    Args:
        spans: In the order they ended.
        size: Bytes of their attributes.
        trace: Theirs, if it is remembered.
        done: Its ID when nothing more of it is awaited.
    """

    spans: list[ReadableSpan]
    size: int = 0
    trace: _Trace | None = None
    done: int | None = None


class MlflowSpanProcessor(SpanProcessor):
    """Gives every span of a trace what MLflow knows of the trace, whenever it came to know it.

    Ended spans are held until their local root (a span without a parent, or with a remote one)
    ends; then each is handed on as a ``MappedSpan`` with the trace's context. Spans are never
    changed and nothing is mapped in the app's thread. A span that ends after its root is handed on at once.

    Held memory is bounded: by traces, spans a trace, bytes and age (``Settings.max_traces``,
    ``max_spans_per_trace``, ``max_held_bytes``, ``trace_timeout``). Past a bound spans are released
    early with what is known then, counted as ``released_early.*``; none is dropped here.

    ``force_flush`` flushes what was released; spans of traces still under way stay held, since
    their context is not known yet. ``shutdown`` passes them on.

    Args:
        next: A ``SpanProcessor`` to hand on to, or a ``SpanExporter``, which then gets the SDK's
            ``BatchSpanProcessor`` (``OTEL_BSP_*``), or ``SimpleSpanProcessor`` when
            ``MLFLOW_ENABLE_ASYNC_TRACE_LOGGING`` is false.
        settings: The configuration; from the environment when None.
        accounting: Gets the counters.
        clock: Monotonic seconds; a test passes its own.
        recent: Remembers the traces, for feedback to find them.
    """

    on_assessments: Callable[[Known, list[Any]], object] | None = None
    """Called with what was logged on a trace while it was under way, when it has ended."""

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
    ) -> None:
        self._settings = (
            Settings.from_environment(accounting=accounting) if settings is None else settings
        )
        self._guards = Guards.of(self._settings, accounting)
        self._cost = mlflow_adapter.cost if self._settings.work_out_cost else _no_cost
        behind = batched(next, self._settings) if isinstance(next, SpanExporter) else next
        if self._guards.keep is not None:
            behind = filtering(behind)
        self._next = NextProcessor(behind, self._settings.max_held_bytes, accounting)
        self._accounting = accounting
        self._clock = clock
        self._stopped = threading.Event()
        self._recent_traces = recent
        recent.limit = self._settings.recent_traces
        recent.watch(self)
        self._next_starts = otel_adapter.hears_of_starts(behind)
        self._begin()
        in_child(self._begin)

    def _begin(self) -> None:
        # Also after a fork, in the child: what the parent holds is the parent's to send.
        self._lock = threading.Lock()
        self._traces: OrderedDict[int, _Trace] = OrderedDict()  # under way, by OpenTelemetry's ID
        self._released: OrderedDict[int, _Trace] = (
            OrderedDict()
        )  # released; spans may yet come late
        self._held_bytes = 0
        self._next.begin()
        self._sweeper: threading.Thread | None = None

    def guard(self, settings: Settings) -> None:
        """Hold back, besides, what other settings hold back: the app's pair, and ``instrument()``'s."""
        filtered = self._guards.keep is not None
        self._guards = Guards.of(settings, self._accounting).beside(self._guards)
        if self._guards.keep is not None and not filtered:
            self._next.next = filtering(self._next.next)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember the span's trace. Called in the app's thread."""
        try:
            context, parent = span.context, span.parent
            local_root = parent is None or parent.is_remote
            if local_root or mlflow_adapter.in_use():
                trace = None if local_root else self._traces.get(context.trace_id)
                if trace is None:
                    trace = self._enter(context, local_root)
                self._follow(span, trace, None if local_root else parent)
        except Exception as error:
            self._failed("on_start", error)
        if self._next_starts:
            self._next.next.on_start(span, parent_context)

    def _follow(self, span: Span, trace: _Trace, parent: SpanContext | None) -> None:
        """Remember an open span, whether it is the topmost of MLflow's, and MLflow's trace."""
        span_id = span.context.span_id
        by_mlflow = made_by_mlflow(span)
        with self._lock:
            trace.open_spans.add(span_id)
            if by_mlflow:
                if trace.mlflow_spans is None:
                    trace.mlflow_spans = set()
                if (
                    parent is not None
                    and parent.span_id not in trace.mlflow_spans
                    and trace.mlflow_spans.isdisjoint(trace.roots)
                ):
                    trace.entries += (span_id,)  # the topmost below another library's root
                trace.mlflow_spans.add(span_id)
        if mlflow_adapter.in_use():
            info, registered = mlflow_adapter.follow(span, trace.info)
            trace.info = info or trace.info
            trace.registered = trace.registered or registered

    def _enter(self, context: SpanContext, local_root: bool) -> _Trace:
        """Begin to remember a trace, or one more local root of it."""
        with self._lock:
            if self._sweeper is None and not self._stopped.is_set():
                self._start_sweeper()
            trace = self._traces.get(context.trace_id)
            if trace is None:
                trace = self._released.pop(context.trace_id, None)
                if trace is None or local_root:
                    # A trace met in the middle (its root is another process's, or the parent's of
                    # a fork) has no end to wait for.
                    trace = _Trace(
                        self._clock(), released=not local_root, sampled=context.trace_flags.sampled
                    )
                self._traces[context.trace_id] = trace
            if local_root:
                trace.released = False
                root = (context.span_id,)
                trace.open_roots += root
                trace.roots += root
                trace.entries += root
            batches = self._over_bounds()
        if batches:
            self._release(batches)
        return trace

    def on_end(self, span: ReadableSpan) -> None:
        """Hold the span, or release its trace when it was the last local root."""
        try:
            batches = self._hold(span)
        except Exception as error:
            self._failed("on_end", error)
            batches = [_Batch([span])]
        if batches:
            self._release(batches)

    def _hold(self, span: ReadableSpan) -> list[_Batch] | None:
        context = span.context
        assert context is not None  # noqa: S101 (an ended span has one)
        trace_id, span_id = context[:2]  # its properties take as long as all the rest
        size = _size(span)
        with self._lock:
            trace = self._traces.get(trace_id) or self._released.get(trace_id)
            if trace is None:
                return [_Batch([span], size)]
            trace.held.append(span)
            trace.held_bytes += size
            self._held_bytes += size
            trace.open_spans.discard(span_id)
            if span_id in trace.open_roots:
                trace.open_roots = tuple(root for root in trace.open_roots if root != span_id)
                trace.root, trace.root_id = span, span_id
                trace.released = trace.released or not trace.open_roots
            if trace.released:
                return [self._take_held(trace_id, trace)]
            if len(trace.held) > self._settings.max_spans_per_trace:
                self._accounting.count("released_early.spans")
                return [self._take_held(trace_id, trace)]
            if self._held_bytes > self._settings.max_held_bytes:
                return self._over_bounds()
        return None

    def _over_bounds(self) -> list[_Batch]:
        """Take what must be released for the other bounds to hold; the lock is held."""
        batches: list[_Batch] = []
        while self._held_bytes > self._settings.max_held_bytes:
            holding = ((i, t) for i, t in self._traces.items() if t.held)
            trace_id, trace = next(holding)
            self._accounting.count("released_early.bytes")
            batches.append(self._take_held(trace_id, trace))
        while len(self._traces) > self._settings.max_traces:
            trace_id, trace = next(iter(self._traces.items()))
            self._accounting.count("released_early.traces")
            trace.released = True
            batches.append(self._take_held(trace_id, trace))
            # MLflow keeps knowing it: the app may go on calling update_current_trace.
            self._remember_released(trace_id, trace)
        return batches

    def _take_held(self, trace_id: int, trace: _Trace) -> _Batch:
        spans, size = trace.held, trace.held_bytes
        trace.held, trace.held_bytes = [], 0
        self._held_bytes -= size
        done = trace.released and not trace.open_spans
        if done:
            self._remember_released(trace_id, trace)
        return _Batch(spans, size, trace, trace_id if done else None)

    def _remember_released(self, trace_id: int, trace: _Trace) -> None:
        if self._traces.pop(trace_id, None) is not None:
            self._released[trace_id] = trace
            while len(self._released) > self._settings.max_traces:
                self._released.popitem(last=False)

    def _release(self, batches: list[_Batch]) -> None:
        for spans, size, trace, done in batches:
            try:
                if spans:
                    root = None if trace is None else _ended(trace)
                    batch = self._batch_context(spans, size, trace)
                    left = 0
                    if trace is None or trace.sampled:
                        left = self._next.hand_on(spans, batch)
                    else:
                        self._accounting.count("sampled_out", len(spans))
                    if self.on_released is not None:
                        self.on_released(spans, batch, root)
                    elif not left and trace is not None and trace.context is not None:
                        trace.context.forget_spans()  # or the remembered traces would keep their spans
                if done is not None and trace is not None:
                    self._report_assessments(done, trace)
                if done is not None and trace is not None and trace.registered:
                    trace.registered = False
                    mlflow_adapter.forget(done, trace.info)
            except Exception as error:
                self._failed("hand-over", error)

    def _batch_context(
        self, spans: list[ReadableSpan], size: int, trace: _Trace | None
    ) -> BatchContext:
        known = TraceContext if trace is None else self._context(spans, trace)
        entries = None if trace is None else trace.entries
        return BatchContext(
            known, self._guards.options, self._accounting, self._cost, entries, size,
            keep=self._guards.keep,
        )  # fmt: skip

    def _context(self, spans: list[ReadableSpan], trace: _Trace) -> Callable[[], TraceContext]:
        if trace.context is not None and trace.released and trace.root is None:
            return trace.context  # late spans carry what their trace was released with
        info = trace.info
        if info is not None and mlflow_adapter.in_use():
            # MLflow's own processor may have registered the trace anew behind ours.
            info = mlflow_adapter.info_of(spans[0].context.trace_id) or info
            trace.info = info
        facts = NO_FACTS if info is None else mlflow_adapter.facts(info)
        if trace.released and info is not None:
            self._recent_traces.remember(_known(spans[0].context.trace_id, trace, facts))
        trace.context = Snapshot(
            facts, trace.root, spans, self._settings.experiment_name, self._cost
        )
        if trace.released:
            trace.root = None  # what is remembered of traces holds no spans
        return trace.context

    def _report_assessments(self, trace_id: int, trace: _Trace) -> None:
        found = mlflow_adapter.assessments(trace.info)[trace.assessed :]
        if found and self.on_assessments is not None:
            trace.assessed += len(found)
            self.on_assessments(_known(trace_id, trace, mlflow_adapter.facts(trace.info)), found)

    def find(self, trace_id: int) -> Known | None:
        """Return a trace under way, by OpenTelemetry's ID; None when there is none."""
        with self._lock:
            trace = self._traces.get(trace_id)
        if trace is None or trace.info is None:
            return None
        return _known(trace_id, trace, mlflow_adapter.facts(trace.info))

    def of_request(self, client_request_id: str) -> list[Known]:
        """Return the traces under way of a request, the newest first."""
        with self._lock:
            infos = [(i, t.info) for i, t in self._traces.items() if t.info is not None]
        matching = [i for i, info in infos if info.client_request_id == client_request_id]
        found = (self.find(trace_id) for trace_id in reversed(matching))
        return [known for known in found if known is not None]

    def hand_on(self, span: ReadableSpan) -> None:
        """Pass a span on as it is, beside the traces': an evaluation, say."""
        guards = self._guards
        batch = BatchContext(
            options=guards.options, accounting=self._accounting, size=_size(span), keep=guards.keep
        )
        self._next.hand_on([span], batch)

    def _start_sweeper(self) -> None:
        self._sweeper = threading.Thread(
            target=_sweep,
            args=(
                weakref.ref(self),
                self._stopped,
                self._settings.trace_timeout / SWEEPS_PER_TIMEOUT,
            ),
            name="MlflowSpanProcessor",
            daemon=True,
        )
        self._sweeper.start()

    def release_aged(self) -> None:
        """Release what has been held longer than ``trace_timeout``; a thread calls this."""
        before = self._clock() - self._settings.trace_timeout
        batches = []
        with self._lock:
            aged = [(i, t) for i, t in self._traces.items() if t.started <= before]
            for trace_id, trace in aged:
                if trace.held:
                    self._accounting.count("released_early.age")
                trace.released = True
                batches.append(self._take_held(trace_id, trace))
            for trace_id in [i for i, t in self._released.items() if t.started <= before]:
                del self._released[trace_id]
        self._release(batches)

    def stats(self) -> dict[str, int]:
        """Return how much is held or on its way now.

        ``held.traces``, ``held.spans``, ``held.bytes``; ``queued``: spans that wait for export;
        ``in_flight``: spans in requests; and ``spooled``: spans left to the spool.
        """
        with self._lock:
            holding = [trace for trace in self._traces.values() if trace.held]
            return {
                "held.traces": len(holding),
                "held.spans": sum(len(trace.held) for trace in holding),
                "held.bytes": self._held_bytes,
                **self._next.stats(),
            }

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush what was released; spans of traces under way stay held.

        Returns in time whatever the backend does; True only if all that ended since the last flush
        was accepted by then.
        """
        return self._next.force_flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: int = SHUTDOWN_MILLIS) -> None:
        """Release all that is held, then shut down what comes next, in time. Once.

        Args:
            timeout_millis: Milliseconds for all of it; what did not arrive by then is spooled, or
                counted as dropped.
        """
        if self._stopped.is_set():
            return
        until = time.monotonic() + timeout_millis / 1000
        self._stopped.set()
        with self._lock:
            batches = []
            for trace_id, trace in list(self._traces.items()):
                if trace.held:
                    self._accounting.count("released_early.shutdown")
                trace.released = True
                trace.open_spans.clear()
                batches.append(self._take_held(trace_id, trace))
        self._release(batches)
        self._next.shutdown(max(until - time.monotonic(), 0.0))

    def _failed(self, where: str, error: Exception) -> None:
        self._accounting.warn(
            "processor_failed",
            "A span could not be followed (%s, %s: %s); it is exported without its trace's context. "
            "Please report it to mlflow-otel.",
            where, type(error).__name__, error,
        )  # fmt: skip


def _known(trace_id: int, trace: _Trace, facts: TraceFacts) -> Known:
    root = min(trace.roots, default=None) if trace.root_id is None else trace.root_id
    return Known(trace_id, facts, root, trace.sampled)


def _ended(trace: _Trace) -> ReadableSpan | None:
    """Return the local root of a trace of MLflow's that is released whole now."""
    return trace.root if trace.released and trace.info is not None else None


def _no_cost(_attributes: Mapping[str, Any]) -> Mapping[str, float]:
    return {}


def _size(span: ReadableSpan) -> int:
    values = attributes_of(span).values()
    try:
        return sum(map(len, values))  # text throughout, as MLflow writes it
    except TypeError:
        return sum([len(value) for value in values if isinstance(value, (str, bytes, tuple))])


def _sweep(
    processor: weakref.ref[MlflowSpanProcessor], stopped: threading.Event, pause: float
) -> None:
    while not stopped.wait(pause):
        live = processor()
        if live is None:
            return
        live.release_aged()
        del live
