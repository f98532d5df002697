"""What ``tracing`` uses of MLflow, private parts too.

It works with every supported version (``pyproject.toml``) of either package.

Why private: ``InMemoryTraceManager`` holds the ``TraceInfo`` that ``update_current_trace`` changes in
place, and MLflow has no public way to put a trace into it. MLflow's provider is in
``mlflow_provider``.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.mapped import attributes_of
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping.values import decode
from mlflow_otel.tracing import store
from mlflow_otel.untraced import untraced

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
    """Tell whether MLflow Tracing is loaded. If the app never imports it, we do not either."""
    return "mlflow.tracing.trace_manager" in sys.modules


def talks_to_server(identity: str, *, exports: bool) -> bool:
    """Tell whether this app asks a tracking server anyway, so that it may be asked for an experiment's name.

    Args:
        identity: The experiment's ID.
        exports: Whether MLflow's own export goes on.
    """
    if not in_use():
        return False
    from mlflow.tracking import fluent  # noqa: PLC0415
    from mlflow.tracking._tracking_service import utils  # noqa: PLC0415

    chosen: str | None = fluent._active_experiment_id  # noqa: SLF001 (mlflow.set_experiment asked for it)
    return (exports or chosen == identity) and not utils.get_tracking_uri().startswith(store.SCHEME)


def experiment_name_on_server(identity: str) -> str:
    """Return an experiment's name as MLflow's tracking server says it. Waits as long as MLflow's client does."""
    from mlflow.tracking._tracking_service import utils  # noqa: PLC0415

    with untraced():
        name: str = utils._get_store().get_experiment(identity).name  # noqa: SLF001
    return name


def sampling_override() -> float | None:
    """Return the ratio of ``@mlflow.trace(sampling_ratio_override=…)`` around the call, if any."""
    module = sys.modules.get("mlflow.tracing.sampling")
    variable = getattr(module, "_SAMPLING_RATIO_OVERRIDE", None)
    ratio: float | None = variable.get() if variable is not None else None
    return ratio


def cost(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return a span's cost in USD by MLflow's own prices. Empty when MLflow knows none.

    MLflow leaves this to its tracking server, except for Databricks and SageMaker. It fetches its
    prices from a catalog. So this is called in the export thread only, and only if the user asked.
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
        ACCOUNTING.warn(
            "mlflow.cost",
            "The cost of a call of the model %s could not be worked out (%r), so its span has "
            "no cost. Unset MLFLOW_OTEL_COST if you do not need it.",
            model,
            error,
        )
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
    """Copy a ``TraceInfo``. The app may change the original at any time.

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
    """Make MLflow know a started span and its trace.

    MLflow's own processors do this when they are in the pipeline. Where ours replaces them, we do it.

    Args:
        span: The started span.
        known: The ``TraceInfo`` this trace had here before, or None.

    Returns:
        The ``TraceInfo`` that MLflow's functions change, and whether it was registered here.
    """
    from mlflow.entities.span import LiveSpan  # noqa: PLC0415
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415

    manager = InMemoryTraceManager.get_instance()
    otel_id, span_id = span.context[:2]
    trace = _registered(manager, otel_id)
    ours = trace is None
    if trace is None:
        manager.register_trace(otel_id, _new_trace(span) if known is None else known)
        trace = _registered(manager, otel_id)
    if keys.TRACE_REQUEST_ID not in attributes_of(span):  # MLflow's processor has not seen it
        live = LiveSpan(span, trace.info.trace_id, None)
        with manager._lock:  # noqa: SLF001
            # ``register_span`` does this, but parses both IDs from the span, which takes longer.
            trace.span_dict[format_span_id(span_id)] = live
    return trace.info, ours


def info_of(otel_trace_id: int) -> Any:
    """Return the ``TraceInfo`` MLflow has for a trace, or None."""
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415

    trace = _registered(InMemoryTraceManager.get_instance(), otel_trace_id)
    return None if trace is None else trace.info


def _registered(manager: Any, otel_trace_id: int) -> Any:
    # ``get_trace`` says the same, and takes five times as long: this runs at each span's start.
    with manager._lock:  # noqa: SLF001
        trace_id = manager._otel_id_to_mlflow_trace_id.get(otel_trace_id)  # noqa: SLF001
        return None if trace_id is None else manager._traces.get(trace_id)  # noqa: SLF001


def take_over(info: Any, session: str | None, user: str | None, request: str | None) -> None:
    """Write into a ``TraceInfo`` what a calling service knew of the trace. What is there already stays."""
    for key, value in ((keys.METADATA_SESSION, session), (keys.METADATA_USER, user)):
        if value is not None:
            info.trace_metadata.setdefault(key, value)
    info.client_request_id = info.client_request_id or request


def active_trace_id() -> int | None:
    """Return OpenTelemetry's ID of the trace that MLflow's current span is in, or None."""
    if not in_use():
        return None
    from mlflow.tracing.provider import get_current_otel_span  # noqa: PLC0415

    found: int = get_current_otel_span().get_span_context().trace_id
    return found or None


def replace_propagator(
    wrapped: Callable[[TextMapPropagator], TextMapPropagator],
) -> Callable[[], None]:
    """Have MLflow's helpers for HTTP headers use another propagator; return what undoes it.

    They make one of a class that they import by name, so that name is replaced.
    """
    from mlflow.tracing import distributed  # noqa: PLC0415

    before = distributed.TraceContextTextMapPropagator
    distributed.TraceContextTextMapPropagator = lambda: wrapped(before())

    def undo() -> None:
        distributed.TraceContextTextMapPropagator = before

    return undo


def forget(otel_trace_id: int, info: Any) -> None:
    """Take a trace that ``follow`` registered out of MLflow's registry.

    ``pop_trace`` would convert every span and parse the root's messages in the app's thread. Nobody
    reads that result, so the entries are removed without it.
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
    """Stands for ``self`` in two methods of ``BaseMlflowSpanProcessor``."""

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
        ACCOUNTING.warn(
            "mlflow.metadata",
            "MLflow's trace metadata could not be read (%r), so it is missing on spans. Please"
            " report it to mlflow-otel.",
            error,
        )
        return {}, {keys.TAG_TRACE_NAME: span.name}
    return metadata, tags


def _experiment_id(span: ReadableSpan) -> str | None:
    """Return the experiment's ID, if it is known without asking a server.

    MLflow's own look-up makes a request for each trace when only ``MLFLOW_EXPERIMENT_ID`` is set.
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


class _MlflowsLocks:
    """MLflow's own locks, which MLflow does not renew in a forked child."""

    def begin_anew(self) -> None:
        """Renew them: threads of the parent may hold them, and the child does not have these threads."""
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
