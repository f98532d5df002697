"""Names of experiments that a tracking server knows: it is asked for each once, beside the app's threads.

MLflow keeps of ``mlflow.set_experiment("shop")`` the server's ID alone. A backend would show that experiment
as ``1``, and nobody would find it by its name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.tracing import mlflow_adapter, store

WAIT_SECONDS: Final = 0.5
"""How long spans that are on their way to the exporter wait for a name, once for each experiment."""
AGAIN_SECONDS: Final = 60.0
"""How soon a server that gave no name is asked again."""


class ExperimentNames:
    """Learns the names of experiments.

    It holds no lock: each step is one operation of a dict, and a name that is asked for twice does no harm.

    Args:
        accounting: Gets what goes wrong.
        has_server: Whether MLflow's own export to its tracking server goes on.
        ask: Returns an experiment's name; may wait, and may fail.
    """

    def __init__(
        self,
        accounting: Accounting,
        *,
        has_server: bool,
        ask: Callable[[str], str] = mlflow_adapter.experiment_name_on_server,
    ) -> None:
        self._accounting = accounting
        self._has_server = has_server
        self._ask = ask
        self._asked: dict[str, float] = {}

    def learn(self, identity: str | None) -> None:
        """See to it that ``store.experiment_name`` knows an experiment, if its server says its name in time."""
        if identity is None or store.experiment_name(identity) is not None:
            return
        now = time.monotonic()
        if now - self._asked.get(identity, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        if not mlflow_adapter.talks_to_server(identity, exports=self._has_server):
            return
        self._asked[identity] = now
        asking = threading.Thread(
            target=self._keep, args=(identity,), name="mlflow-otel experiment name", daemon=True
        )
        try:
            asking.start()
        except RuntimeError:
            return  # the interpreter ends
        asking.join(WAIT_SECONDS)

    def _keep(self, identity: str) -> None:
        try:
            name = self._ask(identity)
        except Exception as error:
            self._accounting.warn(
                "experiment_names.failed",
                "The name of experiment %s could not be read from MLflow's tracking server (%r), so its "
                "traces leave with its ID alone. Set MLFLOW_EXPERIMENT_NAME to name it.",
                identity,
                error,
            )
            return
        store.name_experiment(identity, name)
