"""MLflow's client, whose calls on assessments and on tags of ended traces come to us.

Why private: whatever an app or a scorer calls (``mlflow.log_feedback``, ``log_expectation``,
``update_assessment``, ``override_feedback``, ``delete_assessment``, ``mlflow.set_trace_tag``,
``mlflow.genai.evaluate``), and however it imported it, ends in a few methods of ``TracingClient``.
These are replaced on the class, so nothing needs to be imported after ``instrument()``. Every
supported version (``pyproject.toml``) of either package has them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, Protocol

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.mapping.assessment import Operation
from mlflow_otel.tracing import store

NO_OP_TRACE_ID: Final = "MLFLOW_NO_OP_SPAN_TRACE_ID"
"""What MLflow gives for a trace that is not recorded; it ignores feedback on it, and so do we."""
METHODS: Final = (
    "log_assessment",
    "update_assessment",
    "delete_assessment",
    "get_assessment",
    "set_trace_tag",
    "delete_trace_tag",
)


class Assessments(Protocol):
    """What takes over from MLflow's client."""

    def log(self, trace_id: str, assessment: Any) -> Any:
        """Log an assessment and return it as logged."""
        ...

    def update(self, trace_id: str, assessment_id: str, assessment: Any) -> Any:
        """Change one and return it as it is now."""
        ...

    def delete(self, trace_id: str, assessment_id: str) -> None:
        """Delete one."""
        ...

    def get(self, trace_id: str, assessment_id: str) -> Any:
        """Return one."""
        ...

    def prepare(self, trace_id: str, assessment: Any) -> None:
        """See to one that leaves when its trace ends."""
        ...

    def send(self, assessment: Any, operation: Operation) -> None:
        """Send what a tracking server took, too."""
        ...


class TraceUpdates(Protocol):
    """What takes over changes of tags from MLflow's client."""

    def set_tag(self, trace_id: str, key: str, value: Any) -> None:
        """Set a tag of a trace that ended."""
        ...

    def remove_tag(self, trace_id: str, key: str) -> None:
        """Remove one."""
        ...


class Hooks:
    """MLflow's client, with the methods of ``METHODS`` replaced until ``undo``.

    Args:
        assessments: Takes over assessments.
        trace_updates: Takes over changes of tags.
        dual: Whether MLflow's tracking server gets them too.
    """

    def __init__(
        self, assessments: Assessments, trace_updates: TraceUpdates, *, dual: bool
    ) -> None:
        from mlflow.tracing.client import TracingClient  # noqa: PLC0415

        self._assessments = assessments
        self._trace_updates = trace_updates
        self._dual = dual
        self._client = TracingClient
        self._own: dict[str, Callable[..., Any]] = {
            name: TracingClient.__dict__[name] for name in METHODS
        }
        for name, own in self._own.items():
            setattr(TracingClient, name, self._in_place_of(own, getattr(self, f"_{name}")))

    def undo(self) -> None:
        """Give MLflow its methods back."""
        for name, own in self._own.items():
            setattr(self._client, name, own)

    @staticmethod
    def _in_place_of(own: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(own)
        def method(client: Any, *args: Any, **kwargs: Any) -> Any:
            return ours(client, *args, **kwargs)

        return method

    def _has_server(self, client: Any) -> bool:
        return self._dual and not str(client.tracking_uri).startswith(store.SCHEME)

    def _log_assessment(self, client: Any, trace_id: str, assessment: Any) -> Any:
        own, ours = self._own["log_assessment"], self._assessments
        if trace_id is None or trace_id == NO_OP_TRACE_ID:
            return own(client, trace_id, assessment)
        server = self._has_server(client)
        if _leaves_with_its_trace(trace_id):
            if not server:
                ours.prepare(trace_id, assessment)
            return own(client, trace_id, assessment)
        if not server:
            return ours.log(trace_id, assessment)
        logged = own(client, trace_id, assessment)
        ours.send(logged, "create")
        return logged

    def _update_assessment(
        self, client: Any, trace_id: str, assessment_id: str, assessment: Any
    ) -> Any:
        if not self._has_server(client):
            return self._assessments.update(trace_id, assessment_id, assessment)
        own = self._own["update_assessment"]
        logged = own(client, trace_id=trace_id, assessment_id=assessment_id, assessment=assessment)
        self._assessments.send(logged, "update")
        return logged

    def _delete_assessment(self, client: Any, trace_id: str, assessment_id: str) -> None:
        if not self._has_server(client):
            self._assessments.delete(trace_id, assessment_id)
            return
        try:  # it is gone from the server afterwards, and its name with it
            known = self._own["get_assessment"](client, trace_id, assessment_id)
        except Exception as error:
            known = None
            ACCOUNTING.warn(
                "assessments.failed",
                "The deletion of assessment %s was not sent over OTLP, because MLflow's server did"
                " not return the assessment (%s). The OTLP backend still shows it as valid.",
                assessment_id,
                error,
            )
        self._own["delete_assessment"](client, trace_id=trace_id, assessment_id=assessment_id)
        if known is not None:
            self._assessments.send(known, "delete")

    def _get_assessment(self, client: Any, trace_id: str, assessment_id: str) -> Any:
        if not self._has_server(client):
            try:
                return self._assessments.get(trace_id, assessment_id)
            except Exception:
                if store.answers() is None:
                    raise  # not logged by this process, and there is nowhere to look
        return self._own["get_assessment"](client, trace_id, assessment_id)

    def _set_trace_tag(self, client: Any, trace_id: str, key: str, value: Any) -> None:
        if self._is_mlflows(client, trace_id, key):
            self._own["set_trace_tag"](client, trace_id, key, value)
        if _is_late(trace_id, key):
            self._trace_updates.set_tag(trace_id, key, value)

    def _delete_trace_tag(self, client: Any, trace_id: str, key: str) -> None:
        if self._is_mlflows(client, trace_id, key):
            self._own["delete_trace_tag"](client, trace_id, key)
        if _is_late(trace_id, key):
            self._trace_updates.remove_tag(trace_id, key)

    def _is_mlflows(self, client: Any, trace_id: str, key: str) -> bool:
        """Tell whether MLflow's own method has something to do: an active trace, a server, a warning."""
        if trace_id is None or trace_id == NO_OP_TRACE_ID:
            return self._has_server(client)
        return self._has_server(client) or not _is_late(trace_id, key)


def _is_late(trace_id: str, key: str) -> bool:
    """Tell whether a change of a tag comes after its trace ended, and is one that MLflow allows."""
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415
    from mlflow.utils.mlflow_tags import IMMUTABLE_TAGS  # noqa: PLC0415

    if trace_id is None or trace_id == NO_OP_TRACE_ID or key in IMMUTABLE_TAGS:
        return False
    with InMemoryTraceManager.get_instance().get_trace(trace_id) as trace:
        return trace is None


def _leaves_with_its_trace(trace_id: str) -> bool:
    """Tell whether MLflow keeps an assessment in memory until its trace ends: it is active here."""
    import mlflow  # noqa: PLC0415
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415

    if trace_id != mlflow.get_active_trace_id():
        return False
    with InMemoryTraceManager.get_instance().get_trace(trace_id) as trace:
        return trace is not None and not trace.is_remote_trace
