"""Assessments as they are logged: checked, kept, and sent on to the trace they judge."""

from __future__ import annotations

import copy
import time
from typing import Any, Final

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.export.guards import mapping_options
from mlflow_otel.feedback import judged, mlflow_adapter
from mlflow_otel.feedback.emitter import Emitter
from mlflow_otel.feedback.judged import Judged, mlflow_trace_id, parse_span_id, parse_trace_id
from mlflow_otel.feedback.ledger import Ledger
from mlflow_otel.feedback.lookup import Found, Lookup, LookupFailedError, open_lookup
from mlflow_otel.mapping.assessment import Operation
from mlflow_otel.settings import Settings
from mlflow_otel.tracing.recent import RECENT, Known, RecentTraces

FOUND_KEPT: Final = 1000


class TraceNotFoundError(LookupError):
    """No trace of a client request ID was found; the message says where was looked."""


class Assessments:
    """Logs assessments over OTLP.

    Args:
        settings: The configuration.
        emitter: Sends them.
        recent: Knows this process's traces.
        accounting: Gets what goes wrong.
    """

    def __init__(
        self,
        settings: Settings,
        emitter: Emitter,
        recent: RecentTraces = RECENT,
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        self._settings = settings
        self._options = mapping_options(settings)
        self._emitter = emitter
        self._recent = recent
        self._accounting = accounting
        self._ledger = Ledger()
        self._found: dict[int, Found] = {}  # by look-ups, the newest

    def log(self, trace_id: str, assessment: Any) -> Any:
        """Log an assessment where no tracking server does.

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

    def update(self, trace_id: str, assessment_id: str, assessment: Any) -> Any:
        """Change an assessment; raises ``MlflowException`` when it is not valid."""
        mlflow_adapter.check(trace_id, assessment)
        old = self._ledger.get(assessment_id)
        made = mlflow_adapter.updated(trace_id, assessment_id, old, assessment)
        self._ledger.put(made)
        self.send(made, "update")
        return made

    def delete(self, trace_id: str, assessment_id: str) -> None:
        """Say that an assessment is to be disregarded; raises ``MlflowException`` when it is not known."""
        known = self._ledger.pop(assessment_id)
        if known is None:
            raise mlflow_adapter.not_known(assessment_id)
        known.trace_id = trace_id
        self.send(known, "delete")

    def get(self, _trace_id: str, assessment_id: str) -> Any:
        """Return an assessment; raises ``MlflowException`` when it is not known."""
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
                mlflow_adapter.view_of(assessment, operation), self._judged(assessment)
            )
        except Exception as error:
            self._accounting.warn(
                "assessments.failed",
                "An assessment was not sent over OTLP (%s: %s). Please report it to mlflow-otel.",
                type(error).__name__, error,
            )  # fmt: skip

    def ended(self, trace: Known, assessments: list[Any]) -> None:
        """Send what was logged on a trace while it was under way. Never raises."""
        for assessment in assessments:
            try:
                span = assessment.span_id
                over = judged.known(trace, span and parse_span_id(span), self._options)
                self._emitter.emit(mlflow_adapter.view_of(assessment), over)
            except Exception as error:
                self._accounting.warn(
                    "assessments.failed",
                    "An assessment of an ended trace was not sent (%s: %s).",
                    type(error).__name__, error,
                )  # fmt: skip

    def _judged(self, assessment: Any) -> Judged:
        trace_id = parse_trace_id(assessment.trace_id)
        span_id = None if assessment.span_id is None else parse_span_id(assessment.span_id)
        known = self._recent.get(trace_id)
        if known is not None:
            return judged.known(known, span_id, self._options)
        found = self._found.get(trace_id)
        if found is not None:
            stamp = {**judged.unknown(trace_id, None).stamp, **found.stamp}
            return Judged(trace_id, found.root if span_id is None else span_id, stamp)
        return judged.unknown(trace_id, span_id, sampled=not self._recent.left_out(trace_id))

    def find(self, client_request_id: str) -> str:
        """Return MLflow's ID of a request's newest trace; waits for a look-up at most its time-out.

        Raises:
            TraceNotFoundError: There is none; the message says where was looked.
        """
        here = self._recent.of_request(client_request_id)
        if here:
            self._say_if_several(client_request_id, len(here), "this process")
            return mlflow_trace_id(here[0].trace_id)
        looked = ["this process's recent traces"]
        try:
            lookup = open_lookup(self._settings)
            found = self._ask(lookup, client_request_id)
        except LookupFailedError as error:
            raise TraceNotFoundError(
                f"No trace of client request ID {client_request_id!r} among {looked[0]}, and {error}."
            ) from error
        if lookup is not None:
            looked.append(lookup.where)
        if not found:
            hint = (
                "; set MLFLOW_OTEL_TRACE_LOOKUP to look further" if lookup is None else
                "; a trace is there some seconds after it ended"
            )  # fmt: skip
            raise TraceNotFoundError(
                f"No trace of client request ID {client_request_id!r}: looked in {', '.join(looked)}{hint}."
            )
        self._say_if_several(client_request_id, len(found), looked[-1])
        newest = max(found, key=lambda one: one.started)
        self._found[newest.trace_id] = newest
        while len(self._found) > FOUND_KEPT:
            self._found.pop(next(iter(self._found)), None)
        return mlflow_trace_id(newest.trace_id)

    def _ask(self, lookup: Lookup | None, client_request_id: str) -> list[Found]:
        if lookup is None:
            return []
        return lookup.find(client_request_id, self._settings.trace_lookup_timeout)

    def _say_if_several(self, client_request_id: str, number: int, where: str) -> None:
        if number > 1:
            self._accounting.warn(
                "feedback.several_traces",
                "%d traces of client request ID %r in %s: the feedback goes to the newest.",
                number, client_request_id, where,
            )  # fmt: skip
