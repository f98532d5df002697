"""The traces of a backend as MLflow knows them: read, searched, and changed by what is added to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mlflow_otel.backends.model import BackendTrace, TraceBackend
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.store import changes, metrics
from mlflow_otel.store.changes import ChangeError, LaterSpan, Remembered, SendsChanges
from mlflow_otel.store.experiments import KEPT_SECONDS, Experiments
from mlflow_otel.store.facts import TraceFacts, facts_of
from mlflow_otel.store.metrics import Point, Question
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.paging import Page
from mlflow_otel.store.reach import Reach
from mlflow_otel.store.rebuild import stored_info, stored_spans
from mlflow_otel.store.scan import MILLISECOND, Span
from mlflow_otel.store.search import Search, Searcher
from mlflow_otel.store.summaries import Group, Summaries, changed_in

AT_ONCE: Final = 8
"""Traces that are fetched at the same time."""
LOOK_BACK_DAYS: Final = 30.0
IN_STORE: Final = "TRACKING_STORE"
"""MLflow's word for a trace whose spans its tracking store gives."""
DAY_MILLIS: Final = 24 * 3600 * 1000
LONG_TRACE_MILLIS: Final = 3600 * 1000


class Traces:
    """The traces of a backend.

    Args:
        backend: Holds them.
        send: Sends changes; None when there is nowhere to send them.
        options: How what is added is mapped.
        timeout: Seconds for each call of the backend.
        look_back_days: How far back traces are looked for, where a filter does not say it.
        default_service: See ``Experiments``.
        sampled: See ``Experiments``.
        look_again_seconds: How long the experiments that were found are not looked for again.
        now: Returns nanoseconds since the epoch.
    """

    def __init__(
        self,
        backend: TraceBackend,
        send: SendsChanges | None = None,
        options: MappingOptions | None = None,
        *,
        timeout: float = 5.0,
        look_back_days: float = LOOK_BACK_DAYS,
        default_service: str | None = None,
        sampled: bool = True,
        look_again_seconds: float = KEPT_SECONDS,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.backend = backend
        self.options = options or MappingOptions()
        self.now = now
        self._send = send
        self._timeout = timeout
        self._remembered = Remembered()
        look_back_ms = int(look_back_days * DAY_MILLIS)
        self.experiments = Experiments(
            backend,
            timeout,
            self._raw,
            look_back_ms * MILLISECOND,
            default_service,
            now,
            sampled=sampled,
            kept_seconds=look_again_seconds,
        )
        reach = Reach(
            backend, self.experiments, timeout, look_back_ms, lambda: now() // MILLISECOND
        )
        self.searcher = Searcher(reach, self.experiments, self.info)
        self._summaries = Summaries(
            self._facts,
            self._facts_changed,
            lambda trace_id: backend.get(trace_id, timeout) is not None,
            lambda: now() // MILLISECOND,
        )

    @property
    def where(self) -> str:
        """What is asked, for a message; without credentials."""
        return self.backend.where

    def get(self, trace_id: int) -> BackendTrace | None:
        """Return a trace, or None when the backend does not hold it.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        held = self.backend.get(trace_id, self._timeout)
        return None if held is None else self._remembered.merged(held)

    def several(self, trace_ids: Sequence[int]) -> list[BackendTrace]:
        """Return those of the traces that the backend holds, in the order of their IDs.

        Raises:
            BackendError: The backend did not answer in time or as expected.
        """
        if len(trace_ids) < 2:
            found = [self.get(trace_id) for trace_id in trace_ids]
        else:
            with ThreadPoolExecutor(AT_ONCE, "mlflow-otel store") as pool:
                found = list(pool.map(self.get, trace_ids))
        return [held for held in found if held is not None]

    def _raw(self, held: BackendTrace) -> StoredTrace:
        return stored_info(self._remembered.merged(held))

    def info(self, held: BackendTrace) -> StoredTrace:
        """Return a trace without its spans."""
        raw = self._raw(held)
        return raw._replace(
            experiment_id=self.experiments.of(raw),
            tags={**raw.tags, keys.TAG_SPANS_LOCATION: IN_STORE},
        )

    def whole(self, held: BackendTrace) -> StoredTrace:
        """Return a trace with its spans."""
        return self.info(held)._replace(spans=stored_spans(held))

    def search(self, search: Search) -> Page:
        """Return a page of traces; see ``Searcher.page``."""
        return self.searcher.page(search)

    def count(self, question: Question, experiments: Sequence[str]) -> list[Point]:
        """Return what a chart asks for, counted over every trace of the time.

        Raises:
            FilterError: It cannot be answered, or too many traces would have to be read.
            BackendError: The backend did not answer in time or as expected.
        """
        metrics.check(question)
        asked = self.searcher.reach.span_of(question.start, question.end)
        # A span's cost counts by the span's own time: its trace may have begun before.
        span = asked._replace(start=max(asked.start - LONG_TRACE_MILLIS, 0))
        table = self._summaries.of(tuple(sorted(set(experiments))), span)
        return metrics.answer(question._replace(start=asked.start, end=asked.end), table)

    def _facts(self, group: Group, span: Span) -> Iterator[TraceFacts]:
        return self.searcher.read(group, span, facts_of)

    def _facts_changed(self, group: Group, span: Span) -> Iterator[TraceFacts]:
        for held in changed_in(self.backend, span, self._timeout):
            info = self.info(held)
            if any(self.experiments.holds(identity, info) for identity in group):
                yield facts_of(held, info)

    def change_tags(
        self, held: BackendTrace, tags: Mapping[str, str], removed: Sequence[str] = ()
    ) -> None:
        """Set and remove tags of a trace.

        Raises:
            ChangeError: The change was not taken.
        """
        self._add(held, changes.tags_changed(held, tags, removed, self.now()))

    def assess(self, held: BackendTrace, view: AssessmentView) -> None:
        """Add an assessment to a trace, change one or delete one, as its operation says.

        Raises:
            ChangeError: The change was not taken.
        """
        self._add(held, changes.judged(held, view, self.options))

    def _add(self, held: BackendTrace, later: LaterSpan) -> None:
        if self._send is None:
            raise ChangeError(
                "There is nowhere to send changes to: name the OTLP endpoint, as in "
                "otel+jaeger://host:16686?otlp=http://host:4317, or set OTEL_EXPORTER_OTLP_ENDPOINT"
            )
        self._send(later)
        self._remembered.add(later)
        self._summaries.changed(facts_of(held, self.info(held)))
