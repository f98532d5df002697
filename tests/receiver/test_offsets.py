"""How far a partition may be committed: never past a record that is not done with."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.receiver.offsets import Offsets, Place

ONE, OTHER = Place("t", 0), Place("t", 1)


@settings(max_examples=200, deadline=None)
@given(order=st.permutations(range(10, 18)), first=st.integers(0, 8))
def test_a_partition_may_be_committed_up_to_the_first_record_that_is_not_done_with(order, first):
    offsets = Offsets()
    for offset in range(10, 18):
        offsets.took(ONE, offset)
    done = set()
    for offset in order[:first]:
        offsets.done(ONE, offset)
        done.add(offset)
    expected = next((o for o in range(10, 18) if o not in done), 18)
    assert offsets.finished() == ({} if expected == 10 else {ONE: expected})
    assert offsets.under_way == 18 - expected
    offsets.committed(offsets.finished())
    assert offsets.finished() == {}
    for offset in order:
        offsets.done(ONE, offset)
    assert offsets.finished() == ({} if expected == 18 else {ONE: 18})


def test_a_partition_that_is_anothers_is_not_committed():
    offsets = Offsets()
    for place in (ONE, OTHER):
        offsets.took(place, 5)
    offsets.done(ONE, 5)
    offsets.forget([ONE, OTHER])
    offsets.done(OTHER, 5)
    assert offsets.finished() == {}
    assert offsets.under_way == 0
    offsets.took(ONE, 5)  # it came back, and is read again
    assert offsets.finished() == {}
    offsets.done(ONE, 5)
    assert offsets.finished() == {ONE: 6}


def test_what_was_committed_meanwhile_does_not_hide_what_is_done_with_now():
    offsets = Offsets()
    offsets.took(ONE, 1)
    offsets.took(ONE, 2)
    offsets.done(ONE, 1)
    taken = offsets.finished()
    offsets.done(ONE, 2)
    offsets.committed(taken)
    assert offsets.finished() == {ONE: 3}
