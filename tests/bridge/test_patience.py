"""How long a refused client is asked to wait, and for how long MLflow's client tries then."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.bridge.patience import FORGOTTEN_SECONDS, LEAST_SECONDS, MOST_SECONDS, Patience

TRIES = 8
"""Of MLflow's Python client: a first one, and seven more (``MLFLOW_HTTP_REQUEST_MAX_RETRIES``)."""


@settings(max_examples=100, deadline=None)
@given(
    others=st.lists(st.floats(0, 40), max_size=20),
    begins=st.floats(0, 600),
    share=st.floats(0, 1),
)
def test_a_client_of_mlflows_tries_for_a_minute_and_a_half_at_least(others, begins, share):
    now = [1000.0]
    patience = Patience(lambda: now[0], lambda least, most: least + round(share * (most - least)))
    for pause in others:  # other clients are refused meanwhile
        assert LEAST_SECONDS <= patience.seconds() <= MOST_SECONDS
        now[0] += pause
    now[0] += min(begins, FORGOTTEN_SECONDS - 1)
    started = now[0]
    for _ in range(TRIES - 1):
        now[0] += patience.seconds()
    assert 90 <= now[0] - started <= MOST_SECONDS * (TRIES - 1)


def test_one_that_is_refused_after_a_quiet_time_comes_again_soon():
    now = [0.0]
    patience = Patience(lambda: now[0], lambda least, _most: least)
    assert patience.seconds() == LEAST_SECONDS
    now[0] = 25
    assert patience.seconds() == 25
    now[0] += FORGOTTEN_SECONDS
    assert patience.seconds() == LEAST_SECONDS


def test_one_that_is_refused_after_something_was_taken_comes_again_soon():
    now = [0.0]
    patience = Patience(lambda: now[0], lambda least, _most: least)
    patience.seconds()
    now[0] = 25
    assert patience.seconds() == 25
    patience.taken()
    assert patience.seconds() == LEAST_SECONDS
    now[0] += 10
    assert patience.seconds() == 10


def test_those_that_are_refused_in_one_moment_do_not_come_again_in_one():
    now = [0.0]
    patience = Patience(lambda: now[0])
    patience.seconds()
    now[0] = 10
    asked = [patience.seconds() for _ in range(1000)]
    assert set(asked) == set(range(10, 21))
