"""``MlflowSpanProcessor``: remembers each trace and gives its spans the trace's context."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.delivery.exporter import SHUTDOWN_SECONDS, MlflowSpanExporter, mapping_options
from mlflow_otel.delivery.mapped import MappedSpan, Passage, attributes_of, made_by_mlflow
from mlflow_otel.mapping import usage
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.mapping.trace import previews
from mlflow_otel.mapping.values import as_dict, decode
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter, otel_adapter, store
from mlflow_otel.tracing.mlflow_adapter import TraceFacts

SWEEPS_PER_TIMEOUT: Final = 4
SHUTDOWN_MILLIS: Final = int(SHUTDOWN_SECONDS * 1000)
SETTLING_SECONDS: Final = 1.0  # of a shutdown's: for what did not arrive to be spooled and counted

NO_FACTS: Final = TraceFacts()

_T = TypeVar("_T")


@dataclass(slots=True)
class _Trace:
    """What is remembered of one trace in this process."""

    started: float
    entries: set[int]
    passage: Passage
    released: bool
    info: Any = None
    registered: bool = False
    root: ReadableSpan | None = None
    root_held: bool = False
    open_roots: set[int] = field(default_factory=set)
    open_spans: set[int] = field(default_factory=set)
    mlflow_spans: set[int] = field(default_factory=set)
    roots: set[int] = field(default_factory=set)
    held: list[MappedSpan] = field(default_factory=list)
    held_bytes: int = 0
    context: Callable[[], TraceContext] | None = None


class _Snapshot:
    """A trace's context, frozen when its spans are passed on, worked out when first read."""

    __slots__ = ("_context", "_cost", "_experiment_name", "_facts", "_root", "_spans")

    def __init__(
        self,
        facts: TraceFacts,
        root: ReadableSpan | None,
        spans: Sequence[MappedSpan],
        experiment_name: str | None,
        cost: Callable[[Mapping[str, Any]], Mapping[str, float]],
    ) -> None:
        self._cost = cost
        self._facts = facts
        self._root = root
        self._spans: Sequence[MappedSpan] = spans
        self._experiment_name = experiment_name
        self._context: TraceContext | None = None

    def __call__(self) -> TraceContext:
        if self._context is None:
            self._context = self._work_out()
            self._spans, self._root = (), None
        return self._context

    def _work_out(self) -> TraceContext:
        facts, root = self._facts, self._root
        state = facts.state
        if root is not None and state in (None, "IN_PROGRESS", "STATE_UNSPECIFIED"):
            state = "ERROR" if root.status.status_code is StatusCode.ERROR else "OK"
        attributes = attributes_of(root) if root is not None else {}
        request, response = previews(
            attributes.get(keys.SPAN_INPUTS), attributes.get(keys.SPAN_OUTPUTS)
        )
        return TraceContext(
            trace_id=facts.trace_id,
            client_request_id=facts.client_request_id,
            tags=facts.tags,
            metadata=facts.metadata,
            experiment_id=facts.experiment_id,
            experiment_name=store.experiment_name(facts.experiment_id) or self._experiment_name,
            state=state,
            request_preview=facts.request_preview or request,
            response_preview=facts.response_preview or response,
            token_usage=as_dict(decode(facts.metadata.get(keys.METADATA_TOKEN_USAGE)))
            or usage.sum_tokens(self._nodes(keys.CHAT_TOKEN_USAGE)),
            cost=as_dict(decode(facts.metadata.get(keys.METADATA_COST)))
            or usage.sum_cost(self._nodes(keys.LLM_COST)),
        )

    def _nodes(self, key: str) -> list[usage.UsageNode]:
        nodes = []
        for span in (mapped.recorded for mapped in self._spans):
            attributes = attributes_of(span)
            numbers = as_dict(decode(attributes.get(key))) or None
            if numbers is None and key == keys.LLM_COST:
                numbers = dict(self._cost(attributes)) or None
            parent = span.parent.span_id if span.parent is not None else None
            nodes.append(usage.UsageNode(span.context.span_id, parent, numbers))
        return nodes


