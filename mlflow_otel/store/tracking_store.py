"""``OtelTraceStore``: MLflow's tracking store on a trace backend.

It answers every call about traces, sessions, assessments and experiments. Runs, models, prompts,
datasets and what else a tracking server keeps are not in a trace backend: these calls raise MLflow's own
exception, which names the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, NoReturn

from mlflow.store.tracking.abstract_store import AbstractStore

from mlflow_otel.filtering.grammar import FilterError
from mlflow_otel.store import experiment_filter, mlflow_adapter
from mlflow_otel.store.opening import open_traces
from mlflow_otel.store.trace_methods import TraceMethods, answered
from mlflow_otel.store.traces import Traces

MLFLOWS_OWN: Final = frozenset(
    {
        "delete_traces",  # checks its arguments, then calls _delete_traces
        "end_async_logging",
        "flush_async_logging",
        "shut_down_async_logging",
        "resolve_trace_archival_config",
        "supports_trace_archival",
        "supports_workspaces",
    }
)
"""Methods of ``AbstractStore`` that stay as they are."""
DELETED_ONLY: Final = 2
"""``ViewType.DELETED_ONLY``."""
DEFAULT_PAGE: Final = 1000


class OtelTraceStore(TraceMethods, AbstractStore):  # type: ignore[misc]
    """MLflow's tracking store on the traces of a backend.

    Args:
        traces: The traces.
    """

    def __init__(self, traces: Traces) -> None:
        super().__init__()
        self.traces = traces

    @classmethod
    def of_uri(cls, store_uri: str) -> OtelTraceStore:
        """Return the store that a tracking URI names; raises ``MlflowException`` for a bad one."""
        return cls(_opened(store_uri))

    @answered
    def get_experiment(self, experiment_id: str) -> Any:
        """Return an experiment."""
        found = self.traces.experiments.get(str(experiment_id))
        if found is None:
            raise mlflow_adapter.missing(
                f"No Experiment with id={experiment_id} exists in {self.traces.where}"
            )
        return mlflow_adapter.experiment(found)

    @answered
    def get_experiment_by_name(self, experiment_name: str) -> Any:
        """Return an experiment, or None."""
        found = self.traces.experiments.named(experiment_name)
        return None if found is None else mlflow_adapter.experiment(found)

    def create_experiment(self, name: str, *_args: Any, **_kwargs: Any) -> str:
        """Return the ID that traces of an experiment have; it comes with its first trace."""
        return self.traces.experiments.create(name)

    @answered
    def search_experiments(
        self,
        view_type: int = 1,
        max_results: int = DEFAULT_PAGE,
        filter_string: str | None = None,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        """Return a page of experiments: the services, and those that traces name."""
        found = [] if view_type == DELETED_ONLY else self.traces.experiments.all()
        tags = mlflow_adapter.EXPERIMENT_TAGS
        chosen = experiment_filter.chosen(found, filter_string, order_by, tags)
        try:
            start = int(page_token or 0)
        except ValueError as error:
            raise FilterError("The page token is none that this store gave") from error
        page = chosen[start : start + max_results]
        more = len(chosen) > start + max_results
        return mlflow_adapter.paged(
            [mlflow_adapter.experiment(one) for one in page],
            str(start + max_results) if more else None,
        )

    def filter_active_experiment_ids(self, experiment_ids: list[str]) -> list[str]:
        """Return the experiments that are not deleted: all of them."""
        return list(experiment_ids)


@answered
def _opened(store_uri: str) -> Traces:
    return open_traces(store_uri)


def _refusing(name: str) -> Callable[..., NoReturn]:
    def call(self: OtelTraceStore, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise mlflow_adapter.not_implemented(name, f"{self.traces.where} holds traces alone")

    call.__name__ = name
    call.__doc__ = "Raise ``MlflowException``: it is nothing that a trace backend holds."
    return call


for _name, _method in vars(AbstractStore).items():
    if (
        inspect.isfunction(_method)
        and not _name.startswith("__")
        and not hasattr(TraceMethods, _name)
        and _name not in vars(OtelTraceStore)
        and _name not in MLFLOWS_OWN
        and (not _name.startswith("_") or getattr(_method, "__isabstractmethod__", False))
    ):
        setattr(OtelTraceStore, _name, _refusing(_name))
if hasattr(OtelTraceStore, "__abstractmethods__"):
    OtelTraceStore.__abstractmethods__ = frozenset()  # each of them refuses now
