"""A bridge of several processes: this one accepts, each trace is mapped in one of the workers, by its ID.

A client's connections end here, so that all parts of a trace meet in one worker, whichever connection they come by.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, ClassVar, Final, TypeVar

from mlflow_otel.accounting import Accounting
from mlflow_otel.backends.model import (
    BackendError,
    BackendTrace,
    TraceQuery,
    TraceSummary,
    Window,
    newest,
)
from mlflow_otel.bridge import traces_json
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.experiments import Experiments
from mlflow_otel.bridge.frames import Asked
from mlflow_otel.bridge.intake import spans_in
from mlflow_otel.bridge.link import SILENT_SECONDS, Link, Start
from mlflow_otel.bridge.remembering import WHERE
from mlflow_otel.bridge.shares import shares, worker_of
from mlflow_otel.bridge.soon import Soon, after, all_of
from mlflow_otel.bridge.trace_info import TraceInfo
from mlflow_otel.bridge.way_in import FULL, Known, Made, Seen, Taken
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.settings import Signal

ANSWER_SECONDS: Final = 60.0
"""How long a worker may take to answer, the start of another in its place included."""
_T = TypeVar("_T")


class Workers:
    """Hands what comes to the workers. Safe to call from any thread while it is ``working``.

    Args:
        number: How many workers.
        start: Starts the process of one.
        options: How they map.
        accounting: Gets what is counted here.
        max_bytes: Of what waits for the backend in all workers, and again of what they did not take yet.
        silent: Seconds after which a worker that says nothing is ended.
    """

    waits: ClassVar[bool] = False
    """As of ``WayIn``: what the workers answer comes as a future."""

    def __init__(
        self,
        number: int,
        start: Start,
        options: MappingOptions,
        accounting: Accounting,
        max_bytes: int,
        silent: float = SILENT_SECONDS,
    ) -> None:
        self._silent = silent
        self.options = options
        self.experiments = Experiments(told=self._tell_name)
        self._accounting = accounting
        self._max_bytes = max_bytes // number
        self._number = number
        self._start = start
        self._links: list[Link] = []
        self._turn = itertools.count()
        self._open = False

    @contextlib.asynccontextmanager
    async def working(self, seconds: float) -> AsyncIterator[None]:
        """Start the workers; at the end let them deliver what they hold.

        Args:
            seconds: How long that may take.

        Raises:
            OSError: One does not start.
        """
        self._links = [
            Link(self._start, self._names, self._accounting, self._silent)
            for _ in range(self._number)
        ]
        try:
            await asyncio.gather(*(link.open() for link in self._links))
            self._open = True
            yield
        finally:
            self._open = False
            await asyncio.gather(*(link.close(seconds) for link in self._links))

    def _names(self) -> Asked:
        return Asked(0, "learn", (self.experiments.names(),))

    def _tell_name(self, identity: str, name: str) -> None:
        for link in self._links:
            link.tell(Asked(0, "learn", ([(identity, name)],)))

    def _ask(
        self, trace_id: int, kind: str, *said: Any, items: int = 0, seen: Sequence[Seen] = ()
    ) -> Future[Any]:
        link = self._links[worker_of(trace_id.to_bytes(16, "big"), self._number)]
        return link.ask(kind, *said, items=items, seen=seen)

    def of_trace(self, trace_id: int, kind: str, *said: Any) -> Any:
        """Return what a trace's worker answers; may wait.

        Raises:
            RefusedError: It does not answer in time.
        """
        return _answer(self._ask(trace_id, kind, *said))

    def of_all(self, kind: str, *said: Any) -> list[Any]:
        """Return what each worker answers; may wait.

        Raises:
            RefusedError: One does not answer in time.
        """
        return _answer(all_of([link.ask(kind, *said) for link in self._links]))

    @property
    def unready(self) -> str | None:
        """Why clients should send to another bridge for now, or None."""
        if any(link.waiting_bytes > self._max_bytes for link in self._links):
            return FULL
        return self._busy

    @property
    def _busy(self) -> str | None:
        if any(link.bytes_asked > self._max_bytes for link in self._links):
            return "the workers have too much to do: try again later"
        return None

    def make_sure_of_room(self) -> None:
        """Refuse what comes while too much waits.

        Raises:
            RefusedError: With 503; the client is to come again later.
        """
        self._refuse(self.unready)

    def _refuse(self, why: str | None) -> None:
        if why is not None:
            self._accounting.count("refused.overload")
            raise RefusedError(503, why)

    def otlp(self, signal: Signal, request: Any, experiment_id: str | None = None) -> Soon[Taken]:
        """Hand an export request on, the spans of each trace to its worker; logs and metrics in turn.

        Raises:
            RefusedError: It has too many spans.
        """
        if signal != "traces":
            link = self._links[next(self._turn) % len(self._links)]
            return link.ask("others", signal, request.SerializeToString())
        number = spans_in(request)
        # Requests one after the other are one request: protobuf puts repeated fields together.
        answers = (
            [
                self._links[worker].ask(
                    "spans",
                    b"".join(share.bodies),
                    experiment_id,
                    items=share.items,
                    seen=list(share.seen.values()),
                )
                for worker, share in shares(request, self._number).items()
            ]
            if number
            else []
        )
        if not answers:
            return Taken()
        return answers[0] if len(answers) == 1 else after(all_of(answers), _sum)

    def info(self, info: TraceInfo) -> Future[Known | None]:
        """Hand a ``TraceInfo`` on; the answer is what is known of its trace.

        Its worker knows whether spans wait for it, and refuses it if not.
        """
        self._refuse(self._busy)
        seen = [Seen(info.trace_id, [], [], info=True)]
        return self._ask(info.trace_id, "info", info, seen=seen)

    def uploaded(self, trace_id: int, body: Any, experiment_id: str | None) -> None:
        """Hand a ``traces.json`` on.

        Raises:
            MalformedError: It is none.
        """
        spans, _ = traces_json.read(body, trace_id)
        ids = [int.from_bytes(span.span_id, "big") for span in spans]
        roots = [one for one, span in zip(ids, spans, strict=True) if not span.parent_span_id]
        seen = [Seen(trace_id, ids, roots)]
        said = trace_id, body, experiment_id
        _answer(self._ask(trace_id, "uploaded", *said, items=len(spans), seen=seen))

    def send(self, made: Made) -> None:
        """Let the worker of the trace send what the bridge made of it."""
        self.of_trace(made.trace_id, "send", made)

    def known(self, trace_id: int) -> Known | None:
        """Return what is remembered of a trace."""
        found: Known | None = self.of_trace(trace_id, "known", trace_id)
        return found

    def of_request(self, client_request_id: str) -> int | None:
        """Return the ID of a request's newest trace that is remembered, or None."""
        found = [one for one in self.of_all("met_by_request", client_request_id) if one is not None]
        return max(found)[1] if found else None

    def set_tag(self, trace_id: int, key: str, value: str) -> None:
        """Set a tag of a trace that is known.

        Raises:
            KeyError: It is not known.
        """
        self.of_trace(trace_id, "set_tag", trace_id, key, value)

    def delete_tag(self, trace_id: int, key: str) -> None:
        """Remove a tag of a trace that is known.

        Raises:
            KeyError: Trace or tag are not known.
        """
        self.of_trace(trace_id, "delete_tag", trace_id, key)

    def update(
        self, trace_id: int, root_id: int | None, context: TraceContext, removed: tuple[str, ...]
    ) -> None:
        """Send what changed of a trace that is not remembered, but lies in a backend."""
        self.of_trace(trace_id, "update", trace_id, root_id, context, removed)

    def count(self, outcome: str, number: int = 1) -> None:
        """Count something that happened."""
        self._accounting.count(outcome, number)

    def stats(self) -> Mapping[str, int]:
        """Return the sum of all processes' counters; those that died included."""
        if self._open:
            with contextlib.suppress(RefusedError):  # then they are as the workers told them last
                self.of_all("tell")
        found = Counter(self._accounting.snapshot())
        for link in self._links:
            found.update(link.stats())
        return dict(found)


