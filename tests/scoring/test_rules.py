"""Sampling, digests and limits: the pure rules of scoring."""

from __future__ import annotations

import copy
import functools
import os
import re
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.scoring.identity import assessment_id, digest_of
from mlflow_otel.scoring.limits import Breaker, CostCap, TokenBucket
from mlflow_otel.scoring.mlflow_adapter import prepare
from mlflow_otel.scoring.sampling import Rate, chosen

IDS = [f"tr-{number:032x}" for number in range(4000)]
rates = st.dictionaries(st.sampled_from("abcde"), st.floats(0, 1), max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.uuids(), rates)
def test_a_trace_that_a_low_rate_gets_goes_to_the_higher_rates_too(trace, by_name):
    names = chosen(f"tr-{trace.hex}", [Rate(*item) for item in by_name.items()])
    lowest = min((by_name[name] for name in names), default=2)
    assert {name for name, rate in by_name.items() if rate > lowest} <= set(names)
    assert "none" not in chosen(f"tr-{trace.hex}", [Rate("none", 0.0)])
    assert chosen(f"tr-{trace.hex}", [Rate("all", 1.0)]) == ["all"]


def test_each_scorer_sees_its_share_of_the_traces():
    several = [Rate("few", 0.1), Rate("most", 0.8), Rate("half", 0.5)]
    got = [name for trace in IDS for name in chosen(trace, several)]
    for name, rate in several:
        assert abs(got.count(name) / len(IDS) - rate) < 0.03


def test_the_rule_is_the_one_that_mlflow_has():
    # MLflow 3.17.2, OnlineScorerSampler.sample
    ordered = [Rate("quality", 0.3), Rate("tone", 0.6)]
    found = {number: list(chosen(IDS[number], ordered)) for number in range(8)}
    assert found == RECORDED


RECORDED = {0: ["tone"], 1: ["tone"], 2: ["tone"], 3: ["tone"], 4: [], 5: [], 6: [], 7: ["tone"]}


def test_the_same_definition_has_the_same_digest_whatever_version_wrote_it():
    definition = {"name": "tone", "call_source": "return 1", "mlflow_version": "3.13.0"}
    assert digest_of(definition) == digest_of({**definition, "mlflow_version": "3.18.0"})
    assert digest_of(definition) != digest_of({**definition, "call_source": "return 2"})
    assert digest_of({"kind": int}) == digest_of({"kind": int})
    assert digest_of({"value": object()}) == digest_of({"value": object()})


def above(outputs, least):
    return len(outputs) > least


def closed(least):
    def above_it(outputs):
        return len(outputs) > least

    return above_it


def with_default(least):
    def above_it(outputs, least=least):
        return len(outputs) > least

    return above_it


class Above:
    def __init__(self, least):
        self.least = least
        self._lock = threading.Lock()

    def __call__(self, outputs):
        return len(outputs) > self.least

    def method(self, outputs):
        return self(outputs)


WAYS = {
    "partial": lambda least: functools.partial(above, least=least),
    "nested partial": lambda least: functools.partial(functools.partial(above), least=least),
    "closure": closed,
    "default": with_default,
    "object": Above,
    "method": lambda least: Above(least).method,
    "partial of an object": lambda least: functools.partial(Above(least)),
    "closure in a closure": lambda least: closed(closed(least)),
}
VALUES = (
    1,
    2,
    "1",
    2.5,
    (1,),
    {1, 2},
    {1: "a", "b": 2},
    re.compile("a"),
    re.compile("a", re.IGNORECASE),
)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_scorer_was_made_with_is_part_of_its_digest(way):
    digests = [prepare(WAYS[way](value), "one").digest for value in VALUES]
    assert len(set(digests)) == len(VALUES)
    assert digests == [prepare(WAYS[way](copy.deepcopy(value)), "one").digest for value in VALUES]
    assert prepare(WAYS[way](object()), "one").digest == prepare(WAYS[way](object()), "one").digest


def test_what_holds_itself_has_a_digest():
    holds: list[object] = []
    holds.append(holds)
    assert prepare(closed(holds), "one").digest == prepare(closed(holds), "one").digest

    def again(outputs):
        return again(outputs[1:])

    assert prepare(again).digest == prepare(again).digest


WITHOUT_SOURCE = """
from mlflow_otel.scoring.mlflow_adapter import prepare
made = {}
exec("def one(outputs): return outputs in {'a', 'b', 'c', 'd', 'e'}", made)
print(prepare(made["one"]).digest)
"""


def test_a_digest_is_the_same_in_every_process():
    """Also of a function without source: the order of a set in its code differs by process."""
    said = {
        subprocess.run(
            [sys.executable, "-c", WITHOUT_SOURCE],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(said) == 1


@given(st.lists(st.tuples(*(st.text(max_size=6) for _ in range(4)), st.integers(0, 3)), max_size=9))
def test_an_assessments_id_is_a_function_of_what_it_is_about(several):
    made = {parts: assessment_id(*parts) for parts in several}
    assert made == {parts: assessment_id(*parts) for parts in several}
    assert len(set(made.values())) == len(made)
    assert all(len(one) == 34 for one in made.values())


def test_a_bucket_gives_so_many_tokens_a_minute():
    bucket = TokenBucket(6, 0.0)
    assert [bucket.take(0.0) for _ in range(7)] == [True] * 6 + [False]
    assert [bucket.take(second) for second in (9.9, 10.1, 10.2, 20.2)] == [False, True, False, True]
    assert sum(bucket.take(10_000.0) for _ in range(20)) == 6
    assert bucket.take(0.0) is False  # a clock that goes back earns nothing


def test_a_bucket_of_less_than_one_a_minute_gives_one_now_and_then():
    bucket = TokenBucket(0.5, 0.0)
    assert [bucket.take(second) for second in (0, 60, 119, 121)] == [True, False, False, True]


def test_a_cost_cap_holds_until_the_day_is_over():
    cap = CostCap(1.0)
    assert cap.allows(0)
    cap.add(0.7, 10)
    assert cap.allows(20)
    cap.add(0.7, 30)
    assert not cap.allows(86_399)
    assert cap.allows(86_400)
    assert cap.spent == 0


def test_a_breaker_opens_once_after_failures_in_a_row_and_tries_again_after_a_pause():
    opened = []
    breaker = Breaker(lambda: opened.append(1), failures=3, pause=60)
    for now in (0, 1):
        breaker.failed(now)
    breaker.succeeded()
    for now in (2, 3, 4):
        assert breaker.allows(now)
        breaker.failed(now)
    assert not breaker.allows(63.9)
    assert breaker.allows(64)  # one is tried
    assert not breaker.allows(65)
    breaker.failed(66)
    assert breaker.allows(126)
    assert len(opened) == 1
    breaker.succeeded()
    assert breaker.allows(127)
    assert breaker.allows(127)
    assert not breaker.is_open
