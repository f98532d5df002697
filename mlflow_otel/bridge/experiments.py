"""Experiments by name and by ID. There is no server that made them: an ID is made of the name."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from mlflow_otel.mapping.experiment import DEFAULT_ID, DEFAULT_NAME, experiment_id

MAX_NAMES: Final = 10_000


class Experiments:
    """The names that clients asked for; the oldest are forgotten first.

    No lock: each step is one operation of the dict.

    Args:
        limit: How many names are remembered.
    """

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self._limit = limit
        self._names: OrderedDict[str, str] = OrderedDict()

    def by_name(self, name: str) -> dict[str, Any]:
        """Return the experiment with this name, as MLflow's API has it."""
        identity = experiment_id(name)
        if identity != DEFAULT_ID:
            self._names.pop(identity, None)  # the newest stand last
            self._names[identity] = name
            if len(self._names) > self._limit:
                self._names.popitem(last=False)
        return _described(identity, name)

    def by_id(self, identity: str) -> dict[str, Any]:
        """Return the experiment with this ID; where the name is not known, the ID is the name."""
        return _described(identity, self.name_of(identity) or identity)

    def name_of(self, identity: str) -> str | None:
        """Return the name of an experiment, or None."""
        return DEFAULT_NAME if identity == DEFAULT_ID else self._names.get(identity)

    def all(self) -> list[dict[str, Any]]:
        """Return those that are known, the default one first."""
        known = [(DEFAULT_ID, DEFAULT_NAME), *list(self._names.items())]
        return [_described(identity, name) for identity, name in known]


def _described(identity: str, name: str) -> dict[str, Any]:
    return {
        "experiment_id": identity,
        "name": name,
        "artifact_location": f"mlflow-artifacts:/{identity}",
        "lifecycle_stage": "active",
        "last_update_time": 0,
        "creation_time": 0,
        "tags": [],
    }
