"""How long a refused client is asked to wait, and for how long MLflow's client tries then."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.bridge.patience import FORGOTTEN_SECONDS, LEAST_SECONDS, MOST_SECONDS, Patience

TRIES = 8
"""Of MLflow's Python client: a first one, and seven more (``MLFLOW_HTTP_REQUEST_MAX_RETRIES``)."""


@settings(max_examples=100, deadline=None)
@given(others=st.lists(st.floats(0, 40), max_size=20), begins=st.floats(0, 600))
def test_a_client_of_mlflows_tries_for_a_minute_and_a_half_at_least(others, begins):
    now = [1000.0]
    patience = Patience(lambda: now[0])
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
    patience = Patience(lambda: now[0])
    assert patience.seconds() == LEAST_SECONDS
    now[0] = 25
    assert patience.seconds() == 25
    now[0] += FORGOTTEN_SECONDS
    assert patience.seconds() == LEAST_SECONDS
