"""MLflow's calls that read traces, in an app without a tracking server.

They are answered from this process's recent traces and, where ``MLFLOW_OTEL_TRACE_LOOKUP`` names a
backend, from it. What this process sent is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.backends.memory import MemoryBackend, ProcessTraces
from mlflow_otel.backends.merged import MergedBackend
from mlflow_otel.backends.model import BackendError, TraceBackend
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.settings import Settings
from mlflow_otel.store import mlflow_adapter
from mlflow_otel.store.trace_methods import TraceMethods
from mlflow_otel.store.traces import Traces

LOOKUP: Final = (
    "Set MLFLOW_OTEL_TRACE_LOOKUP, as in jaeger+http://host:16686, to read other processes' traces and "
    "older ones too"
)


class AppTraces(TraceMethods):
    """The methods that read traces.

    Args:
        settings: The configuration.
        held: This process's recent traces.
        service: The name under which this process sends traces.
        accounting: Gets what goes wrong.
    """

    def __init__(
        self,
        settings: Settings,
        held: ProcessTraces,
        service: str,
        accounting: Accounting,
    ) -> None:
        self._accounting = accounting
        self._alone = True
        self.traces = Traces(
            self._backend(settings, MemoryBackend(held)),
            timeout=settings.trace_lookup_timeout,
            default_service=service,
            sampled=False,
        )
        if settings.experiment_name is not None:
            self.traces.experiments.create(settings.experiment_name)

    def _backend(self, settings: Settings, memory: MemoryBackend) -> TraceBackend:
        try:
            other = open_backend(settings)
        except BackendError as error:
            self._failed(error)
            other = None
        if other is None:
            return memory
        self._alone = False
        return MergedBackend(memory, other, self._failed)

    def _failed(self, error: BackendError) -> None:
        self._accounting.warn(
            "traces.lookup_failed",
            "Only this process's recent traces were read: %s. MLFLOW_OTEL_TRACE_LOOKUP names where to "
            "look.",
            error,
        )

    def _not_found(self, trace_id: str) -> str:
        said = super()._not_found(trace_id)
        return f"{said}. {LOOKUP}" if self._alone else said

    def known_assessment(self, trace_id: str, assessment_id: str) -> Any | None:
        """Return an assessment, or None when it is not found; raises nothing."""
        held = self._held_or_none(trace_id)
        views = () if held is None else self.traces.info(held).assessments
        found = (
            mlflow_adapter.assessment(trace_id, view)
            for view in views
            if view.assessment_id == assessment_id
        )
        return next(found, None)

    def known_tags(self, trace_id: str) -> Mapping[str, str] | None:
        """Return a trace's tags, or None when the span that says them is not found; raises nothing."""
        held = self._held_or_none(trace_id)
        if held is None or not any(keys.TRACE_STATE in span.attributes for span in held.spans):
            return None
        return self.traces.info(held).tags

    def search_traces(self, *args: Any, **kwargs: Any) -> Any:
        """Return a page of ``TraceInfo`` and the next page's token, or None."""
        if self._alone:
            self._accounting.warn(
                "traces.searched_here", f"Only this process's recent traces are searched. {LOOKUP}."
            )
        return super().search_traces(*args, **kwargs)