class MlflowSpanProcessor(SpanProcessor):
    """Gives every span of a trace what MLflow knows of the trace, whenever it came to know it.

    Ended spans are held until their local root (a span without a parent, or with a remote one)
    ends; then each is passed on as a ``MappedSpan`` with the trace's context. Spans are never
    changed and nothing is mapped in the app's thread. What ends after its root follows at once.

    Held memory is bounded: by traces, spans a trace, bytes and age (``Settings.max_traces``,
    ``max_spans_per_trace``, ``max_held_bytes``, ``trace_timeout``). Past a bound spans are passed on
    early with what is known then, counted as ``passed_on_early.*``; none is dropped here.

    ``force_flush`` flushes what was passed on; spans of traces still under way stay held, since
    their context is not known yet. ``shutdown`` passes them on.

    Args:
        next: A ``SpanProcessor`` to hand on to, or a ``SpanExporter``, which then gets the SDK's
            ``BatchSpanProcessor`` (``OTEL_BSP_*``), or ``SimpleSpanProcessor`` when
            ``MLFLOW_ENABLE_ASYNC_TRACE_LOGGING`` is false.
        settings: The configuration; from the environment when None.
        accounting: Gets the counters.
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(
        self,
        next: SpanProcessor | SpanExporter,  # noqa: A002 (the pipeline's word)
        settings: Settings | None = None,
        *,
        accounting: Accounting = ACCOUNTING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = (
            Settings.from_environment(accounting=accounting) if settings is None else settings
        )
        self._options = mapping_options(self._settings)
        self._cost = mlflow_adapter.cost if self._settings.work_out_cost else _no_cost
        self._next = batched(next, self._settings) if isinstance(next, SpanExporter) else next
        self._accounting = accounting
        self._clock = clock
        self._stopped = threading.Event()
        self._closed = False
        self._queues = otel_adapter.queues(self._next)
        self._next_starts = otel_adapter.hears_of_starts(self._next)
        self._begin()
        if hasattr(os, "register_at_fork"):
            weak = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (begin := weak()) and begin())

    def _begin(self) -> None:
        # Also after a fork, in the child: what the parent holds is the parent's to send.
        self._lock = threading.Lock()
        self._traces: OrderedDict[int, _Trace] = OrderedDict()  # under way, by OpenTelemetry's ID
        self._recent: OrderedDict[int, _Trace] = OrderedDict()  # passed on; spans may yet come late
        self._held_bytes = 0
        self._passing = threading.Lock()
        self._waiting_bytes = 0  # passed on and not read yet
        self._read: deque[int] = deque()  # sizes of what was read since
        self._lost = 0  # since the last flush
        self._sweeper: threading.Thread | None = None

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
            self._next.on_start(span, parent_context)

    def _follow(self, span: Span, trace: _Trace, parent: SpanContext | None) -> None:
        """Remember an open span, whether it is the topmost of MLflow's, and MLflow's trace."""
        span_id = span.context.span_id
        by_mlflow = made_by_mlflow(span)
        with self._lock:
            trace.open_spans.add(span_id)
            if by_mlflow:
                if (
                    parent is not None
                    and parent.span_id not in trace.mlflow_spans
                    and not trace.roots & trace.mlflow_spans
                ):
                    trace.entries.add(span_id)  # the topmost below another library's root
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
                trace = self._recent.pop(context.trace_id, None)
                if trace is None or local_root:
                    # A trace met in the middle (its root is another process's, or the parent's of
                    # a fork) has no end to wait for.
                    entries: set[int] = set()
                    trace = _Trace(self._clock(), entries, self._passage(entries), not local_root)
                self._traces[context.trace_id] = trace
            if local_root:
                trace.released = False
                trace.open_roots.add(context.span_id)
                trace.roots.add(context.span_id)
                trace.entries.add(context.span_id)
            batches = self._over_bounds()
        if batches:
            self._pass_on(batches)
        return trace

    def _passage(self, entries: set[int] | None) -> Passage:
        return Passage(TraceContext, self._options, self._accounting, self._cost, entries)

    def on_end(self, span: ReadableSpan) -> None:
        """Hold the span, or pass its trace on when it was the last local root."""
        try:
            batches = self._hold(span)
        except Exception as error:
            self._failed("on_end", error)
            batches = [([self._alone(span)], None, None)]
        if batches:
            self._pass_on(batches)

    def _alone(self, span: ReadableSpan) -> MappedSpan:
        return MappedSpan(span, self._passage(None))

    def _hold(self, span: ReadableSpan) -> list[_Batch]:
        context = span.context
        assert context is not None  # noqa: S101 (an ended span has one)
        size = _size(span)
        with self._lock:
            trace_id = context.trace_id
            trace = self._traces.get(trace_id) or self._recent.get(trace_id)
            if trace is None:
                return [([self._alone(span)], None, None)]
            span_id = context.span_id
            trace.open_spans.discard(span_id)
            trace.held.append(MappedSpan(span, trace.passage))
            trace.held_bytes += size
            self._held_bytes += size
            if span_id in trace.open_roots:
                trace.open_roots.discard(span_id)
                trace.root, trace.root_held = span, True
                if not trace.open_roots:
                    trace.released = True
            if trace.released:
                return [self._take(trace_id, trace)]
            if len(trace.held) > self._settings.max_spans_per_trace:
                self._accounting.count("passed_on_early.spans")
                return [self._take(trace_id, trace)]
            if self._held_bytes > self._settings.max_held_bytes:
                return self._over_bounds()
        return []

    def _over_bounds(self) -> list[_Batch]:
        """Take what must be passed on for the other bounds to hold; the lock is held."""
        batches: list[_Batch] = []
        while self._held_bytes > self._settings.max_held_bytes:
            holding = ((i, t) for i, t in self._traces.items() if t.held)
            trace_id, trace = next(holding)
            self._accounting.count("passed_on_early.bytes")
            batches.append(self._take(trace_id, trace))
        while len(self._traces) > self._settings.max_traces:
            trace_id, trace = next(iter(self._traces.items()))
            self._accounting.count("passed_on_early.traces")
            trace.released = True
            batches.append(self._take(trace_id, trace))
            # MLflow keeps knowing it: the app may go on calling update_current_trace.
            self._remember_passed_on(trace_id, trace)
        return batches

    def _take(self, trace_id: int, trace: _Trace) -> _Batch:
        spans, trace.held = trace.held, []
        trace.passage.size = trace.held_bytes
        trace.passage = self._passage(trace.entries)  # of those that end from here on
        self._held_bytes -= trace.held_bytes
        trace.held_bytes = 0
        if not trace.released or trace.open_spans:
            return spans, trace, None
        self._remember_passed_on(trace_id, trace)
        return spans, trace, trace_id

    def _remember_passed_on(self, trace_id: int, trace: _Trace) -> None:
        if self._traces.pop(trace_id, None) is not None:
            self._recent[trace_id] = trace
            while len(self._recent) > self._settings.max_traces:
                self._recent.popitem(last=False)

    def _pass_on(self, batches: list[_Batch]) -> None:
        for spans, trace, done in batches:
            try:
                self._pass_on_one(spans, trace)
                if done is not None and trace is not None and trace.registered:
                    trace.registered = False
                    mlflow_adapter.forget(done, trace.info)
            except Exception as error:
                self._failed("hand-over", error)

    def _pass_on_one(self, spans: list[MappedSpan], trace: _Trace | None) -> None:
        if not spans:
            return
        passage = spans[0].passage
        if trace is not None:
            passage.context = self._context(spans, trace)
        with self._passing:
            room = self._room()
            if room < len(spans):
                spans = self._drop_beyond(spans, room)
            self._waiting_bytes += passage.size
            passage.read = self._read
            for span in spans:
                self._next.on_end(span)

    def _room(self) -> int:
        """Return how many spans the queues behind have room for."""
        while self._read:
            self._waiting_bytes -= self._read.popleft()
        if not any(self._queues):
            self._waiting_bytes = 0  # an exporter need not read what it is given
        if self._closed or self._waiting_bytes > self._settings.max_held_bytes:
            return 0
        room = sys.maxsize
        for queue in self._queues:
            if queue.maxlen is not None:
                room = min(room, queue.maxlen - len(queue))
        return room

    def _drop_beyond(self, spans: list[MappedSpan], room: int) -> list[MappedSpan]:
        """Drop the newest, for which there is no room: a full queue would drop its oldest, uncounted."""
        number = len(spans) - room
        self._lost += number
        self._accounting.count("dropped", number)
        if self._closed:
            self._accounting.warn(
                "dropped.already_shutdown",
                "Spans that ended after shutdown() are dropped: shut down last of all.",
                number=number,
            )
            return spans[:room]
        self._accounting.warn(
            "dropped.queue_full",
            "Spans are dropped: too many wait for export. See that the backend is there "
            "(`mlflow-otel doctor`); OTEL_BSP_MAX_QUEUE_SIZE and MLFLOW_OTEL_MAX_HELD_BYTES set how "
            "much may wait.",
            number=number,
        )
        return spans[:room]

    def _context(self, spans: list[MappedSpan], trace: _Trace) -> Callable[[], TraceContext]:
        if trace.context is not None and trace.released and not trace.root_held:
            return trace.context  # late spans carry what their trace was passed on with
        trace.root_held = False
        info = trace.info
        if info is not None and mlflow_adapter.in_use():
            # MLflow's own processor may have registered the trace anew behind ours.
            info = mlflow_adapter.info_of(spans[0].context.trace_id) or info
        facts = NO_FACTS if info is None else mlflow_adapter.facts(info)
        trace.context = _Snapshot(
            facts, trace.root, spans, self._settings.experiment_name, self._cost
        )
        return trace.context

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

    def pass_on_aged(self) -> None:
        """Pass on what has been held longer than ``trace_timeout``; a thread calls this."""
        before = self._clock() - self._settings.trace_timeout
        batches = []
        with self._lock:
            aged = [(i, t) for i, t in self._traces.items() if t.started <= before]
            for trace_id, trace in aged:
                if trace.held:
                    self._accounting.count("passed_on_early.age")
                trace.released = True
                batches.append(self._take(trace_id, trace))
            for trace_id in [i for i, t in self._recent.items() if t.started <= before]:
                del self._recent[trace_id]
        self._pass_on(batches)

    def stats(self) -> dict[str, int]:
        """Return how much is held or on its way now.

        ``held.traces``, ``held.spans``, ``held.bytes``; ``queued``: spans that wait for export;
        ``in_flight``: spans in requests; and ``spooled``: spans left to the spool.
        """
        exporters = otel_adapter.exporters(self._next)
        ours = [e for e in exporters if isinstance(e, MlflowSpanExporter)]
        with self._lock:
            holding = [trace for trace in self._traces.values() if trace.held]
            return {
                "held.traces": len(holding),
                "held.spans": sum(len(trace.held) for trace in holding),
                "held.bytes": self._held_bytes,
                "queued": sum(len(queue) for queue in self._queues),
                "in_flight": sum(exporter.in_flight for exporter in ours),
                "spooled": sum(exporter.spooled for exporter in ours),
            }

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush what was passed on; spans of traces under way stay held.

        Returns in time whatever the backend does; True only if all that ended since the last flush
        was accepted by then.
        """
        until = time.monotonic() + timeout_millis / 1000
        with self._passing:
            lost, self._lost = self._lost, 0
        flushed = _within(timeout_millis / 1000, lambda: self._next.force_flush(timeout_millis))
        arrived = [
            exporter.force_flush(max(int((until - time.monotonic()) * 1000), 0))
            for exporter in otel_adapter.exporters(self._next)
        ]
        return flushed is True and all(arrived) and not lost

    def shutdown(self, timeout_millis: int = SHUTDOWN_MILLIS) -> None:
        """Pass on all that is held, then shut down what comes next, in time. Once.

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
                    self._accounting.count("passed_on_early.shutdown")
                trace.released = True
                trace.open_spans.clear()
                batches.append(self._take(trace_id, trace))
        self._pass_on(batches)
        self._closed = True
        left = max(until - time.monotonic(), 0.0)
        for exporter in otel_adapter.exporters(self._next):
            if isinstance(exporter, MlflowSpanExporter):
                exporter.stop_by(max(left - SETTLING_SECONDS, left / 2))
        _within(left, self._next.shutdown)
        self._count_left()

    def _count_left(self) -> None:
        """Count what an exporter that hangs has left in the queue."""
        left = 0
        for queue in self._queues:
            left += len(queue)
            queue.clear()
        if left:
            self._accounting.count("dropped", left)
            self._accounting.warn(
                "dropped.shutdown",
                "%d spans were not exported before shutdown's time was up. MLFLOW_OTEL_SPOOL_DIR "
                "keeps them for the next start.",
                left, number=left,
            )  # fmt: skip

    def _failed(self, where: str, error: Exception) -> None:
        self._accounting.warn(
            "processor_failed",
            "A span could not be followed (%s, %s: %s); it is exported without its trace's context. "
            "Please report it to mlflow-otel.",
            where, type(error).__name__, error,
        )  # fmt: skip


# Spans to pass on, their trace, and its ID when nothing more of it is awaited.
_Batch = tuple[list[MappedSpan], "_Trace | None", "int | None"]


def batched(exporter: SpanExporter, settings: Settings) -> SpanProcessor:
    """Return the SDK's processor for an exporter: batching, or exporting as spans end.

    A trace's spans are passed on all at once, so the queue has room for two of the largest traces
    that are held, unless ``OTEL_BSP_MAX_QUEUE_SIZE`` says otherwise; the SDK's default of 2048 drops
    spans of any larger trace.
    """
    if not settings.asynchronous:
        return SimpleSpanProcessor(exporter)
    set_by_user = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip()
    return BatchSpanProcessor(
        exporter,
        max_queue_size=None if set_by_user else max(2048, 2 * settings.max_spans_per_trace),
    )


def _no_cost(_attributes: Mapping[str, Any]) -> Mapping[str, float]:
    return {}


def _size(span: ReadableSpan) -> int:
    values = attributes_of(span).values()
    try:
        return sum(map(len, values))  # text throughout, as MLflow writes it
    except TypeError:
        return sum([len(value) for value in values if isinstance(value, (str, bytes, tuple))])


def _within(seconds: float, call: Callable[[], _T]) -> _T | None:
    """Return what ``call`` returns, or None after ``seconds``: it then goes on by itself.

    The SDK's force_flush and shutdown take their own time (opentelemetry-python #4568).
    """
    answers: list[_T] = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    try:
        thread.start()
    except RuntimeError:  # Python starts none while it exits (3.12 and later)
        return call()
    thread.join(seconds)
    return answers[0] if answers else None


def _sweep(
    processor: weakref.ref[MlflowSpanProcessor], stopped: threading.Event, pause: float
) -> None:
    while not stopped.wait(pause):
        live = processor()
        if live is None:
            return
        live.pass_on_aged()
        del live
