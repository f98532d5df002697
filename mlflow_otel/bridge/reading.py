"""Traces read through the bridge: those it remembers, and those of the backend behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mlflow_otel.backends.model import BackendError, BackendTrace, TraceBackend
from mlflow_otel.backends.together import Together
from mlflow_otel.bridge import answers
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.trace_info import MalformedError, otel_id
from mlflow_otel.filtering.grammar import FilterError
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.search import searched
from mlflow_otel.store.traces import Traces

MOST_OF_PAGE: Final = 500
DEFAULT_PAGE: Final = 100
MOST_AT_ONCE: Final = 100
"""Traces of one ``batchGet``; MLflow's clients ask for 10."""


class Reading:
    """Answers what is asked of traces, in MLflow's JSON. Safe to call from any thread.

    Args:
        here: Knows the traces that came last.
        backend: Is asked for the others, or None.
        options: Which tags are promoted.
        timeout: Seconds that the backend may take.
    """

    def __init__(
        self,
        here: TraceBackend,
        backend: TraceBackend | None,
        options: MappingOptions,
        timeout: float,
    ) -> None:
        both: TraceBackend = here if backend is None else Together(here, backend)
        self._traces = Traces(both, None, options, timeout=timeout)

    @property
    def where(self) -> str:
        """What is asked, for a message; without credentials."""
        return self._traces.where

    def info(self, trace_id: int) -> dict[str, Any] | None:
        """Return a trace's ``TraceInfo``, or None.

        Raises:
            RefusedError: The backend did not answer.
        """
        held = self._held(trace_id)
        return None if held is None else answers.trace_info(self._traces.info(held))

    def stored(self, trace_id: int) -> tuple[StoredTrace, int | None] | None:
        """Return what is known of a trace and the span ID of its root, or None.

        Raises:
            RefusedError: The backend did not answer.
        """
        held = self._held(trace_id)
        return None if held is None else (self._traces.info(held), held.summary.root)

    def whole(self, trace_id: int) -> dict[str, Any] | None:
        """Return a trace with its spans, or None.

        Raises:
            RefusedError: The backend did not answer.
        """
        held = self._held(trace_id)
        return None if held is None else answers.trace(self._traces.whole(held))

    def file(self, trace_id: int) -> dict[str, Any] | None:
        """Return a trace's ``traces.json``, or None.

        Raises:
            RefusedError: The backend did not answer.
        """
        held = self._held(trace_id)
        return None if held is None else answers.traces_json(self._traces.whole(held))

    def several(self, named: Iterable[str]) -> list[dict[str, Any]]:
        """Return those of the traces that are there, with their spans.

        Raises:
            MalformedError: They are too many.
            RefusedError: The backend did not answer.
        """
        known = []
        for trace_id in dict.fromkeys(named):
            try:
                known.append(otel_id(trace_id))
            except MalformedError:
                continue  # as MLflow's server: what is not there is left out
        if len(known) > MOST_AT_ONCE:
            raise MalformedError(f"'trace_ids' may name at most {MOST_AT_ONCE} traces")
        try:
            held = self._traces.several(known)
            return [answers.trace(self._traces.whole(one)) for one in held]
        except BackendError as error:
            raise _unavailable(error) from error

    def search(self, said: Mapping[str, Any], ids: Sequence[str] | None) -> dict[str, Any]:
        """Answer a search.

        Args:
            said: ``filter``, ``order_by``, ``max_results``, ``page_token``.
            ids: The experiments that are searched; all when None.

        Raises:
            MalformedError: It cannot be read; the message names what.
            RefusedError: The backend did not answer.
        """
        size = said.get("max_results", DEFAULT_PAGE)
        if type(size) is not int or not 0 < size <= MOST_OF_PAGE:
            raise MalformedError(f"'max_results' must be from 1 to {MOST_OF_PAGE}")
        order = said.get("order_by") or []
        if not isinstance(order, list) or not all(isinstance(one, str) for one in order):
            raise MalformedError("'order_by' must be a list of texts")
        filter_string, token = (_text(said, name) for name in ("filter", "page_token"))
        try:
            page = self._traces.search(searched(filter_string, order, ids, size, token))
        except FilterError as error:
            raise MalformedError(str(error)) from error
        except BackendError as error:
            raise _unavailable(error) from error
        found = {"traces": [answers.trace_info(stored) for stored in page.traces]}
        return found if page.token is None else {**found, "next_page_token": page.token}

    def _held(self, trace_id: int) -> BackendTrace | None:
        try:
            return self._traces.get(trace_id)
        except BackendError as error:
            raise _unavailable(error) from error


def experiments(locations: object) -> list[str] | None:
    """Return the experiments that a search names; None when it names none: all are searched.

    Raises:
        MalformedError: A location is none of an experiment.
    """
    if locations is None or locations == []:
        return None
    found = []
    for location in locations if isinstance(locations, list) else [locations]:
        named = location.get("mlflow_experiment") if isinstance(location, dict) else None
        identity = named.get("experiment_id") if isinstance(named, dict) else None
        if not isinstance(identity, str):
            raise MalformedError("'locations' must be of the type MLFLOW_EXPERIMENT")
        found.append(identity)
    return found


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise MalformedError(f"'{name}' must be a text")
    return value or None


def _unavailable(error: BackendError) -> RefusedError:
    return RefusedError(503, f"the trace backend could not be asked: {error}")
