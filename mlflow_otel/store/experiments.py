"""MLflow's experiments, found in a trace backend: what traces name as theirs, else their service."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from mlflow_otel.backends.model import (
    BackendError,
    BackendTrace,
    Condition,
    TraceBackend,
    TraceQuery,
)
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping.experiment import DEFAULT_ID, DEFAULT_NAME, experiment_id
from mlflow_otel.store.model import StoredTrace

KEPT_SECONDS: Final = 30.0
"""How long what was found is not looked for again."""
AGAIN_SECONDS: Final = 1.0
"""How soon it is looked for again when somebody asks for an experiment that was not found, and no
service is new."""
AHEAD: Final = 600 * 1_000_000_000
"""Nanoseconds that others' clocks may be ahead."""
SAMPLE: Final = 50
"""The newest traces of each service that are looked at for their experiments."""
ENTRY: Final = Condition(keys.TRACE_ENTRY, "true")
"""On the entry span of every trace that we sent, and on no other span."""


class Scope(NamedTuple):
    """What a backend is asked for, to find an experiment's traces.

    Args:
        services: Those that are searched; all when empty.
        conditions: All of them hold for one span.
    """

    services: tuple[str, ...]
    conditions: tuple[Condition, ...]


class FoundExperiment(NamedTuple):
    """An experiment.

    Args:
        experiment_id: Its ID.
        name: Its name.
        services: Those that have traces of it, as far as is known.
        newest_ms: When the newest trace of it that was seen began; 0 when none was.
    """

    experiment_id: str
    name: str
    services: tuple[str, ...] = ()
    newest_ms: int = 0


def experiment_of(trace: StoredTrace) -> str:
    """Return the ID of a trace's experiment."""
    if trace.experiment_id is not None:
        return trace.experiment_id
    return experiment_id(trace.experiment_name or trace.service)


