"""Takes the place of MLflow's tracer provider, by private parts of every supported version (``pyproject.toml``).

Why private: MLflow has no public way to take its exporter's place. ``_initialize_tracer_provider``
is called by name wherever MLflow builds its provider (first span, ``set_tracking_uri``,
``set_experiment``, ``set_destination``, ``enable``, ``disable``, ``reset``). So it is enough to replace
this one function, whatever the order of these calls.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import NoOpTracerProvider

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.mapping import experiment
from mlflow_otel.tracing import store
from mlflow_otel.tracing.attachments import ATTACHMENTS, SCHEME, Medium

IMPORTED_AT_EACH_SPAN: Final = ("mlflow.pyfunc.context", "mlflow.agent.hint")
IMPORTED_BY_US_AT_SPANS: Final = (
    "mlflow.entities.trace_info",
    "mlflow.environment_variables",
    "mlflow.tracing.fluent",
    "mlflow.tracing.processor.base_mlflow",
    "mlflow.tracing.trace_manager",
    "mlflow.tracing.utils.environment",
    "mlflow.tracking.fluent",
)


def isolated() -> bool:
    """Tell whether MLflow keeps a provider of its own (its default)."""
    from mlflow.environment_variables import MLFLOW_USE_DEFAULT_TRACER_PROVIDER  # noqa: PLC0415

    return bool(MLFLOW_USE_DEFAULT_TRACER_PROVIDER.get())


def own_processors() -> list[SpanProcessor]:
    """Return the processors of MLflow's export to its tracking server, for dual export."""
    from mlflow.tracing import provider  # noqa: PLC0415

    _name_experiment()
    asked = provider.should_use_otlp_exporter
    provider.should_use_otlp_exporter = lambda: False  # OTLP is ours
    try:
        found: list[SpanProcessor] = provider._get_span_processors()  # noqa: SLF001
    finally:
        provider.should_use_otlp_exporter = asked
    return found


def flush_own(processors: Sequence[SpanProcessor]) -> bool:
    """Have MLflow's processors send what ended to its tracking server. May wait as long as the server does.

    Returns:
        Whether they were done in the time that they allow themselves.
    """
    import mlflow  # noqa: PLC0415

    done = [processor.force_flush() is not False for processor in processors]
    mlflow.flush_trace_async_logging()  # what they handed to MLflow's queue
    return all(done)


def _name_experiment() -> None:
    """Resolve ``MLFLOW_EXPERIMENT_NAME`` or ``_ID`` where MLflow cannot.

    ``mlflow-tracing`` alone fails on them, because it does not define ``MlflowClient``, and makes no spans.
    """
    from mlflow.environment_variables import (  # noqa: PLC0415
        MLFLOW_EXPERIMENT_ID,
        MLFLOW_EXPERIMENT_NAME,
    )
    from mlflow.tracking import fluent  # noqa: PLC0415
    from mlflow.tracking._tracking_service import utils  # noqa: PLC0415

    if hasattr(fluent, "MlflowClient") or fluent._active_experiment_id is not None:  # noqa: SLF001
        return
    name, identity = MLFLOW_EXPERIMENT_NAME.get(), MLFLOW_EXPERIMENT_ID.get()
    if name is not None:
        try:
            server = utils._get_store()  # noqa: SLF001
            found = server.get_experiment_by_name(name)
            identity = found.experiment_id if found else server.create_experiment(name, None, [])
        except Exception as error:
            ACCOUNTING.warn(
                "mlflow.experiment",
                "MLflow's experiment %r could not be looked up or created on the tracking server "
                "(%r), so traces go to the default experiment. Check MLFLOW_EXPERIMENT_NAME and "
                "MLFLOW_TRACKING_URI.",
                name,
                error,
            )
    fluent._active_experiment_id = identity or "0"  # noqa: SLF001


def _answer_for_the_active_experiment() -> Callable[[], None]:
    """Have MLflow know the active experiment where it cannot; return what undoes it.

    ``mlflow.search_traces`` asks for it. ``mlflow-tracing`` alone fails then: it defines neither
    ``MlflowClient`` nor the registry of default experiments.
    """
    from mlflow.environment_variables import (  # noqa: PLC0415
        MLFLOW_EXPERIMENT_ID,
        MLFLOW_EXPERIMENT_NAME,
    )
    from mlflow.tracking import fluent  # noqa: PLC0415

    if hasattr(fluent, "MlflowClient"):
        return lambda: None

    def active() -> str:
        name = MLFLOW_EXPERIMENT_NAME.get()
        known: str | None = (
            MLFLOW_EXPERIMENT_ID.get() if name is None else store.experiment_id(name)
        )
        return known or experiment.DEFAULT_ID

    own = fluent._get_experiment_id_from_env  # noqa: SLF001
    fluent._get_experiment_id_from_env = active  # noqa: SLF001

    def undo() -> None:
        fluent._get_experiment_id_from_env = own  # noqa: SLF001

    return undo


