"""``Handle``: the running instrumentation with all its parts. ``instrument()`` returns it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.transport import load
from mlflow_otel.ending.at_roots import FlushAtRoots
from mlflow_otel.ending.processes import FlushAtEnd
from mlflow_otel.export.exporter import MlflowSpanExporter, flush_all
from mlflow_otel.export.guards import mapping_options
from mlflow_otel.feedback.assessments import Assessments
from mlflow_otel.feedback.emitter import Emitter
from mlflow_otel.feedback.mlflow_client import Hooks
from mlflow_otel.feedback.process_traces import RecentProcessTraces
from mlflow_otel.feedback.trace_updates import TraceUpdates
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.measuring.recorder import Recorder
from mlflow_otel.scoring.scorers import Scorers
from mlflow_otel.settings import Settings
from mlflow_otel.signals.lazy_pipelines import LazyPipelines
from mlflow_otel.startup_messages import IdleServerWarning, log_destination
from mlflow_otel.tracing import baggage, mlflow_provider, otel_adapter
from mlflow_otel.tracing.annotating import shared_tracer
from mlflow_otel.tracing.next_processor import SETTLING_SECONDS, batched
from mlflow_otel.tracing.own_provider import OwnTracerProvider
from mlflow_otel.tracing.processor import SHUTDOWN_MILLIS, MlflowSpanProcessor
from mlflow_otel.tracing.recent import RECENT
from mlflow_otel.tracing.recent_spans import RECENT_SPANS
from mlflow_otel.tracing.store import answer_with
from mlflow_otel.waiting import call_with_timeout
from mlflow_otel.wiring import resource, sampler, signals_of_assessments


class Handle:
    """What ``instrument()`` returns: the running instrumentation.

    Args:
        settings: The configuration in force.
        exporter: Where spans go; an OTLP exporter by the settings when None.
        accounting: Holds the counters.

    Example:
        >>> handle = mlflow_otel.instrument()
        >>> handle.active
        True
        >>> handle.force_flush(timeout_millis=5000)
        True
        >>> handle.shutdown()
    """

    def __init__(
        self,
        settings: Settings,
        exporter: SpanExporter | None = None,
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        self.settings = settings
        self.accounting = accounting
        self._exporter = exporter
        self._processor: MlflowSpanProcessor | None = None
        self._exporting: SpanProcessor | None = None
        self._shared: list[tuple[TracerProvider, tuple[SpanProcessor, ...]]] = []
        self._take_over: mlflow_provider.TakeOver | None = None
        self._hooks: Hooks | None = None
        self._undo_baggage: Callable[[], None] | None = None
        self._resource_made: Resource | None = None
        self.begin_anew()
        begin_anew_in_child(self)
        self._own: TracerProvider | None = None
        self._mlflows: tuple[SpanProcessor, ...] = ()  # in dual export
        self._at_roots: FlushAtRoots | None = None
        self._idle_server = IdleServerWarning(settings)
        self._at_end = FlushAtEnd(self, signals=settings.flush != "atexit")
        self._signals = LazyPipelines(settings, self._resource, accounting)
        self._recorder = Recorder(self._signals)
        emitter = Emitter(
            self._signals,
            self._open_spans,
            self._resource,
            signals_of_assessments(settings, exporter),
        )
        self.assessments = Assessments(settings, emitter, accounting=accounting)
        """Logs assessments over OTLP."""
        self.scorers = Scorers(
            self._signals,
            lambda judged, said: self.assessments.put(judged.trace_id, said),
            self._start_scoring,
            measured="metrics" in signals_of_assessments(settings, exporter),
        )
        """Runs scorers on a sample of the traces that end here."""
        self._trace_updates = TraceUpdates(
            settings, self._open_spans, self._resource, accounting=accounting
        )

    def begin_anew(self) -> None:
        """Make the locks anew: a thread of the parent may hold them at the fork."""
        self._making = threading.RLock()
        self._ending = threading.Lock()
        self._ended = threading.Event()
        self._ending_thread: int | None = None

    @property
    def active(self) -> bool:
        """Whether MLflow's spans leave through this package."""
        return self._take_over is not None

    def sends_to(self, exporter: SpanExporter) -> bool:
        """Tell whether spans go to this exporter."""
        return self._exporter is exporter

    @property
    def processor(self) -> MlflowSpanProcessor | None:
        """The processor in use; None before MLflow's first span."""
        return self._processor

    def start(self) -> None:
        """Take MLflow's exporter's place."""
        if self._exporter is None:
            load(
                self.settings.traces.protocol
            )  # now, before a child can be forked during this import
        self._take_over = mlflow_provider.TakeOver(
            self._isolated_provider,
            self._shared_provider,
            shared_tracer,
            keep_media=not self.settings.dual_export,
        )
        if self.settings.baggage:
            self._undo_baggage = baggage.install(self._entries)
        self._hooks = Hooks(self.assessments, self._trace_updates, dual=self.settings.dual_export)
        answer_with(self._traces)
        RECENT_SPANS.begin(self.settings)
        self.shut_down_at_exit()
        log_destination(self.settings, self._exporter)
        self._idle_server.check()

    def _entries(self) -> Mapping[str, str]:
        """Return the baggage of the trace under way. Never raises: this runs in the app's calls."""
        try:
            return {} if self._processor is None else self._processor.under_way.current_baggage()
        except Exception as error:
            self.accounting.warn(
                "baggage.failed",
                "What is known of a trace was not written into the headers of a call (%s: %s). Please "
                "report it to mlflow-otel.",
                type(error).__name__,
                error,
            )
            return {}

    def _traces(self) -> object:
        """Return what answers MLflow's calls that read traces, where there is no tracking server."""
        from mlflow_otel.store.in_app import AppTraces  # noqa: PLC0415 (whoever reads none pays nothing)

        held = RecentProcessTraces(
            RECENT,
            mapping_options(self.settings, self.accounting),
            RECENT_SPANS,
            settle=lambda: self._signals.jobs.drain(SETTLING_SECONDS, hurry=False),
        )
        service = str(self._resource().attributes.get("service.name", ""))
        return AppTraces(self.settings, held, service, self.accounting)

    def shut_down_at_exit(self) -> None:
        """Export what is left when the process ends, whichever way it ends."""
        if self.settings.flush == "trace":
            self.flush_at_roots()
        self._at_end.start()

    def flush_at_roots(self) -> None:
        """Flush at the end of each local root from now on, in the thread that ends it.

        A flush takes at most ``OTEL_EXPORTER_OTLP_TIMEOUT``. For processes that are frozen or
        killed between two requests (``MLFLOW_OTEL_FLUSH=trace``).
        """
        if self._at_roots is not None:
            return
        self._at_roots = FlushAtRoots(self.flush_in_time)
        for provider in (self._own, *(shared for shared, _ in self._shared)):
            if provider is not None:
                provider.add_span_processor(self._at_roots)

    def flush_in_time(self) -> bool:
        """Flush, for at most ``OTEL_EXPORTER_OTLP_TIMEOUT``. True if everything was accepted."""
        return self.force_flush(int(self.settings.traces.timeout * 1000))

    def _make_processor(self, target: SpanProcessor | SpanExporter) -> MlflowSpanProcessor:
        self._processor = MlflowSpanProcessor(target, self.settings, accounting=self.accounting)
        self._processor.on_assessments = self.assessments.send_at_trace_end
        self._start_scoring()
        return self._processor

    def _start_scoring(self) -> None:
        """Have traces scored, where there are scorers."""
        if self._processor is not None:
            self._processor.whole.wanting = self.scorers.wanting if self.scorers.wanted else None

    def _start_measuring(self) -> None:
        """Have spans measured, if someone takes the metrics."""
        wanted = self.settings.measures(shared=self._signals.meters_shared)
        if wanted and self._processor is not None:
            try:
                self._recorder.open()
            except Exception as error:
                self.accounting.warn(
                    "metrics.failed",
                    "The GenAI metrics could not be set up (%s: %s), so there are none. Correct "
                    "OTEL_EXPORTER_OTLP_METRICS_*, or set MLFLOW_OTEL_METRICS=false.",
                    type(error).__name__,
                    error,
                )
            else:
                self._processor.on_released = self._recorder.released

    def _open_spans(self) -> Callable[[ReadableSpan], None]:
        """Return a function that sends a span where the traces go, also in a process that makes none."""
        with self._making:
            if self._processor is None:
                self._make_processor(self._own_export_processor())
        return self._hand_on

    def _hand_on(self, span: ReadableSpan) -> None:
        if (
            self._processor is not None
        ):  # the processor in use now: MLflow's provider may be built anew
            self._processor.hand_on(span)

    @property
    def _own_resource(self) -> Resource:
        # No cached_property: until Python 3.11 it has a lock, which a forked child would share.
        if self._resource_made is None:
            self._resource_made = resource(self.settings)
        return self._resource_made

    def _resource(self) -> Resource:
        shared = self._shared[-1][0] if self._shared else None
        return self._own_resource if shared is None else shared.resource

    def _make_exporter(self) -> SpanExporter:
        return self._exporter or MlflowSpanExporter(self.settings, accounting=self.accounting)

    def _build_provider(self) -> TracerProvider:
        """Build MLflow's own provider around the one processor we keep."""
        provider = OwnTracerProvider(
            sampler=sampler(self.settings),
            resource=self._own_resource,
            shutdown_on_exit=False,
        )
        if self.settings.dual_export:
            self._mlflows = tuple(mlflow_provider.own_processors())
            for processor in self._mlflows:
                provider.add_span_processor(processor)
            self._at_end.be_first()  # before MLflow's own exit, which ends its queue
        provider.add_span_processor(
            self._processor or self._make_processor(self._own_export_processor())
        )
        self._own = self._with_flush_at_roots(provider)
        return provider

    def _with_flush_at_roots(self, provider: TracerProvider) -> TracerProvider:
        if self._at_roots is not None:
            provider.add_span_processor(self._at_roots)
        return provider

    def _isolated_provider(self) -> TracerProvider:
        provider = self._build_provider()
        self._idle_server.check()
        self._start_measuring()
        return provider

    def _shared_provider(self) -> TracerProvider:
        provider = self._join_global_provider()
        self._idle_server.check()
        self._start_measuring()  # now, because only now the resource is known
        return provider

    def _join_global_provider(self) -> TracerProvider:
        """Join the global provider. It is the app's own if the app has set one."""
        provider = trace.get_tracer_provider()
        if any(provider is joined for joined, _ in self._shared):
            return provider  # type: ignore[return-value]
        if not isinstance(provider, TracerProvider):
            if self._shared:
                return self._shared[-1][0]
            provider = self._build_provider()
            self._shared.append((provider, ()))
            return provider
        standing = otel_adapter.processors(provider)
        pair = next((p for p in standing if isinstance(p, MlflowSpanProcessor)), None)
        if pair is not None:  # the app put the pair there itself
            self._processor = pair
            pair.on_assessments = self.assessments.send_at_trace_end
            self._start_scoring()
            pair.guard(self.settings)
            self._shared.append((provider, standing))
            return self._with_flush_at_roots(provider)
        before = otel_adapter.stand_in_front(
            provider,
            self._own_export_processor,
            self._make_processor,
            keep_mlflow=self.settings.dual_export,
        )
        self._shared.append((provider, before))
        exporting = [
            p for p in before if otel_adapter.by_mlflow(p) and not otel_adapter.annotates(p)
        ]
        if self.settings.dual_export and not exporting:
            front = otel_adapter.processors(provider)
            otel_adapter.set_processors(provider, (*mlflow_provider.own_processors(), *front))
        return self._with_flush_at_roots(provider)

    def _own_export_processor(self) -> SpanProcessor:
        """Return the one processor that exports for us in providers that send no OTLP."""
        if self._exporting is None:
            self._exporting = batched(self._make_exporter(), self.settings)
        return self._exporting

    def stats(self) -> dict[str, int]:
        """Return every counter, and what is held now."""
        held = self._processor.stats() if self._processor is not None else {}
        return {
            **self.accounting.snapshot(),
            **held,
            **self._signals.stats(),
            **self.scorers.stats(),
        }

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what ended traces have released, and assessments.

        Returns:
            True if everything that ended or was logged since the last flush was accepted in time. In dual
            export, also MLflow's own export must have ended in time.
        """
        until = time.monotonic() + timeout_millis / 1000

        def left() -> float:
            return max(until - time.monotonic(), 0.0)

        # This comes first, because evaluation spans go through the processor too. Spans are measured
        # after they are exported, by what the export found.
        scored = self.scorers.drain(left() / 2)
        drained = self._signals.jobs.drain(left(), hurry=False)
        flushed = self._processor is None or self._processor.force_flush(int(left() * 1000))
        sent = self._signals.force_flush(left()) and flushed and drained and scored
        return self._flush_mlflows(left()) and sent

    def _flush_mlflows(self, seconds: float) -> bool:
        """Flush MLflow's own export, in dual export; False when it takes longer."""
        if not self._mlflows:
            return True
        return bool(call_with_timeout(seconds, lambda: mlflow_provider.flush_own(self._mlflows)))

    def flush_in_flight(self, seconds: float) -> None:
        """Wait for what every ``MlflowSpanExporter`` of this process has in flight.

        Args:
            seconds: For all of them.
        """
        flush_all(seconds)

    def shutdown(self, timeout_millis: int = SHUTDOWN_MILLIS) -> None:
        """Release what is held, export it, and end. At the interpreter's exit, or by ``uninstrument()``.

        It is done once. A caller that finds another thread in it waits for that thread, in time.

        Args:
            timeout_millis: Milliseconds it may take. What was not delivered by then is spooled, or
                counted as dropped.
        """
        if not self._ending.acquire(blocking=False):
            if (
                self._ending_thread != threading.get_ident()
            ):  # it may have been interrupted by a signal
                self._ended.wait(timeout_millis / 1000)
            return
        self._ending_thread = threading.get_ident()
        try:
            self._shut_down(timeout_millis)
        finally:
            self._ended.set()

    def _shut_down(self, timeout_millis: int) -> None:
        until = time.monotonic() + timeout_millis / 1000
        self.scorers.shutdown(timeout_millis / 4000)
        # So that evaluation spans are in the processor before it is shut down.
        self._signals.jobs.drain(timeout_millis / 4000, hurry=False)
        if self._processor is not None:
            # This comes first, because it reports the assessments of traces that it releases.
            kept = SETTLING_SECONDS * 1000 if self._signals.is_open else 0
            self._processor.shutdown(max(timeout_millis - int(kept), timeout_millis // 2))
        self._signals.shutdown(max(until - time.monotonic(), 0.0))
        self._flush_mlflows(max(until - time.monotonic(), SETTLING_SECONDS))

    def stop(self) -> None:
        """Give MLflow its exporter back."""
        self._at_end.stop()
        answer_with(None)
        RECENT_SPANS.end()
        if self._hooks is not None:
            self._hooks.undo()
            self._hooks = None
        if self._undo_baggage is not None:
            self._undo_baggage()
            self._undo_baggage = None
        if self._take_over is not None:
            self._take_over.undo()
            self._take_over = None
        if not any(before for _, before in self._shared):
            self.shutdown()
            return
        self.force_flush(SHUTDOWN_MILLIS)
        self.scorers.shutdown(0.0)
        for provider, before in self._shared:
            if before:
                added = (p for p in otel_adapter.processors(provider) if p not in before)
                came_later = tuple(p for p in added if otel_adapter.annotates(p))
                # The app's own processors go on, and those of MLflow's autologging.
                otel_adapter.set_processors(provider, (*before, *came_later))
        if self._exporting is not None:
            self._exporting.shutdown()
        self._signals.shutdown(SHUTDOWN_MILLIS / 1000)
