"""How far a partition may be committed: never past a record that is not done with."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.receiver.offsets import MAX_METADATA, Offsets, Place, Progress, read, written

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
    finished = offsets.finished()
    assert set(finished) == ({ONE} if done else set())
    for progress in finished.values():
        assert progress.offset == expected
        beyond = {o for run in read(progress) for o in run}
        assert beyond == {o for o in done if o > expected}
    assert offsets.under_way == 18 - expected
    offsets.committed(finished)
    assert offsets.finished() == {}
    for offset in order:
        offsets.done(ONE, offset)
    assert offsets.finished() == ({} if expected == 18 else {ONE: Progress(18)})


@settings(max_examples=100, deadline=None)
@given(
    first=st.integers(0, 2**40),
    gaps=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 3)), max_size=1500),
)
def test_what_is_done_with_out_of_order_is_left_out_by_the_next_reader_as_far_as_metadata_has_room(
    first, gaps
):
    done, at = [], first
    for left_out, number in gaps:
        done += range(at + left_out, at + left_out + number)
        at += left_out + number
    text = written(first, done)
    assert len(text) <= MAX_METADATA
    offsets = Offsets()
    offsets.skip(ONE, Progress(first, text))
    skipped = [offset for offset in done if offsets.is_done(ONE, offset)]
    assert skipped == done[: len(skipped)]
    assert len(skipped) == len(done) or len(text) > MAX_METADATA / 2


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20) | st.from_regex(r"r1(,-?\d{0,3}){0,5}", fullmatch=True))
def test_metadata_that_is_somebody_elses_leaves_nothing_out(text):
    for run in read(Progress(5, text)):
        assert text.startswith("r1,")
        assert run.start >= 5


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
    assert offsets.finished() == {ONE: Progress(6)}


def test_what_was_committed_meanwhile_does_not_hide_what_is_done_with_now():
    offsets = Offsets()
    offsets.took(ONE, 1)
    offsets.took(ONE, 2)
    offsets.done(ONE, 1)
    taken = offsets.finished()
    offsets.done(ONE, 2)
    offsets.committed(taken)
    assert offsets.finished() == {ONE: Progress(3)}
