"""Assessments as they are logged: checked, kept, and sent on to the trace they judge."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, Final

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import BackendError, Condition, TraceQuery, TraceSummary
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.guards import mapping_options
from mlflow_otel.feedback import assessment_target, mlflow_adapter, stored
from mlflow_otel.feedback.assessment_target import (
    AssessmentTarget,
    mlflow_trace_id,
    parse_span_id,
    parse_trace_id,
)
from mlflow_otel.feedback.emitter import Emitter
from mlflow_otel.feedback.ledger import Ledger
from mlflow_otel.feedback.process_traces import RecentProcessTraces
from mlflow_otel.mapping.assessment import Operation
from mlflow_otel.settings import Settings
from mlflow_otel.tracing.recent import RECENT, KnownTrace, RecentTraces

SUMMARIES_KEPT: Final = 1000
LOOK_BACK_SECONDS: Final = 7 * 24 * 3600
"""How old a trace may be that a backend is asked for."""
CLOCK_SECONDS: Final = 60
"""How far another machine's clock may be ahead."""


class TraceNotFoundError(LookupError):
    """There is no trace of a client request ID. The message names the places that were asked.

    Example:
        >>> try:
        ...     mlflow_otel.log_feedback(client_request_id="nobody's", value=True)
        ... except mlflow_otel.TraceNotFoundError as error:
        ...     print(str(error)[:17])
        There is no trace
    """


