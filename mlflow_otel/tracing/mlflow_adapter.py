"""All of MLflow that ``tracing`` touches, private parts among it: of every supported version (``pyproject.toml``), either package.

Why private: MLflow has no public way to take its exporter's place. ``_initialize_tracer_provider``
is called by name wherever MLflow builds its provider (first span, ``set_tracking_uri``,
``set_experiment``, ``set_destination``, ``enable``, ``disable``, ``reset``), so replacing it is
enough to be there after any order of these. ``InMemoryTraceManager`` holds the ``TraceInfo`` that
``update_current_trace`` changes in place.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import NoOpTracerProvider

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping.values import decode
from mlflow_otel.tracing import store

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
PACKAGES: Final = ("mlflow", "mlflow-tracing", "mlflow-skinny")
INSTALL_HINT: Final = "pip install 'mlflow-otel[tracing]' (or 'mlflow-otel[mlflow]')"


def installed() -> dict[str, str]:
    """Return the versions of MLflow's packages in this environment."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def available() -> bool:
    """Tell whether MLflow can be imported."""
    return importlib.util.find_spec("mlflow") is not None


def in_use() -> bool:
    """Tell whether MLflow Tracing is loaded: an app that never imports it is not made to."""
    return "mlflow.tracing.trace_manager" in sys.modules


def sampling_override() -> float | None:
    """Return the ratio of ``@mlflow.trace(sampling_ratio_override=…)`` around the call, if any."""
    module = sys.modules.get("mlflow.tracing.sampling")
    variable = getattr(module, "_SAMPLING_RATIO_OVERRIDE", None)
    ratio: float | None = variable.get() if variable is not None else None
    return ratio


