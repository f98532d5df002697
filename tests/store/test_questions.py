"""How often a backend is asked: a list of the newest traces is asked for again and again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import TooMuchError, Window
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


SESSION = "metadata.`mlflow.trace.session` = '{}'"


def test_what_stands_on_every_span_is_asked_for_in_one_question_however_long_ago_it_was(busy):
    store, backend, _ = busy
    ids, _, calls = found(backend, lambda: store.search_traces([SHOP], SESSION.format("s-150")))
    assert (len(ids), calls) == (5, 1)


def test_where_another_service_has_spans_two_questions_are_asked_at_once(busy):
    store, backend, held = busy
    held.add(NOW - SECOND, "cart", **{"session.id": "s-150"})
    store.traces.experiments._until = 0.0  # else the new service is seen half a minute later
    ids, _, _ = found(backend, lambda: store.search_traces([SHOP], SESSION.format("s-150")))
    assert len(ids) == 5
    assert len([q for q in backend.asked if len(q.conditions) == 2]) == 2  # late changes, traces


def test_what_many_traces_meet_is_not_asked_for_twice_in_vain(busy):
    store, backend, held = busy
    for number in range(300):
        held.add(NOW - (number + 1) * SECOND, **{"session.id": "s-long"})
    ask = lambda: store.search_traces([SHOP], SESSION.format("s-long"), max_results=50)  # noqa: E731
    first, token, _ = found(backend, ask)
    asked = [q for q in backend.asked if len(q.conditions) == 1]
    again, _, _ = found(backend, ask)
    assert (len(first), again, bool(token)) == (50, first, True)
    assert len(asked) == 1
    assert not [q for q in backend.asked if len(q.conditions) == 1]


class Small(Newest):
    """Refuses answers of more than some traces, as one that is too large for the client."""

    def window(self, query, timeout):
        window = super().window(query, timeout)
        if len(window.traces) > 20:
            raise TooMuchError("the answer is too large")
        return window


def test_an_answer_that_is_too_large_is_read_in_parts(busy):
    _, _, held = busy
    for number in range(60):
        held.add(NOW - (number + 1) * SECOND, **{"session.id": "s-large"})
    store = store_on(held, Small(held))
    infos, _ = store.search_traces([SHOP], SESSION.format("s-large"), max_results=100)
    assert len(infos) == 60


KEYS = {
    "session.id": SESSION,
    "user.id": "metadata.`mlflow.trace.user` = '{}'",
    "mlflow.trace.client_request_id": "client_request_id = '{}'",
}
SAID = st.dictionaries(st.sampled_from(sorted(KEYS)), st.sampled_from("ab"), max_size=3)
TRACE = st.tuples(
    st.integers(1, 50),  # seconds before now
    st.sampled_from(["shop", "shop", "cart"]),
    SAID,
    st.lists(st.tuples(st.integers(0, 40), SAID), max_size=2),  # later changes: seconds after it
    st.booleans(),  # whether its root is there
)


@settings(max_examples=60, deadline=None)
@given(traces=st.lists(TRACE, max_size=6), key=st.sampled_from(sorted(KEYS)))
def test_a_search_finds_what_a_look_at_every_trace_finds(traces, key):
    held = HeldTraces()
    for age, service, said, changes, is_whole in traces:
        start = NOW - age * SECOND
        identity = int(held.add(start, service, **said).removeprefix("tr-"), 16)
        (root,) = held.spans[identity]
        for number, (after, more) in enumerate(changes):
            update = {"mlflow.trace.update": True, "mlflow.trace.id": f"tr-{identity:032x}", **more}
            changed = root._replace(
                span_id=identity * 100 + number,
                name="trace update",
                start=start + after * SECOND,
                end=start + after * SECOND + 1000,
                attributes=update,
            )
            held.spans[identity].append(changed)
        if not is_whole:  # an inner span came, and its root did not
            held.spans[identity][0] = root._replace(parent_id=77, attributes=said)
    store = store_on(held, Newest(held))
    everything, _ = store.search_traces([SHOP])
    for value in "ab":
        infos, _ = store.search_traces([SHOP], KEYS[key].format(value))
        expected = [info.trace_id for info in everything if _said(info)[key] == value]
        assert [info.trace_id for info in infos] == expected


def _said(info):
    return {
        "session.id": info.trace_metadata.get("mlflow.trace.session"),
        "user.id": info.trace_metadata.get("mlflow.trace.user"),
        "mlflow.trace.client_request_id": info.client_request_id,
    }


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