class WorkersMemory:
    """What all workers remember, asked as one backend.

    Args:
        workers: The workers.
    """

    where = WHERE

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match; see ``TraceBackend``."""
        return newest(
            (one for found in self._all("find", query, timeout) for one in found), query.limit
        )

    def window(self, query: TraceQuery, timeout: float) -> Window:
        """Return the traces that match; see ``TraceBackend``."""
        found: list[Window] = self._all("window", query, timeout)
        traces = [trace for window in found for trace in window.traces]
        return Window(traces, complete=all(window.complete for window in found))

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:
        """Return a trace, or None."""
        try:
            found: BackendTrace | None = self._workers.of_trace(trace_id, "get", trace_id, timeout)
        except RefusedError as error:
            raise BackendError(f"{self.where}: {error}") from error
        return found

    def services(self, timeout: float) -> list[str]:
        """Return the names of the services that have traces, sorted."""
        return sorted({name for found in self._all("services", timeout) for name in found})

    def _all(self, kind: str, *said: Any) -> list[Any]:
        try:
            return self._workers.of_all(kind, *said)
        except RefusedError as error:
            raise BackendError(f"{self.where}: {error}") from error


def _answer(found: Future[_T]) -> _T:
    try:
        return found.result(ANSWER_SECONDS)
    except FutureTimeoutError:
        raise RefusedError(503, "a worker of the bridge does not answer: try again later") from None


def _sum(taken: list[Taken]) -> Taken:
    return Taken(
        sum(one.rejected for one in taken), next((one.message for one in taken if one.message), "")
    )
