"""``PagesStore``: what MLflow's server and its pages need: traces from a backend, all else from SQL.

Runs, prompts, datasets, judges and review queues are not in a trace backend. They live in MLflow's own
``SqlAlchemyStore``. Every method of it that reads or writes traces is answered from the backend or
refused, so that no page shows the SQL tables of traces, which stay empty.

Why private: MLflow has no public way to add an experiment with an ID of one's own, so the row is
written by ``SqlExperiment``. It needs the full ``mlflow`` package, of every supported version
(``pyproject.toml``).
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

from mlflow.entities import ExperimentTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlExperiment
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.validation import _validate_experiment_name
from sqlalchemy.exc import IntegrityError

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.backends.model import BackendError
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping.experiment import DEFAULT_ID, experiment_id
from mlflow_otel.store import mlflow_adapter
from mlflow_otel.store.experiments import FoundExperiment
from mlflow_otel.store.opening import open_traces
from mlflow_otel.store.trace_methods import TraceMethods, answered
from mlflow_otel.store.traces import Traces

WRITES_TRACES: Final = (
    "archive_traces",
    "deprecated_end_trace_v2",
    "deprecated_start_trace_v2",
    "link_prompts_to_trace",
    "link_traces_to_run",
    "log_spans",
    "start_trace",
    "unlink_traces_from_run",
)
"""Methods that would write into the SQL tables of traces."""


class PagesStore(TraceMethods, SqlAlchemyStore):  # type: ignore[misc]
    """MLflow's tracking store for its server: traces of a backend, and a database beside it.

    The experiments of the traces are written into the database as they are found, so that runs,
    prompts and datasets can belong to them. The lock keeps two threads from writing one twice.

    Args:
        traces: The traces.
        database_uri: SQLAlchemy's URI of the database, such as ``sqlite:////folder/pages.db``.
        artifact_root: Where artifacts of runs are kept.
    """

    def __init__(self, traces: Traces, database_uri: str, artifact_root: str) -> None:
        self.traces = traces
        self._written: set[str] = set()
        self.begin_anew()
        begin_anew_in_child(self)
        super().__init__(database_uri, artifact_root)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._writing = threading.RLock()

    @property
    def supports_trace_archival(self) -> bool:
        """Whether old traces can be moved elsewhere: that is the backend's."""
        return False

    def search_experiments(self, *args: Any, **kwargs: Any) -> Any:
        """Return a page of experiments: those of the traces, and those that were made here."""
        self._write_found()
        return super().search_experiments(*args, **kwargs)

    def get_experiment(self, experiment_id: str) -> Any:
        """Return an experiment."""
        return self._looking_again(lambda: super(PagesStore, self).get_experiment(experiment_id))

    def get_experiment_by_name(self, experiment_name: str) -> Any:
        """Return an experiment, or None."""
        found = super().get_experiment_by_name(experiment_name)
        if found is None:
            self._write_found()
            found = super().get_experiment_by_name(experiment_name)
        return found

    def create_experiment(
        self,
        name: str,
        artifact_location: str | None = None,
        tags: list[ExperimentTag] | None = None,
    ) -> str:
        """Make an experiment, with the ID that traces of this name have."""
        _validate_experiment_name(name)
        identity = experiment_id(name)
        known = self.get_experiment_by_name(name)
        if known is not None or not self._write(FoundExperiment(identity, name), artifact_location):
            # The database refuses the name, in MLflow's own words.
            return str(super().create_experiment(name, artifact_location, tags))
        for tag in tags or ():
            self.set_experiment_tag(identity, tag)
        return identity

    def search_issues(self, *args: Any, **kwargs: Any) -> Any:
        """Return known issues, without a count of traces: the database has none."""
        kwargs.pop("include_trace_count", None)
        return super().search_issues(*args[:4], **kwargs)

    def _looking_again(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST" or not self._write_found():
                raise
            return ask()

    def _write_found(self) -> bool:
        """Write the experiments of the traces into the database; tell whether one was new."""
        try:
            found = self.traces.experiments.all()
        except BackendError as error:
            ACCOUNTING.warn(
                "store.experiments",
                "The experiments of the traces could not be read, so MLflow's pages list those that "
                "were seen before: %s.",
                error,
            )
            return False
        return self._write_all(one for one in found if one.experiment_id not in self._written)

    def _write_all(self, found: Iterable[FoundExperiment]) -> bool:
        with self._writing:
            news = [self._write(one) for one in found if one.experiment_id not in self._written]
        return any(news)

    def _session(self) -> Any:
        """Return a session that writes: by default MLflow's newer versions give one that reads."""
        newer = "read_only" in inspect.signature(self.ManagedSessionMaker).parameters
        return self.ManagedSessionMaker(read_only=False) if newer else self.ManagedSessionMaker()

    def _write(self, one: FoundExperiment, artifact_location: str | None = None) -> bool:
        """Write an experiment; False when the database has it already."""
        if one.experiment_id == DEFAULT_ID or not one.experiment_id.isdigit():
            return False  # MLflow writes the first itself; the table takes numbers alone
        number = int(one.experiment_id)
        where = artifact_location or str(self._get_artifact_location(number))
        for name in (one.name, f"{one.name} ({one.experiment_id})"):
            try:
                with self._session() as session:
                    if session.get(SqlExperiment, number) is not None:
                        self._written.add(one.experiment_id)
                        return False
                    row = SqlExperiment(
                        experiment_id=number, name=name[:256], artifact_location=where
                    )
                    session.add(self._with_workspace_field(row))
            except (IntegrityError, MlflowException):
                continue  # the name is another experiment's
            self._written.add(one.experiment_id)
            for key, value in mlflow_adapter.EXPERIMENT_TAGS.items():
                self.set_experiment_tag(one.experiment_id, ExperimentTag(key, value))
            return True
        return False


@answered
def open_pages(store_uri: str, database_uri: str, artifact_root: str) -> PagesStore:
    """Return the store that a tracking URI with a database names; raises ``MlflowException`` for a bad one."""
    return PagesStore(open_traces(store_uri), database_uri, artifact_root)


def _refusing(name: str) -> Callable[..., NoReturn]:
    def call(self: PagesStore, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise mlflow_adapter.not_implemented(
            name,
            f"this server shows the traces of {self.traces.where}. Send traces there, or through "
            "`mlflow-otel bridge`",
        )

    call.__name__ = name
    call.__doc__ = "Raise ``MlflowException``: traces come from the backend."
    return call


for _name in WRITES_TRACES:
    setattr(PagesStore, _name, _refusing(_name))
