"""How often a backend is asked: a list of the newest traces is asked for again and again."""

from __future__ import annotations

import pytest

from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import Window
from mlflow_otel.mapping.experiment import experiment_id
from tests.store.held import NOW, SECOND, HeldTraces, store_on

SHOP = experiment_id("shop")
TRACES = 1000


class Newest(MemoryBackend):
    """Gives the newest traces when there are too many, as most backends do; keeps what it was asked."""

    def __init__(self, held):
        super().__init__(held)
        self.asked = []

    def window(self, query, timeout):
        traces = super().window(query, timeout).traces
        self.asked.append(query)
        ordered = sorted(traces, key=lambda trace: -trace.summary.start)
        return Window(ordered[: query.limit], len(ordered) < query.limit)


@pytest.fixture
def busy():
    """Return a store on a thousand traces, and its backend."""
    held = HeldTraces()
    for number in range(TRACES):
        held.add(NOW - (number + 1) * SECOND, **{"session.id": f"s-{number // 5}"})
    backend = Newest(held)
    store = store_on(held, backend)
    store.search_experiments()
    backend.asked.clear()
    return store, backend, held


def found(backend, ask):
    """Return what a search found and how many windows it asked for."""
    backend.asked.clear()
    infos, token = ask()
    return [info.trace_id for info in infos], token, len(backend.asked)


def test_the_newest_page_is_asked_for_in_one_question_once_it_is_known_how_dense_traces_are(busy):
    store, backend, held = busy
    first, token, calls = found(backend, lambda: store.search_traces([SHOP], max_results=100))
    assert (len(first), calls) == (100, 2)
    new = held.add(NOW - 1)
    again, _, calls = found(backend, lambda: store.search_traces([SHOP], max_results=100))
    assert (again, calls) == ([new, *first[:-1]], 1)
    rest, _, calls = found(
        backend, lambda: store.search_traces([SHOP], max_results=100, page_token=token)
    )
    assert (len(rest), calls) == (100, 2)
    assert not set(rest) & set(first)


def test_what_one_answer_holds_is_asked_for_at_once_however_long_ago_it_was(busy):
    store, backend, _ = busy
    condition = "metadata.`mlflow.trace.session` = 's-150'"
    ids, _, _ = found(backend, lambda: store.search_traces([SHOP], condition))
    assert len(ids) == 5
    assert len([q for q in backend.asked if len(q.conditions) == 2]) == 2  # late changes, traces


def test_all_traces_are_read_with_few_that_are_read_for_nothing(busy):
    store, backend, _ = busy
    ids, _, calls = found(
        backend, lambda: store.search_traces([SHOP], "name LIKE 'r%'", max_results=TRACES)
    )
    assert len(ids) == TRACES
    assert calls < 2 * TRACES / 150 + 4


def test_of_a_window_that_is_not_complete_only_the_times_are_wanted(busy):
    store, backend, _ = busy
    store.search_traces([SHOP], max_results=100)
    assert all(query.all_or_none for query in backend.asked)