class Experiments:
    """The experiments of a backend.

    The lock guards what was found; it is held while the backend is asked, so that several callers
    ask once.

    Args:
        backend: Is asked.
        timeout: Seconds for each call.
        read: Rebuilds a trace.
        look_back_ns: How far back traces are looked at.
        default_service: The service whose traces, where they name no experiment, are of MLflow's
            experiment ``Default``; None where there is none.
        now: Returns nanoseconds since the epoch.
        sampled: Whether traces are looked at, to find the experiments that they name; else an
            experiment is asked for by its ID, in every service.
        kept_seconds: How long what was found is not looked for again.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        backend: TraceBackend,
        timeout: float,
        read: Callable[[BackendTrace], StoredTrace],
        look_back_ns: int,
        default_service: str | None = None,
        now: Callable[[], int] = time.time_ns,
        *,
        sampled: bool = True,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._timeout = timeout
        self._read = read
        self._look_back = look_back_ns
        self._default_service = default_service
        self._now = now
        self._sampled = sampled
        self._kept = kept_seconds
        self._clock = clock
        self._until = 0.0
        self._looked = 0.0
        self._services: tuple[str, ...] = ()
        self._found: Mapping[str, FoundExperiment] = {}
        self._asked: dict[str, FoundExperiment] = {}
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()

    def all(self) -> list[FoundExperiment]:
        """Return the experiments that the services and their newest traces tell of.

        Raises:
            BackendError: The backend did not answer.
        """
        with self._lock:
            if self._clock() >= self._until:
                self._services = tuple(self._backend.services(self._timeout))
                self._found = self._look()
                self._looked = self._clock()
                self._until = self._looked + self._kept
            return list(self._found.values())

    def services(self) -> tuple[str, ...]:
        """Return the services that have traces, as they were found last.

        Raises:
            BackendError: The backend did not answer.
        """
        with self._lock:
            self.all()
            return self._services

    def _look(self) -> dict[str, FoundExperiment]:
        found: dict[str, FoundExperiment] = {}
        if self._default_service is not None:
            self._add(found, FoundExperiment(DEFAULT_ID, DEFAULT_NAME, (self._default_service,)))
        for service in self._services:
            self._add(found, FoundExperiment(experiment_id(service), service, (service,)))
            newest = self._newest(Scope((service,), (ENTRY,)), SAMPLE) if self._sampled else ()
            for trace in newest:
                self._add(found, described(trace, service))
        return found

    @staticmethod
    def _add(found: dict[str, FoundExperiment], one: FoundExperiment) -> None:
        known = found.get(one.experiment_id)
        if known is not None:
            is_named = known.name != known.experiment_id  # else its ID stands for a name
            one = known._replace(
                name=known.name if is_named else one.name,
                services=tuple(dict.fromkeys((*known.services, *one.services))),
                newest_ms=max(known.newest_ms, one.newest_ms),
            )
        found[one.experiment_id] = one

    def _newest(self, scope: Scope, limit: int) -> list[StoredTrace]:
        now = self._now() + AHEAD
        query = TraceQuery(scope.conditions, now - self._look_back, now, scope.services, limit)
        try:
            traces = self._backend.window(query, self._timeout).traces
            # A backend in memory gives all that match, whatever the limit.
            newest = heapq.nlargest(limit, traces, key=lambda trace: trace.summary.start)
            return [self._read(trace) for trace in newest]
        except BackendError:
            return []  # one service's traces may be too many or too large; its name is known

    def get(self, identity: str) -> FoundExperiment | None:
        """Return an experiment, or None when no trace is found that names it.

        Raises:
            BackendError: The backend did not answer.
        """
        with self._lock:
            known = self._first(lambda one: one.experiment_id == identity)
            if known is None:
                known = self._asked.get(identity)
            if known is None:
                named = Condition(keys.EXPERIMENT_ID, identity)
                traces = self._newest(Scope((), (ENTRY, named)), 1)
                if traces:
                    known = described(traces[0], traces[0].service)
                    self._asked[identity] = known
            return known

    def named(self, name: str) -> FoundExperiment | None:
        """Return the experiment of a name, or None.

        Raises:
            BackendError: The backend did not answer.
        """
        with self._lock:
            known = self._first(lambda one: one.name == name)
            return known or next((one for one in self._asked.values() if one.name == name), None)

    def _first(self, wanted: Callable[[FoundExperiment], bool]) -> FoundExperiment | None:
        """Return the first experiment that is wanted; look again when there is none and one may be new."""
        known = next(filter(wanted, self.all()), None)
        if known is None and self._may_be_new():
            self._until = 0.0
            known = next(filter(wanted, self.all()), None)
        return known

    def _may_be_new(self) -> bool:
        """Tell whether a look may find an experiment that the last one did not.

        A new service is one, and is found by one short question. An experiment that a known service's
        new traces name takes a long look, so that it waits for some time.
        """
        if self._clock() - self._looked > AGAIN_SECONDS:
            return True
        return not set(self._backend.services(self._timeout)) <= set(self._services)

    def create(self, name: str) -> str:
        """Return the ID that traces of an experiment have; it comes with its first trace."""
        identity = experiment_id(name)
        with self._lock:
            self._asked.setdefault(identity, FoundExperiment(identity, name))
        return identity

    def scopes(self, identities: Iterable[str] | None) -> list[Scope]:
        """Return what to ask for, to find the traces of these experiments; of all when None.

        Raises:
            BackendError: The backend did not answer.
        """
        if identities is None:
            return [Scope((), (ENTRY,))]
        scopes = []
        for identity in dict.fromkeys(identities):
            if not self._sampled:
                scopes += self._everywhere(identity)
                continue
            known = self.get(identity)
            if known is None:
                continue
            if not known.services:  # not seen yet
                scopes.append(Scope((), (ENTRY, Condition(keys.EXPERIMENT_ID, identity))))
            own = tuple(
                s
                for s in known.services
                if experiment_id(s) == identity
                or (identity == DEFAULT_ID and s == self._default_service)
            )
            if own:
                scopes.append(Scope(own, (ENTRY,)))
            others = tuple(s for s in known.services if s not in own)
            if others:
                named = [Condition(keys.EXPERIMENT_ID, identity)]
                if experiment_id(known.name) == identity:  # an app that knows its name alone
                    named.append(Condition(keys.EXPERIMENT_NAME, known.name))
                scopes += [Scope(others, (ENTRY, condition)) for condition in named]
        return scopes

    def _everywhere(self, identity: str) -> list[Scope]:
        own = {one.experiment_id: one.services for one in self.all()}.get(identity, ())
        scopes = [Scope(own, (ENTRY,))] if own else []
        named = [Condition(keys.EXPERIMENT_ID, identity)]
        if identity in self._asked:  # an app that knows its name alone
            named.append(Condition(keys.EXPERIMENT_NAME, self._asked[identity].name))
        return [*scopes, *(Scope((), (ENTRY, condition)) for condition in named)]

    def holds(self, identity: str, trace: StoredTrace) -> bool:
        """Tell whether a trace belongs to an experiment."""
        if experiment_of(trace) == identity:
            return True
        return identity == DEFAULT_ID and self._is_default(trace)

    def of(self, trace: StoredTrace) -> str:
        """Return the ID of a trace's experiment."""
        return DEFAULT_ID if self._is_default(trace) else experiment_of(trace)

    def _is_default(self, trace: StoredTrace) -> bool:
        return (
            self._default_service is not None
            and trace.experiment_id is None
            and trace.experiment_name is None
            and trace.service in {"", self._default_service}
        )


def described(trace: StoredTrace, service: str) -> FoundExperiment:
    """Return the experiment of a trace that a service has."""
    identity = experiment_of(trace)
    name = trace.experiment_name or (trace.service if trace.experiment_id is None else identity)
    return FoundExperiment(identity, name, (service,), trace.request_time_ms)
