"""``instrument()`` and ``uninstrument()``: MLflow's traces and assessments leave through this package."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

from opentelemetry.sdk.trace.export import SpanExporter

from mlflow_otel import versions
from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.arguments import Arguments
from mlflow_otel.export.hooks import ShouldExport
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.handle import Handle
from mlflow_otel.mapping.model import Redact
from mlflow_otel.settings import OtlpSettings, Settings
from mlflow_otel.tracing import mlflow_adapter

__all__ = ["Handle", "current", "instrument", "uninstrument"]


class _Running:
    """The one instrumentation of the process, and the lock of those who start or end it."""

    handle: Handle | None = None
    feedback_only: Handle | None = None

    def __init__(self) -> None:
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Begin anew: also in a forked child, since a thread of the parent's may hold the lock."""
        self.lock = threading.RLock()


_running = _Running()


def instrument(
    settings: Settings | None = None,
    *,
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | str | None = None,
    service_name: str | None = None,
    conventions: Iterable[str] | str | None = None,
    exporter: SpanExporter | None = None,
    redact: Redact | None = None,
    should_export: ShouldExport | None = None,
) -> Handle:
    """Send MLflow's traces over OTLP, whole. ``OTEL_*`` and ``MLFLOW_*`` hold for what is not given.

    Takes the place of MLflow's own export (beside it with
    ``MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT=true``), whatever is called before or after. A second
    call returns the first one's handle; if it has other arguments, a warning says that they change
    nothing. Never raises: if MLflow is missing or cannot be instrumented, one warning says what to
    do, and the app runs as before.

    Call it in the main thread. Then spans that ended before a SIGTERM are exported too.

    Args:
        settings: The configuration; from the environment when None. The arguments below beat it.
        endpoint: Where all signals are sent, as ``OTEL_EXPORTER_OTLP_ENDPOINT``; beats each signal's
            variable too.
        protocol: ``grpc`` or ``http/protobuf``, as ``OTEL_EXPORTER_OTLP_PROTOCOL``.
        headers: Sent with every request: a mapping, pairs, or text as ``OTEL_EXPORTER_OTLP_HEADERS``
            has it.
        service_name: The resource's ``service.name``, as ``OTEL_SERVICE_NAME``. A provider that the
            app shares keeps its own resource.
        conventions: Vocabularies to write, as ``MLFLOW_OTEL_CONVENTIONS``: any of ``genai``,
            ``openinference``, ``mlflow``.
        exporter: Any ``SpanExporter``; an OTLP exporter by the settings when None.
        redact: Called with each value that leaves, and returns what leaves instead; in front of any
            exporter. See ``MlflowSpanExporter``.
        should_export: Called with each span, and returns whether it leaves; in front of any exporter.
            See ``MlflowSpanExporter``.

    Returns:
        The handle: ``stats()``, ``force_flush()``, ``shutdown()``.

    Example:
        >>> import mlflow
        >>> handle = mlflow_otel.instrument(service_name="shop")
        >>> with mlflow.start_span("answer", span_type="AGENT") as span:
        ...     mlflow.update_current_trace(session_id="s-1", client_request_id="req-1")
        ...     span.set_outputs("It is Paris.")
        >>> handle.force_flush()
        True
        >>> handle.stats()["exported"]
        1
    """
    arguments = Arguments(endpoint, protocol, headers, service_name, conventions)
    handle = _instrumented(settings, arguments, exporter, (redact, should_export))
    if handle.active:
        handle.scorers.load()  # without the lock: it imports code of the app's
    return handle


def _instrumented(
    settings: Settings | None,
    arguments: Arguments,
    exporter: SpanExporter | None,
    hooks: tuple[Redact | None, ShouldExport | None],
) -> Handle:
    with _running.lock:
        if _running.handle is not None:
            given = (settings, exporter, *hooks)
            if arguments.given or any(one is not None for one in given):
                changed = _effective(settings or _running.handle.settings, arguments)
                _say_what_changes_nothing(_running.handle, changed.with_hooks(*hooks), exporter)
            return _running.handle
        handle = Handle(_effective(settings, arguments).with_hooks(*hooks), exporter)
        if handle.settings.disabled:
            return handle
        if not mlflow_adapter.available():
            ACCOUNTING.warn(
                "mlflow.missing",
                "MLflow is not installed, so instrument() changes nothing. Run %s.",
                mlflow_adapter.INSTALL_HINT,
            )
            return handle
        try:
            handle.start()
        except Exception as error:
            ACCOUNTING.warn(
                "mlflow.unsupported",
                "MLflow %s could not be instrumented (%s: %s). Nothing was changed, and its traces"
                " are not exported over OTLP. Install a supported version: mlflow%s.",
                mlflow_adapter.installed(),
                type(error).__name__,
                error,
                versions.supported("mlflow"),
            )
            return handle
        _running.handle = handle
        return handle


def _effective(settings: Settings | None, arguments: Arguments) -> Settings:
    return arguments.settings() if settings is None else arguments.applied_to(settings)


def _say_what_changes_nothing(
    running: Handle, settings: Settings, exporter: SpanExporter | None
) -> None:
    others = list(dict.fromkeys(_different(settings, running.settings)))
    if exporter is not None and not running.sends_to(exporter):
        others.append("exporter")
    if others:
        ACCOUNTING.warn(
            "instrument.again",
            "instrument() was called before, so this call changes nothing: %s keep their values. "
            "Give these arguments to the first call, or call uninstrument() before this one.",
            ", ".join(others),
        )


def _different(one: Settings | OtlpSettings, other: object) -> Iterator[str]:
    """Yield the names of what differs: of a signal's settings, which parts of them."""
    for field in fields(one):
        value, before = getattr(one, field.name), getattr(other, field.name)
        if isinstance(value, OtlpSettings):
            yield from _different(value, before)
        elif value != before:
            yield field.name


def current() -> Handle:
    """Return the running instrumentation's handle, or one that only sends assessments."""
    with _running.lock:
        if _running.handle is not None:
            return _running.handle
        if _running.feedback_only is None:
            _running.feedback_only = Handle(Settings.from_environment())
            _running.feedback_only.shut_down_at_exit()
        return _running.feedback_only


def uninstrument() -> None:
    """Undo ``instrument()``: what is held is exported, and MLflow's own export is back.

    Example:
        >>> handle = mlflow_otel.instrument()
        >>> mlflow_otel.uninstrument()
        >>> handle.active
        False
    """
    with _running.lock:
        handle, _running.handle = _running.handle, None
    if handle is not None:
        handle.stop()
