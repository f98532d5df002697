"""The trace methods of MLflow's tracking store, answered from a trace backend.

They are the methods of ``mlflow.store.tracking.abstract_store.AbstractStore`` of every supported version
(``pyproject.toml``), and raise what MLflow's own stores raise. A class that has them is given
``self.traces``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from mlflow_otel.backends.model import BackendError, BackendTrace, is_hollow
from mlflow_otel.feedback import mlflow_adapter as assessments
from mlflow_otel.feedback.assessment_target import parse_trace_id
from mlflow_otel.filtering.grammar import FilterError, parse
from mlflow_otel.mapping.assessment import Operation
from mlflow_otel.store import correlation, mlflow_adapter, sessions
from mlflow_otel.store.changes import ChangeError
from mlflow_otel.store.metrics import Question
from mlflow_otel.store.search import searched
from mlflow_otel.store.traces import Traces

_P = ParamSpec("_P")
_T = TypeVar("_T")

MOST_OF_PAGE: Final = 50_000
"""As MLflow's SQL store."""
DEFAULT_PAGE: Final = 100
MOST_POINTS: Final = 1000
SECOND: Final = 1_000_000_000
"""Nanoseconds."""
MODEL: Final = "mlflow.modelId"


def answered(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return a method that raises MLflow's exceptions instead of ours."""

    @functools.wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(*args, **kwargs)
        except FilterError as error:
            where = getattr(getattr(args[0], "traces", None), "where", "the trace backend")
            raise mlflow_adapter.invalid(f"{error} (asked of {where})") from error
        except (BackendError, ChangeError) as error:
            raise mlflow_adapter.unavailable(str(error)) from error

    return call


class TraceMethods:
    """The methods."""

    traces: Traces

    def _held(self, trace_id: str) -> BackendTrace:
        """Return a trace; raises ``MlflowException`` (RESOURCE_DOES_NOT_EXIST) when it is not there."""
        held = self._held_or_none(trace_id)
        if held is None:
            raise mlflow_adapter.missing(self._not_found(trace_id))
        return held

    def _told(self, trace_id: str) -> BackendTrace:
        """Return a trace that has spans of its own; raises ``MlflowException`` as ``_held`` does.

        A trace's feedback and tags may be there before its spans, and without them for ever.
        """
        held = self._held(trace_id)
        if is_hollow(held):
            raise mlflow_adapter.missing(self._not_found(trace_id))
        return held

    def _held_or_none(self, trace_id: str) -> BackendTrace | None:
        try:
            identity = parse_trace_id(trace_id)
        except ValueError:
            return None
        return self.traces.get(identity)

    def _not_found(self, trace_id: str) -> str:
        return (
            f"Trace with ID '{trace_id}' not found in {self.traces.where}. A backend has a trace some "
            "seconds after it ended"
        )

    @answered
    def get_trace_info(self, trace_id: str) -> Any:
        """Return a trace's ``TraceInfo``."""
        return mlflow_adapter.trace_info(self.traces.info(self._told(trace_id)))

    @answered
    def get_trace(self, trace_id: str, *, allow_partial: bool = False) -> Any:  # noqa: ARG002
        """Return a trace with its spans, those that are there."""
        return mlflow_adapter.trace(self.traces.whole(self._told(trace_id)))

    @answered
    def batch_get_traces(
        self,
        trace_ids: list[str],
        location: str | None = None,  # noqa: ARG002 (of Databricks)
        experiment_ids: list[str] | None = None,
    ) -> list[Any]:
        """Return those of the traces that are there, with their spans."""
        held = self._several(trace_ids, experiment_ids)
        return [mlflow_adapter.trace(self.traces.whole(one)) for one in held]

    @answered
    def batch_get_trace_infos(
        self,
        trace_ids: list[str],
        location: str | None = None,  # noqa: ARG002 (of Databricks)
        experiment_ids: list[str] | None = None,
    ) -> list[Any]:
        """Return the ``TraceInfo`` of those of the traces that are there."""
        held = self._several(trace_ids, experiment_ids)
        return [mlflow_adapter.trace_info(self.traces.info(one)) for one in held]

    def _several(
        self, trace_ids: Sequence[str], experiment_ids: Sequence[str] | None
    ) -> list[BackendTrace]:
        known = []
        for trace_id in dict.fromkeys(trace_ids):
            try:
                known.append(parse_trace_id(trace_id))
            except ValueError:
                continue
        held = [one for one in self.traces.several(known) if not is_hollow(one)]
        if experiment_ids is None:
            return held
        wanted = set(map(str, experiment_ids))
        return [one for one in held if self.traces.info(one).experiment_id in wanted]

    @answered
    def search_traces(
        self,
        experiment_ids: list[str] | None = None,
        filter_string: str | None = None,
        max_results: int = DEFAULT_PAGE,
        order_by: list[str] | None = None,
        page_token: str | None = None,
        model_id: str | None = None,
        locations: list[str] | None = None,
    ) -> tuple[list[Any], str | None]:
        """Return a page of ``TraceInfo`` and the next page's token, or None."""
        if not 0 < max_results <= MOST_OF_PAGE:
            raise mlflow_adapter.invalid(
                f"max_results must be from 1 to {MOST_OF_PAGE}, got {max_results}"
            )
        if model_id is not None:
            clause = f"metadata.`{MODEL}` = '{model_id}'"
            filter_string = f"{filter_string} AND {clause}" if filter_string else clause
        chosen = locations if locations is not None else experiment_ids
        page = self.traces.search(
            searched(filter_string, order_by, chosen, max_results, page_token)
        )
        return [mlflow_adapter.trace_info(stored) for stored in page.traces], page.token

    @answered
    def find_completed_sessions(
        self,
        experiment_id: str,
        min_last_trace_timestamp_ms: int,
        max_last_trace_timestamp_ms: int,
        max_results: int | None = None,
        filter_string: str | None = None,
    ) -> list[Any]:
        """Return the sessions whose last trace began in a stretch of time."""
        found = sessions.completed(
            self.traces.searcher,
            str(experiment_id),
            (min_last_trace_timestamp_ms, max_last_trace_timestamp_ms),
            parse(filter_string),
        )
        return [mlflow_adapter.completed_session(*one) for one in found[:max_results]]

    @answered
    def calculate_trace_filter_correlation(
        self,
        experiment_ids: list[str],
        filter_string1: str,
        filter_string2: str,
        base_filter: str | None = None,
    ) -> Any:
        """Return how often traces meet two filters together."""
        counts = correlation.counts(
            self.traces.searcher,
            [str(identity) for identity in experiment_ids],
            (parse(filter_string1), parse(filter_string2)),
            parse(base_filter),
        )
        return mlflow_adapter.correlation(*counts)

    @answered
    def query_trace_metrics(
        self,
        experiment_ids: list[str],
        view_type: Any,
        metric_name: str,
        aggregations: list[Any],
        dimensions: list[str] | None = None,
        filters: list[str] | None = None,
        time_interval_seconds: int | None = None,
        start_time_ms: int | None = None,
        end_time_ms: int | None = None,
        max_results: int = MOST_POINTS,
        page_token: str | None = None,  # noqa: ARG002 (MLflow's own store gives none)
    ) -> Any:
        """Return what a chart of MLflow's pages shows, counted over every trace of the time."""
        question = Question(
            str(getattr(view_type, "value", view_type)),
            metric_name,
            [mlflow_adapter.aggregation(one) for one in aggregations],
            dimensions or [],
            filters or [],
            time_interval_seconds,
            start_time_ms,
            end_time_ms,
            max_results,
        )
        points = self.traces.count(question, [str(identity) for identity in experiment_ids])
        return mlflow_adapter.points(metric_name, points)

    @answered
    def set_trace_tag(self, trace_id: str, key: str, value: str) -> None:
        """Set a tag: a span ``trace update`` tells of it."""
        key, value = assessments.checked_tag(key, value)
        self.traces.change_tags(self._held(trace_id), {key: value})

    @answered
    def delete_trace_tag(self, trace_id: str, key: str) -> None:
        """Remove a tag: a span ``trace update`` tells of it."""
        held = self._held(trace_id)
        if key not in self.traces.info(held).tags:
            raise assessments.no_such_tag(key, trace_id)
        self.traces.change_tags(held, {}, [key])

    @answered
    def get_assessment(self, trace_id: str, assessment_id: str) -> Any:
        """Return an assessment of a trace."""
        return self._assessment(self._held(trace_id), trace_id, assessment_id)

    def _assessment(self, held: BackendTrace, trace_id: str, assessment_id: str) -> Any:
        for view in self.traces.info(held).assessments:
            if view.assessment_id == assessment_id:
                return mlflow_adapter.assessment(trace_id, view)
        raise mlflow_adapter.missing(
            f"Assessment with ID '{assessment_id}' not found for trace '{trace_id}'"
        )

    @answered
    def create_assessment(self, assessment: Any) -> Any:
        """Add an assessment to a trace, and return it with its ID."""
        trace_id = assessment.trace_id
        held = self._held(trace_id)
        made = assessments.created(trace_id, assessment)
        millis = self.traces.now() // 1_000_000
        # MLflow's pages send no times; what MLflow's server makes of that is 0.
        made.create_time_ms = made.create_time_ms or millis
        made.last_update_time_ms = made.last_update_time_ms or millis
        assessments.check(trace_id, made)
        if assessment.overrides:
            self._assessment(held, trace_id, assessment.overrides)  # it must be there
        self._send(held, made, "create")
        return made

    @answered
    def update_assessment(
        self,
        trace_id: str,
        assessment_id: str,
        name: str | None = None,
        expectation: Any = None,
        feedback: Any = None,
        rationale: str | None = None,
        metadata: dict[str, str] | None = None,
        valid: bool | None = None,
    ) -> Any:
        """Change an assessment of a trace, and return it as it is now.

        ``valid`` is no argument of MLflow's own stores; its server hands it on all the same.
        """
        held = self._held(trace_id)
        known = self._assessment(held, trace_id, assessment_id)
        made = mlflow_adapter.changed(
            known,
            name=name,
            expectation=expectation,
            feedback=feedback,
            rationale=rationale,
            metadata=metadata,
            valid=valid,
            millis=self.traces.now() // 1_000_000,
        )
        assessments.check(trace_id, made)
        self._send(held, made, "update")
        return made

    @answered
    def delete_assessment(self, trace_id: str, assessment_id: str) -> None:
        """Remove an assessment of a trace; one that is not there is no error."""
        held = self._held(trace_id)
        for view in self.traces.info(held).assessments:
            if view.assessment_id == assessment_id:
                gone = view._replace(operation="delete", valid=False, time=self.traces.now())
                self.traces.assess(held, gone)

    def _send(self, held: BackendTrace, made: Any, operation: Operation) -> None:
        view = assessments.view_of(made, operation)
        now = self.traces.now()
        if operation == "update" or now // SECOND == view.time // SECOND:
            view = view._replace(time=now)  # MLflow's times are milliseconds: several may be equal
        self.traces.assess(held, view)

    def _delete_traces(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise mlflow_adapter.not_implemented(
            "delete_traces",
            f"{self.traces.where} deletes no single traces; it drops all that are older than its own "
            "retention, which is set there",
        )
