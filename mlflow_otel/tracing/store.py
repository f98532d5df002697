"""The tracking store for apps without a tracking server.

It answers for experiments from memory. Calls that read traces go to what ``answer_with`` was given.

MLflow asks its tracking store for experiments by name; without a tracking URI that store would be
a SQLite file in the working directory. With ``mlflow-tracing`` alone it would be an import error, and
there would be no spans. This store answers from memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mlflow_otel.mapping import experiment

SCHEME: Final = "mlflow-otel"
URI: Final = f"{SCHEME}://none"

_names: dict[str, str] = {
    experiment.DEFAULT_ID: experiment.DEFAULT_NAME
}  # no lock: each step is one operation of the dict


READING: Final = (
    "get_trace_info",
    "get_trace",
    "batch_get_traces",
    "batch_get_trace_infos",
    "search_traces",
    "find_completed_sessions",
    "query_trace_metrics",
    "calculate_trace_filter_correlation",
    "get_assessment",
)
"""Methods that read traces."""


class _Answering:
    """What answers the methods that read traces, made when the first of them is called."""

    make: Callable[[], Any] | None = None
    made: Any = None


_answering = _Answering()


def answer_with(make: Callable[[], Any] | None) -> None:
    """Have ``READING`` answered by what ``make`` returns; None: nobody answers them."""
    _answering.make, _answering.made = make, None


def answers() -> Any:
    """Return what answers the methods that read traces, or None."""
    make = _answering.make
    if make is not None and _answering.made is None:
        _answering.made = make()
    return _answering.made


def experiment_id(name: str) -> str:
    """Return the experiment's ID: the same for the same name in every process."""
    identity = experiment.experiment_id(name)
    _names[identity] = name
    return identity


def experiment_name(identity: str | None) -> str | None:
    """Return the name an ID was given in this process."""
    return None if identity is None else _names.get(str(identity))


def name_experiment(identity: str, name: str) -> None:
    """Keep the name that a tracking server gave an experiment."""
    _names[identity] = name


def builder(store_uri: str | None = None, artifact_uri: str | None = None) -> Any:  # noqa: ARG001
    """Build the store, as MLflow's tracking store registry asks for it."""
    from mlflow.entities import Experiment, LifecycleStage  # noqa: PLC0415
    from mlflow.store.tracking.abstract_store import AbstractStore  # noqa: PLC0415

    def described(identity: str) -> Any:
        name = experiment_name(identity) or identity
        return Experiment(identity, name, URI, LifecycleStage.ACTIVE)

    class NoStore(AbstractStore):  # type: ignore[misc]
        """Answers for experiments by name, from memory. Any other call raises, and says that it needs a server."""

        def __init__(self) -> None:
            super().__init__()

        def get_experiment_by_name(self, experiment_name: str) -> Any:
            return described(experiment_id(experiment_name))

        def create_experiment(self, name: str, *_args: Any, **_kwargs: Any) -> str:
            return experiment_id(name)

        def get_experiment(self, experiment_id: str) -> Any:
            return described(str(experiment_id))

    # Abstract methods are those of a server; each raises and says what to do.
    def needs_server(self: Any, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ARG001
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        raise MlflowException(
            "This call needs an MLflow tracking server, and none is configured. mlflow-otel "
            "exports traces over OTLP and stores none of them. Set MLFLOW_TRACKING_URI."
        )

    def reading(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            held = answers()
            return needs_server(self) if held is None else getattr(held, name)(*args, **kwargs)

        return call

    def or_needs_server(name: str) -> Callable[..., Any]:
        inherited = getattr(AbstractStore, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return inherited(self, *args, **kwargs)
            except NotImplementedError:  # it has no text
                return needs_server(self)

        return call

    for name, held in vars(AbstractStore).items():
        is_ours = name.startswith("__") or name in vars(NoStore)
        # What is abstract does nothing when it is called: it is seen to below.
        if callable(held) and not is_ours and not getattr(held, "__isabstractmethod__", False):
            setattr(NoStore, name, or_needs_server(name))
    for name in READING:
        setattr(NoStore, name, reading(name))
    for name in dir(AbstractStore):
        if getattr(getattr(NoStore, name), "__isabstractmethod__", False):
            setattr(NoStore, name, needs_server)
    if hasattr(NoStore, "__abstractmethods__"):
        NoStore.__abstractmethods__ = frozenset()
    return NoStore()
