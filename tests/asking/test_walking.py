"""Past traces, window by window: each once, the newest first, whatever a backend's limit leaves out."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.backends.model import TraceSummary
from mlflow_otel.backends.walking import walk

MINUTE = 60 * 10**9


@settings(max_examples=100, deadline=None)
@given(
    starts=st.lists(st.integers(0, 10 * MINUTE).map(lambda ns: ns // 10**6 * 10**6), max_size=60),
    crowd=st.integers(0, 15),
    late=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 10 * MINUTE)), max_size=10),
    page=st.integers(20, 40),
    seed=st.integers(0, 2**32),
)
def test_every_trace_comes_once_and_the_newest_first(starts, crowd, late, page, seed):
    chance = random.Random(seed)
    traces = dict(enumerate([*starts, *[5 * MINUTE] * crowd], 1))
    found_by = {number: [start] for number, start in traces.items()}
    for number, moment in late:  # an evaluation: the backend finds its trace by that, too
        if number in traces:
            found_by[number].append(moment)

    def find(query):
        here = [
            TraceSummary(number, None, traces[number], {})
            for number, moments in found_by.items()
            if any(query.start <= moment <= query.end for moment in moments)
        ]
        chance.shuffle(here)
        return here[: query.limit]

    walked = list(walk(find, MINUTE, 9 * MINUTE, page=page))
    got = [trace.trace_id for window in walked for trace in window.traces]
    wanted = {number for number, start in traces.items() if MINUTE <= start <= 9 * MINUTE}
    assert sorted(got) == sorted(wanted)
    times = [traces[number] for number in got]
    assert times == sorted(times, reverse=True)
    assert walked[-1].down_to == MINUTE
    downs = [window.down_to for window in walked]
    assert downs == sorted(downs, reverse=True)
