"""Experiments by name and by ID. There is no server that made them: an ID is made of the name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.mapping.experiment import DEFAULT_ID, DEFAULT_NAME, experiment_id

HEADER: Final = "x-mlflow-experiment-id"
"""The header or metadata that names the experiment of spans, by its ID."""
MAX_NAMES: Final = 10_000
DEFAULT_WORKSPACE: Final = "default"
"""MLflow's name of the workspace that a client is in when it names none."""


class Client(NamedTuple):
    """Whose experiments are meant.

    Args:
        workspace: What ``X-MLFLOW-WORKSPACE`` names; empty for the default one.
        prefix: What the names of its experiments begin with; see ``Credential``.
    """

    workspace: str = ""
    prefix: str = ""


ANYBODY: Final = Client()


class Experiments:
    """The names that clients asked for; the oldest are forgotten first.

    No lock: each step is one operation of the dict.

    Args:
        limit: How many names are remembered.
        told: Called with the ID and the name of each experiment that somebody asks for.
    """

    def __init__(
        self,
        limit: int = MAX_NAMES,
        told: Callable[[str, str], None] = lambda _identity, _name: None,
    ) -> None:
        self._limit = limit
        self._told = told
        self._names: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def by_name(self, name: str, client: Client = ANYBODY) -> dict[str, Any]:
        """Return the experiment with this name, as MLflow's API has it.

        Args:
            name: The name. A client's prefix is put before it, if it is not there.
            client: Whose; experiments of one name in two workspaces have two IDs.
        """
        place = _place(client.workspace)
        if not name.startswith(client.prefix):
            name = client.prefix + name
        identity = experiment_id(f"{place}\n{name}" if place else name)
        self._remember(identity, place, name)
        return _described(identity, name)

    def own(self, identity: str, client: Client) -> str:
        """Return the ID of the experiment that a client means by one.

        The default one is another for each prefix: clients that choose none would meet in it.
        """
        if not client.prefix or identity != DEFAULT_ID:
            return identity
        return str(self.by_name(DEFAULT_NAME, client)["experiment_id"])

    def meant(self, identities: Sequence[str] | None, client: Client) -> Sequence[str] | None:
        """Return the IDs of the experiments in which a client searches; None: all there are.

        A client with a prefix that names none searches its own.
        """
        if not client.prefix:
            return identities
        if identities is None:
            return [str(one["experiment_id"]) for one in self.all(client)]
        return [self.own(identity, client) for identity in identities]

    def learn(self, identity: str, name: str) -> None:
        """Remember the name of an experiment that a tracking server has."""
        self._remember(identity, "", name)

    def _remember(self, identity: str, place: str, name: str) -> None:
        if identity == DEFAULT_ID:
            return
        self._names.pop(identity, None)  # the newest stand last
        self._names[identity] = (place, name)
        if len(self._names) > self._limit:
            self._names.popitem(last=False)
        self._told(identity, name)

    def by_id(self, identity: str) -> dict[str, Any]:
        """Return the experiment with this ID; where the name is not known, the ID is the name."""
        return _described(identity, self.name_of(identity) or identity)

    def name_of(self, identity: str) -> str | None:
        """Return the name of an experiment, or None."""
        if identity == DEFAULT_ID:
            return DEFAULT_NAME
        known = self._names.get(identity)
        return None if known is None else known[1]

    def names(self) -> list[tuple[str, str]]:
        """Return the ID and the name of each that is remembered, the oldest first."""
        return [(identity, name) for identity, (_, name) in list(self._names.items())]

    def all(self, client: Client = ANYBODY) -> list[dict[str, Any]]:
        """Return those that are known of a client's workspace and prefix, the default one first."""
        place = _place(client.workspace)
        own = [
            (identity, name)
            for identity, (at, name) in list(self._names.items())
            if at == place and name.startswith(client.prefix)
        ]
        known = own if place or client.prefix else [(DEFAULT_ID, DEFAULT_NAME), *own]
        return [_described(identity, name) for identity, name in known]


def _place(workspace: str) -> str:
    return "" if workspace == DEFAULT_WORKSPACE else workspace


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