def cost(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return a span's cost in USD by MLflow's own prices, empty when it knows none.

    MLflow leaves this to its tracking server unless the server is Databricks' or SageMaker's; its
    prices come from a catalog that it fetches, so this is for the export thread, and only if asked.
    """
    usage = decode(attributes.get(keys.CHAT_TOKEN_USAGE))
    model = decode(attributes.get(keys.LLM_MODEL))
    if not in_use() or not isinstance(usage, dict) or not isinstance(model, str):
        return {}
    provider = decode(attributes.get(keys.LLM_PROVIDER))
    try:
        numbers = tuple(sorted((str(k), int(v)) for k, v in usage.items() if v is not None))
        return dict(_cost(model, provider if isinstance(provider, str) else None, numbers))
    except Exception as error:
        ACCOUNTING.warn("mlflow.cost", "The cost of %s could not be worked out: %r", model, error)
        return {}


@functools.lru_cache(maxsize=1024)
def _cost(model: str, provider: str | None, usage: tuple[tuple[str, int], ...]) -> dict[str, float]:
    from mlflow.tracing.utils import calculate_cost_by_model_and_token_usage  # noqa: PLC0415

    return calculate_cost_by_model_and_token_usage(model, dict(usage), provider) or {}


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """A copy of what ``TraceInfo`` held at one moment."""

    trace_id: str | None = None
    client_request_id: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    experiment_id: str | None = None
    experiment_name: str | None = None
    state: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    started: int = 0
    """Nanoseconds since the epoch; 0 when it is not known."""


def facts(info: Any, experiment_name: str | None = None) -> TraceFacts:
    """Copy a ``TraceInfo``, which the app may go on changing.

    Args:
        info: The ``TraceInfo``.
        experiment_name: The configured name, for an experiment whose own name is not known here.
    """
    state = info.state
    experiment_id = _experiment_of(info)
    return TraceFacts(
        trace_id=info.trace_id,
        client_request_id=info.client_request_id,
        tags=dict(info.tags or {}),
        metadata=dict(info.trace_metadata or {}),
        experiment_id=experiment_id,
        experiment_name=store.experiment_name(experiment_id) or experiment_name,
        state=getattr(state, "value", state),
        request_preview=info.request_preview,
        response_preview=info.response_preview,
        started=int(getattr(info, "request_time", 0) or 0) * 1_000_000,
    )


def assessments(info: Any) -> list[Any]:
    """Return a copy of the list of what was logged on a trace while it was under way."""
    return list(getattr(info, "assessments", None) or ())


def _experiment_of(info: Any) -> str | None:
    location = getattr(info.trace_location, "mlflow_experiment", None)
    identity: str | None = getattr(location, "experiment_id", None)
    return identity


def follow(span: Any, known: Any) -> tuple[Any, bool]:
    """See to it that MLflow knows a started span and its trace.

    MLflow's own processors do that when they stand in the pipeline; where ours replaces them it is
    ours to do.

    Args:
        span: The started span.
        known: The ``TraceInfo`` this trace had here before, or None.

    Returns:
        The ``TraceInfo`` that MLflow's functions change, and whether it was registered here.
    """
    from mlflow.entities.span import create_mlflow_span  # noqa: PLC0415
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415

    manager = InMemoryTraceManager.get_instance()
    otel_id = span.context.trace_id
    trace_id = manager.get_mlflow_trace_id_from_otel_id(otel_id)
    ours = False
    if trace_id is None:
        info = _new_trace(span) if known is None else known
        manager.register_trace(otel_id, info)
        trace_id, ours = info.trace_id, True
    if keys.TRACE_REQUEST_ID not in span.attributes:  # MLflow's processor has not seen it
        manager.register_span(create_mlflow_span(span, trace_id))
    return info_of(otel_id), ours


def info_of(otel_trace_id: int) -> Any:
    """Return the ``TraceInfo`` MLflow has for a trace, or None."""
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415

    manager = InMemoryTraceManager.get_instance()
    trace_id = manager.get_mlflow_trace_id_from_otel_id(otel_trace_id)
    if trace_id is None:
        return None
    with manager.get_trace(trace_id) as trace:
        return None if trace is None else trace.info


def forget(otel_trace_id: int, info: Any) -> None:
    """Take a trace that ``follow`` registered out of MLflow's registry.

    ``pop_trace`` would convert every span and parse the root's messages in the app's thread; nobody
    reads the result, so the entries are taken out as they are.
    """
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415

    manager = InMemoryTraceManager.get_instance()
    if info_of(otel_trace_id) is not info:
        return  # MLflow's own by now
    with manager._lock:  # noqa: SLF001
        trace_id = manager._otel_id_to_mlflow_trace_id.pop(otel_trace_id, None)  # noqa: SLF001
        manager._traces.pop(trace_id, None)  # noqa: SLF001
    from mlflow.tracing.fluent import _set_last_active_trace_id  # noqa: PLC0415

    _set_last_active_trace_id(info.trace_id)


def _new_trace(span: ReadableSpan) -> Any:
    from mlflow.entities.trace_info import TraceInfo, TraceLocation, TraceState  # noqa: PLC0415
    from mlflow.tracing.utils import generate_mlflow_trace_id_from_otel_trace_id  # noqa: PLC0415

    metadata, tags = _starting_metadata(span)
    assert span.context is not None  # noqa: S101 (a started span has one)
    return TraceInfo(
        trace_id=generate_mlflow_trace_id_from_otel_trace_id(span.context.trace_id),
        trace_location=TraceLocation.from_experiment_id(_experiment_id(span)),
        request_time=(span.start_time or 0) // 1_000_000,
        execution_duration=None,
        state=TraceState.IN_PROGRESS,
        trace_metadata=metadata,
        tags=tags,
    )


class _Environment:
    """What ``BaseMlflowSpanProcessor``'s two methods read of their ``self``."""

    _env_metadata: Mapping[str, str] = {}


def _starting_metadata(span: ReadableSpan) -> tuple[dict[str, str], dict[str, str]]:
    """Return the metadata and tags a trace starts with, by MLflow's own definition of them.

    Source run, logged model, git commit, ``mlflow.tracing.context()``'s values, the trace's name.
    """
    from mlflow.tracing.processor.base_mlflow import BaseMlflowSpanProcessor  # noqa: PLC0415
    from mlflow.tracing.utils.environment import resolve_env_metadata  # noqa: PLC0415

    try:
        environment: Any = _Environment()
        environment._env_metadata = resolve_env_metadata()  # noqa: SLF001 (cached by MLflow)
        metadata = BaseMlflowSpanProcessor._get_basic_trace_metadata(environment)  # noqa: SLF001
        tags = BaseMlflowSpanProcessor._get_basic_trace_tags(environment, span)  # noqa: SLF001
    except Exception as error:
        ACCOUNTING.warn("mlflow.metadata", "MLflow's trace metadata is missing on spans: %r", error)
        return {}, {keys.TAG_TRACE_NAME: span.name}
    return metadata, tags


def _experiment_id(span: ReadableSpan) -> str | None:
    """Return the experiment's ID as far as it is known without asking a server.

    MLflow's own look-up costs a request for each trace when only ``MLFLOW_EXPERIMENT_ID`` is set.
    """
    from mlflow.environment_variables import MLFLOW_EXPERIMENT_ID  # noqa: PLC0415
    from mlflow.tracing import provider  # noqa: PLC0415
    from mlflow.tracking import fluent  # noqa: PLC0415

    named = (span.attributes or {}).get(keys.EXPERIMENT_ID_ATTRIBUTE)
    if named is not None:
        return str(decode(named))
    destination = provider._MLFLOW_TRACE_USER_DESTINATION.get()  # noqa: SLF001
    identity = getattr(destination, "experiment_id", None)
    if identity is None:
        run = fluent._get_latest_active_run()  # noqa: SLF001
        identity = run.info.experiment_id if run is not None else None
    if identity is None:
        identity = fluent._active_experiment_id or MLFLOW_EXPERIMENT_ID.get()  # noqa: SLF001
    return None if identity is None else str(identity)


def tracking_server() -> str | None:
    """Return the URI that the app has set for MLflow's tracking server, or None."""
    from mlflow.tracking._tracking_service import utils  # noqa: PLC0415

    return utils.get_tracking_uri() if utils.is_tracking_uri_set() else None


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


def _name_experiment() -> None:
    """Resolve ``MLFLOW_EXPERIMENT_NAME`` or ``_ID`` where MLflow cannot.

    ``mlflow-tracing`` alone fails on them (``MlflowClient`` is not defined there) and makes no spans.
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
                "MLflow's experiment %r was not found on its server: %r",
                name,
                error,
            )
    fluent._active_experiment_id = identity or "0"  # noqa: SLF001


class TakeOver:
    """MLflow's provider, built by us from now on until ``undo``.

    Args:
        build: Returns the provider to install when MLflow keeps one of its own.
        join: Puts us into the global provider when MLflow shares it, and returns it; called again
            whenever the app has set another.
        shared_tracer: Returns what a module of MLflow's gets for the shared provider's tracer.
        keep_media: Whether images and audio stay in their spans. MLflow moves them to its server's
            artifact store and leaves a reference, behind which there is nothing without a server.
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
        self._live_span = LiveSpan
        self._extract = LiveSpan.__dict__["_should_extract_base64"]
        if keep_media:
            LiveSpan._should_extract_base64 = staticmethod(_attachments_asked_for)  # noqa: SLF001
        _quiet()
        self._absent = _mark_absent()
        for module in IMPORTED_BY_US_AT_SPANS:
            # Now, and not at the first span: a child forked while another thread imports waits for
            # that import for good.
            importlib.import_module(module)
        if isolated():
            self._reset()  # whatever MLflow had built goes, flushed
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
            # MLflow takes an open one for a provider that it has yet to add its own export to.
            self._shared_once._done = True  # noqa: SLF001

    def _get_tracer(self, module: str) -> Any:
        tracer = self._tracer(module)
        return tracer if isolated() else self._shared_tracer(module, tracer)

    def _get_joined(self) -> Any:
        # Asked at each span's start: the app may set its global provider at any time.
        current = self._get()
        if current is not self._joined and not isolated() and isinstance(current, TracerProvider):
            self._install()
        return current

    def _reset_but_keep_shared(self) -> None:
        # MLflow's reset leaves the process without a global provider; the app's own stays.
        self._reset()
        if self._joined is not None and not isolated():
            self._provider.provider.set(self._joined)

    def undo(self) -> None:
        """Give MLflow its own provider back; it builds it at the next span."""
        self._provider._initialize_tracer_provider = self._initialize  # noqa: SLF001
        self._live_span._should_extract_base64 = self._extract  # noqa: SLF001
        for name in ("reset", "get", "get_or_init_tracer"):
            self._provider.provider.__dict__.pop(name, None)
        self._shared_once._done = self._shared_was_done  # noqa: SLF001
        self._utils._get_default_tracking_uri = self._default_uri  # noqa: SLF001
        for name in self._absent:
            sys.modules.pop(name, None)
        if isolated():
            self._reset()


def _attachments_asked_for() -> bool:
    return os.environ.get("MLFLOW_TRACE_EXTRACT_ATTACHMENTS", "").strip().lower() in {"true", "1"}


class _MlflowsLocks:
    """MLflow's own locks, which MLflow does not renew in a forked child."""

    def begin_anew(self) -> None:
        """Renew them: they may be held by threads that only the parent has."""
        provider = sys.modules.get("mlflow.tracing.provider")
        for name in ("_isolated_tracer_provider_once", "_global_provider_init_once"):
            once = getattr(getattr(provider, "provider", None), name, None)
            if once is not None:
                once._Once__lock = threading.Lock()  # noqa: SLF001
        spans = sys.modules.get("mlflow.entities.span")
        for kind in getattr(spans, "LiveSpan", object).__mro__:
            for value in vars(kind).values():
                if isinstance(value, functools.cached_property) and hasattr(value, "lock"):
                    value.lock = threading.RLock()  # until Python 3.11, one lock for all objects
        if in_use():
            manager = sys.modules["mlflow.tracing.trace_manager"].InMemoryTraceManager
            manager._instance_lock = threading.RLock()  # noqa: SLF001
            if manager._instance is not None:  # noqa: SLF001
                manager._instance._lock = threading.RLock()  # noqa: SLF001


_locks: Final = _MlflowsLocks()
begin_anew_in_child(_locks)


def _mark_absent() -> tuple[str, ...]:
    """Put empty modules in the place of those that MLflow imports at each span and does not find.

    ``mlflow-tracing`` ships neither, and a failing import looks for its module anew each time under
    a lock: a child forked meanwhile waits for that lock for good (16 of 48 in our probe). MLflow
    takes the ``ImportError`` of a name that is not in a module as it does a missing module's.
    """
    absent = tuple(name for name in IMPORTED_AT_EACH_SPAN if not _exists(name))
    for name in absent:
        sys.modules[name] = ModuleType(name)  # None would do, but for Python 3.10's lock
    return absent


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _quiet() -> None:
    """Demote the SDK warnings that MLflow demotes when it builds its provider, and for its reasons."""
    from mlflow.tracing.utils.warning import suppress_warning  # noqa: PLC0415

    suppress_warning("opentelemetry.context", "Failed to detach context")
    suppress_warning("opentelemetry.sdk.trace", "Setting attribute on ended span")
    suppress_warning("opentelemetry.sdk.trace", "Calling end() on an ended span")