class TakeOver:
    """Builds MLflow's provider in MLflow's place, until ``undo``.

    Args:
        build: Returns the provider to install when MLflow keeps one of its own.
        join: Puts our processor into the global provider when MLflow shares it, and returns that
            provider. Called again whenever the app has set another.
        shared_tracer: Returns what a module of MLflow's gets for the shared provider's tracer.
        keep_media: Whether images and audio stay in MLflow's spans. MLflow moves them to its server's
            artifact store and leaves a reference. Without a server the reference leads nowhere. With one,
            they are in what leaves over OTLP all the same, unless ``MLFLOW_TRACE_EXTRACT_ATTACHMENTS`` asks
            for the reference.
    """

    def __init__(
        self,
        build: Callable[[], Any],
        join: Callable[[], Any],
        shared_tracer: Callable[[str, Any], Any],
        *,
        keep_media: bool,
    ) -> None:
        from mlflow.entities.span import LiveSpan  # noqa: PLC0415
        from mlflow.tracing import provider  # noqa: PLC0415
        from mlflow.tracking._tracking_service import utils  # noqa: PLC0415

        self._provider = provider
        self._utils = utils
        self._build = build
        self._join = join
        self._shared_tracer = shared_tracer
        self._joined: Any = None
        self._initialize = provider._initialize_tracer_provider  # noqa: SLF001
        self._reset = provider.provider.reset
        self._get = provider.provider.get
        self._tracer = provider.provider.get_or_init_tracer
        self._shared_once = provider.provider._global_provider_init_once  # noqa: SLF001
        self._shared_was_done = self._shared_once._done  # noqa: SLF001
        self._default_uri = utils._get_default_tracking_uri  # noqa: SLF001
        utils._tracking_store_registry.register(store.SCHEME, store.builder)  # noqa: SLF001
        utils._get_default_tracking_uri = lambda: store.URI  # noqa: SLF001
        self._forget_experiment = _answer_for_the_active_experiment()
        self._live_span = LiveSpan
        self._extract = LiveSpan.__dict__["_should_extract_base64"]
        if keep_media:
            LiveSpan._should_extract_base64 = staticmethod(_attachments_asked_for)  # noqa: SLF001
        self._store_attachment = LiveSpan._store_attachment  # noqa: SLF001
        LiveSpan._store_attachment = _keeping(self._store_attachment)  # noqa: SLF001
        _quiet()
        self._absent = _mark_absent()
        for module in IMPORTED_BY_US_AT_SPANS:
            # Now, and not at the first span: a child that is forked while another thread imports
            # waits for that import for ever.
            importlib.import_module(module)
        if isolated():
            self._reset()  # flushes and drops what MLflow had built
        provider._initialize_tracer_provider = self._install  # noqa: SLF001
        provider.provider.reset = self._reset_but_keep_shared
        provider.provider.get = self._get_joined
        provider.provider.get_or_init_tracer = self._get_tracer
        if not isolated() and isinstance(self._get(), TracerProvider):
            self._install()

    def _install(self, disabled: bool = False) -> None:
        wrapper = self._provider.provider
        if disabled:
            wrapper.set(NoOpTracerProvider())
        elif isolated():
            wrapper.set(self._build())
        else:
            self._joined = self._join()
            if self._get() is not self._joined:
                wrapper.set(self._joined)
            # If this were open, MLflow would add its own export to the provider.
            self._shared_once._done = True  # noqa: SLF001

    def _get_tracer(self, module: str) -> Any:
        # Called at each span's start.
        if not isolated():
            return self._shared_tracer(module, self._tracer(module))
        own = self._provider.provider._isolated_tracer_provider  # noqa: SLF001
        return self._tracer(module) if own is None else own.get_tracer(module)

    def _get_joined(self) -> Any:
        # Called at each span's start: the app may set its global provider at any time.
        current = self._get()
        if current is not self._joined and not isolated() and isinstance(current, TracerProvider):
            self._install()
        return current

    def _reset_but_keep_shared(self) -> None:
        # MLflow's reset removes the process's global provider. The app's own provider must stay.
        self._reset()
        if self._joined is not None and not isolated():
            self._provider.provider.set(self._joined)

    def undo(self) -> None:
        """Give MLflow its own provider back; it builds it at the next span."""
        self._forget_experiment()
        self._provider._initialize_tracer_provider = self._initialize  # noqa: SLF001
        self._live_span._should_extract_base64 = self._extract  # noqa: SLF001
        self._live_span._store_attachment = self._store_attachment  # noqa: SLF001
        for name in ("reset", "get", "get_or_init_tracer"):
            self._provider.provider.__dict__.pop(name, None)
        self._shared_once._done = self._shared_was_done  # noqa: SLF001
        self._utils._get_default_tracking_uri = self._default_uri  # noqa: SLF001
        for name in self._absent:
            sys.modules.pop(name, None)
        if isolated():
            self._reset()


def _keeping(own: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    """Return MLflow's method that takes a medium out of a span; what it takes is kept for us, too."""

    def store_attachment(span: Any, attachment: Any) -> str:
        reference = own(span, attachment)
        if reference.startswith(SCHEME) and not _attachments_asked_for():
            kept = Medium(attachment.content_type, attachment.content_bytes)
            ATTACHMENTS.put(reference, kept)
        return reference

    return store_attachment


def _attachments_asked_for() -> bool:
    return os.environ.get("MLFLOW_TRACE_EXTRACT_ATTACHMENTS", "").strip().lower() in {"true", "1"}


def _mark_absent() -> tuple[str, ...]:
    """Put empty modules in the place of those that MLflow imports at each span and does not find.

    ``mlflow-tracing`` has neither. A failing import looks for its module each time, under a lock. A
    child that is forked meanwhile waits for that lock for ever (16 of 48 children in a test).
    MLflow handles the ``ImportError`` of a name that is missing in a module like that of a missing
    module.
    """
    absent = tuple(name for name in IMPORTED_AT_EACH_SPAN if not _exists(name))
    for name in absent:
        sys.modules[name] = ModuleType(name)  # None would do, but Python 3.10 takes the lock then
    return absent


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _quiet() -> None:
    """Demote the SDK's warnings that MLflow demotes when it builds its provider."""
    from mlflow.tracing.utils.warning import suppress_warning  # noqa: PLC0415

    suppress_warning("opentelemetry.context", "Failed to detach context")
    suppress_warning("opentelemetry.sdk.trace", "Setting attribute on ended span")
    suppress_warning("opentelemetry.sdk.trace", "Calling end() on an ended span")
