"""What fuzzing found worth keeping (``make fuzz``), sent again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.application import FORMS, Bridge, seeds

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"


@pytest.fixture(scope="module")
def bridge():
    made = Bridge()
    yield made
    made.intake.close(0)


def test_no_input_of_the_corpus_fails(bridge):
    inputs = sorted(CORPUS.iterdir())
    assert {file.read_bytes()[0] % len(FORMS) for file in inputs} == set(range(len(FORMS)))
    for file in inputs:
        bridge.check(file.read_bytes())


def test_the_seeds_that_fuzzing_begins_with_are_good_requests(bridge):
    bad = [
        (form, status)
        for seed in seeds()
        for form in [FORMS[seed[0]]]
        for status in [bridge.ask(form, seed[1:])[0]]
        if status not in {200, 404} and seed[1:]
    ]
    assert bad == []