class Assessments:
    """Logs assessments over OTLP.

    Args:
        settings: The configuration.
        emitter: Sends them.
        recent: Knows this process's traces.
        accounting: Gets what goes wrong.
        look_up: Returns an assessment that this process did not log, or None; given trace and ID.
    """

    def __init__(
        self,
        settings: Settings,
        emitter: Emitter,
        recent: RecentTraces = RECENT,
        accounting: Accounting = ACCOUNTING,
        look_up: Callable[[str, str], Any | None] = stored.assessment,
    ) -> None:
        self._settings = settings
        self._options = mapping_options(settings)
        self._emitter = emitter
        self._recent = recent
        self._accounting = accounting
        self._look_up = look_up
        self._ledger = Ledger()
        self._memory = MemoryBackend(RecentProcessTraces(recent, self._options))
        self._summaries: dict[int, TraceSummary] = {}  # of traces that a backend was asked for

    def log(self, trace_id: str, assessment: Any) -> Any:
        """Log an assessment of an app without a tracking server.

        Args:
            trace_id: The judged trace, MLflow's ID or OpenTelemetry's.
            assessment: MLflow's ``Feedback``, ``Expectation`` or ``IssueReference``.

        Returns:
            A copy with an ID of its own.

        Raises:
            MlflowException: It is not valid; nothing of it was sent.
        """
        mlflow_adapter.check(trace_id, assessment)
        made = mlflow_adapter.created(trace_id, assessment)
        self._ledger.put(made)
        overridden = self._ledger.get(made.overrides)
        if overridden is not None:
            overridden.valid = False
        self.send(made)
        return made

    def put(self, trace_id: str, assessment: Any) -> Any:
        """Log an assessment whose ID stays the same however often it is made, such as a scorer's.

        One that was logged with this ID before is updated. In dual export MLflow's server gets it too.

        Raises:
            MlflowException: It is not valid; nothing of it was sent.
        """
        mlflow_adapter.check(trace_id, assessment)
        if self._settings.dual_export:
            try:
                return mlflow_adapter.log_on_server(trace_id, assessment)  # ends in our hooks
            except Exception as error:
                self._accounting.warn(
                    "assessments.not_on_server",
                    "An assessment leaves over OTLP alone: MLflow's server did not take it (%s). See "
                    "whether it has the trace.",
                    error,
                )
        made = mlflow_adapter.created(trace_id, assessment)
        known = self._ledger.get(made.assessment_id)
        if known is not None:
            made.create_time_ms = known.create_time_ms
        self._ledger.put(made)
        self.send(made, "create" if known is None else "update")
        return made

    def update(self, trace_id: str, assessment_id: str, assessment: Any) -> Any:
        """Change an assessment; raises ``MlflowException`` when it is not valid.

        One that is not found leaves as it is: another process may have made it a moment ago.
        """
        mlflow_adapter.check(trace_id, assessment)
        old = self._known(trace_id, assessment_id)
        if old is None:
            self._accounting.warn(
                "assessments.unknown",
                "Assessment %s was changed, and neither this process nor a backend that "
                "MLFLOW_OTEL_TRACE_LOOKUP names has it. What was given was sent under its ID. See whether "
                "the ID is right.",
                assessment_id,
            )
        made = mlflow_adapter.updated(trace_id, assessment_id, old, assessment)
        self._ledger.put(made)
        self.send(made, "update")
        return made

    def delete(self, trace_id: str, assessment_id: str) -> None:
        """Say that an assessment is to be disregarded; raises ``MlflowException`` when it is not known."""
        known = self._known(trace_id, assessment_id)
        if known is None:
            raise mlflow_adapter.not_known(assessment_id)
        self._ledger.pop(assessment_id)
        known.trace_id = trace_id
        self.send(known, "delete")

    def _known(self, trace_id: str, assessment_id: str) -> Any | None:
        known = self._ledger.get(assessment_id)
        return self._look_up(trace_id, assessment_id) if known is None else known

    def get(self, _trace_id: str, assessment_id: str) -> Any:
        """Return an assessment that this process logged; raises ``MlflowException`` when it did not."""
        known = self._ledger.get(assessment_id)
        if known is None:
            raise mlflow_adapter.not_known(assessment_id)
        return known

    def prepare(self, trace_id: str, assessment: Any) -> None:
        """Give an ID to what leaves when its trace ends; raises ``MlflowException`` when it is not valid."""
        mlflow_adapter.check(trace_id, assessment)
        made = mlflow_adapter.created(trace_id, assessment)
        assessment.assessment_id = made.assessment_id
        self._ledger.put(assessment)

    def send(self, assessment: Any, operation: Operation = "create") -> None:
        """Send what was logged, here or on a tracking server. Never raises."""
        try:
            gone = operation == "delete"
            if gone:
                assessment = copy.copy(assessment)
                assessment.valid = False
                assessment.last_update_time_ms = int(time.time() * 1000)
            self._emitter.emit(
                mlflow_adapter.view_of(assessment, operation), self._target_of(assessment)
            )
        except Exception as error:
            self._warn_not_sent(error)

    def send_at_trace_end(self, trace: KnownTrace, assessments: list[Any]) -> None:
        """Send what was logged on a trace while it was under way. Never raises."""
        for assessment in assessments:
            try:
                span = assessment.span_id
                over = assessment_target.target_in_process(
                    trace, span and parse_span_id(span), self._options
                )
                self._emitter.emit(mlflow_adapter.view_of(assessment), over)
            except Exception as error:
                self._warn_not_sent(error)

    def _warn_not_sent(self, error: Exception) -> None:
        if isinstance(error, mlflow_adapter.UnknownKindError):
            self._accounting.warn(
                "assessments.unknown_kind",
                "An assessment was not sent over OTLP: %s. See whether a newer mlflow-otel knows this kind.",
                error,
            )
            return
        self._accounting.warn(
            "assessments.failed",
            "An assessment was not sent over OTLP (%s: %s). Please report it to mlflow-otel.",
            type(error).__name__,
            error,
        )

    def _target_of(self, assessment: Any) -> AssessmentTarget:
        trace_id = parse_trace_id(assessment.trace_id)
        span_id = None if assessment.span_id is None else parse_span_id(assessment.span_id)
        known = self._recent.get(trace_id)
        if known is not None:
            return assessment_target.target_in_process(known, span_id, self._options)
        summary = self._summaries.get(trace_id)
        if summary is not None:
            return assessment_target.target_in_backend(summary, span_id, self._options)
        return assessment_target.target_by_id(
            trace_id, span_id, sampled=not self._recent.was_sampled_out(trace_id)
        )

    def find(self, client_request_id: str) -> str:
        """Return MLflow's ID of a request's newest trace; waits for a backend at most its time-out.

        Raises:
            TraceNotFoundError: There is none; the message names the places that were asked.
        """
        condition = Condition(keys.TRACE_CLIENT_REQUEST_ID, client_request_id)
        here = self._memory.find(TraceQuery((condition,), 0, 2**63), 0)
        if here:
            self._warn_if_several(client_request_id, len(here), "this process")
            return mlflow_trace_id(here[0].trace_id)
        missing = f"There is no trace of client request ID {client_request_id!r}"
        try:
            backend = open_backend(self._settings)
            if backend is None:
                raise TraceNotFoundError(
                    f"{missing} among {self._memory.where}. Set MLFLOW_OTEL_TRACE_LOOKUP to ask a trace "
                    "backend too."
                )
            now = time.time_ns()
            start, end = now - LOOK_BACK_SECONDS * 10**9, now + CLOCK_SECONDS * 10**9
            traces = backend.find(
                TraceQuery((condition,), start, end), self._settings.trace_lookup_timeout
            )
        except BackendError as error:
            raise TraceNotFoundError(
                f"{missing} among {self._memory.where}, and {error}."
            ) from error
        if not traces:
            raise TraceNotFoundError(
                f"{missing}, neither among {self._memory.where} nor in {backend.where}. A backend has a "
                "trace some seconds after it ended."
            )
        self._warn_if_several(client_request_id, len(traces), backend.where)
        self._summaries[traces[0].trace_id] = traces[0]
        while len(self._summaries) > SUMMARIES_KEPT:
            self._summaries.pop(next(iter(self._summaries)), None)
        return mlflow_trace_id(traces[0].trace_id)

    def _warn_if_several(self, client_request_id: str, number: int, where: str) -> None:
        if number > 1:
            self._accounting.warn(
                "feedback.several_traces",
                "There are %d traces of client request ID %r in %s. The feedback goes to the "
                "newest. Give trace_id to choose another.",
                number,
                client_request_id,
                where,
            )
