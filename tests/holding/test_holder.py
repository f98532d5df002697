"""The holder by itself: nothing lost, nothing twice, bounds kept, whatever the order."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlflow_otel.holding.held_trace import HeldTrace, HoldBounds
from mlflow_otel.holding.holder import Holder

TRACES = st.integers(1, 6)
SIZES = st.integers(0, 60)


class Machine(RuleBasedStateMachine):
    """An owner that sees items start and come in any order, duplicates among them."""

    @initialize(
        max_traces=st.integers(1, 4),
        max_items=st.integers(1, 5),
        max_bytes=st.integers(1, 200),
        max_ids=st.sampled_from([3, 10_000]),
        remembered=st.sampled_from([None, 3.0, 40.0]),
    )
    def begin(self, max_traces, max_items, max_bytes, max_ids, remembered):
        self.now = 0.0
        self.bounds = HoldBounds(max_traces, max_items, max_bytes, 10.0, max_ids, remembered)
        self.holder = Holder(self.bounds, HeldTrace, lambda: self.now)
        self.next_id = 0
        self.open = []  # (trace, item) that started and did not come
        self.came = {}  # item -> trace, of all that came
        self.met = {}  # item -> what the holder knew of its trace then
        self.left = Counter()  # item -> how often it left
        self.sizes = {}

    def take(self, releases):
        for release in releases or []:
            if release.reason == "duplicate":
                continue
            assert release.size == sum(self.sizes[item] for item in release.items)
            for item_id, item in release.items.items():
                assert item == ("item", release.trace_id, item_id)
                self.left[item_id] += 1
            if release.complete:
                assert release.trace is not None
                assert not any(t == release.trace_id for t, _ in self.open_now(release.trace))

    def open_now(self, trace):
        return [(t, i) for t, i in self.open if i in trace.open]

    def add(self, trace_id, item_id, size):
        self.came[item_id] = trace_id
        self.sizes[item_id] = size
        self.met[item_id] = self.holder.get(trace_id, remembered=True)
        self.take(self.holder.add(trace_id, item_id, ("item", trace_id, item_id), size))

    @rule(trace_id=TRACES, root=st.booleans())
    def an_item_starts(self, trace_id, root):
        self.next_id += 1
        self.open.append((trace_id, self.next_id))
        _, releases = self.holder.started(trace_id, self.next_id, root=root)
        self.take(releases)

    @precondition(lambda self: self.open)
    @rule(pick=st.data(), size=SIZES)
    def a_started_item_comes(self, pick, size):
        trace_id, item_id = self.open.pop(pick.draw(st.integers(0, len(self.open) - 1)))
        self.add(trace_id, item_id, size)

    @rule(trace_id=TRACES, size=SIZES)
    def an_item_comes_whose_start_was_not_seen(self, trace_id, size):
        self.next_id += 1
        self.add(trace_id, self.next_id, size)

    @precondition(lambda self: self.came)
    @rule(pick=st.data())
    def an_item_comes_again(self, pick):
        item_id = pick.draw(st.sampled_from(sorted(self.came)))
        trace_id = self.came[item_id]
        item = ("item", trace_id, item_id)
        known = self.holder.get(trace_id, remembered=True)
        same = known is not None and known is self.met[item_id]
        releases = self.holder.add(trace_id, item_id, item, self.sizes[item_id])
        told = bool(releases) and releases[0].reason == "duplicate"
        if same and self.bounds.max_ids > 3:
            assert told
        if not told:  # its ID or its trace was forgotten: it is one more item to the holder
            self.met[item_id] = known
            self.left[item_id] -= 1
            self.take(releases)

    @rule(trace_id=TRACES, what=st.sampled_from(["root", "info"]))
    def something_is_expected(self, trace_id, what):
        _, releases = self.holder.expect(trace_id, what)
        self.take(releases)

    @rule(trace_id=TRACES, what=st.sampled_from(["root", "info"]))
    def something_expected_comes(self, trace_id, what):
        self.take(self.holder.came(trace_id, what))

    @rule(trace_id=TRACES)
    def the_owner_releases_a_trace(self, trace_id):
        self.take(self.holder.release(trace_id))

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds):
        self.now += seconds
        self.take(self.holder.release_aged())
        for _, trace in self.holder.under_way():
            assert trace.since > self.now - self.bounds.max_age or not trace.items
        age = self.bounds.max_remembered_age
        for trace in self.holder._remembered.values():
            assert trace.since > self.now - (self.bounds.max_age if age is None else age)

    @invariant()
    def bounds_hold(self):
        if not hasattr(self, "holder"):
            return
        held = self.holder.under_way()
        assert len(held) <= self.bounds.max_traces
        assert len(self.holder._remembered) <= self.bounds.max_traces
        assert all(len(trace.items) <= self.bounds.max_items for _, trace in held)
        stats = self.holder.stats()
        assert stats["bytes"] <= self.bounds.max_bytes
        assert stats["bytes"] == sum(trace.size for _, trace in held)
        assert stats["items"] == sum(len(trace.items) for _, trace in held)
        remembered = [*held, *self.holder._remembered.items()]
        assert self.holder._ids == sum(len(trace.left or ()) for _, trace in remembered)
        assert self.holder._ids <= self.bounds.max_ids

    @invariant()
    def nothing_is_lost_and_nothing_leaves_twice(self):
        if not hasattr(self, "holder"):
            return
        held = {item for _, trace in self.holder.under_way() for item in trace.items}
        for item in self.came:
            assert self.left[item] + (item in held) == 1

    def teardown(self):
        if not hasattr(self, "holder"):
            return
        self.take(self.holder.release_all())
        assert self.holder.stats() == {"traces": 0, "items": 0, "bytes": 0}
        assert all(self.left[item] == 1 for item in self.came)


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHolder = Machine.TestCase


@pytest.fixture
def holder():
    return Holder(HoldBounds(10, 100, 10_000, 60.0, 1000), HeldTrace, lambda: 0.0)


def left(releases):
    return [(release.reason, list(release.items)) for release in releases or []]


def test_items_leave_together_when_their_root_is_here(holder):
    holder.started(1, 10, root=True)
    assert holder.add(1, 11, "child", 5) is None
    assert left(holder.add(1, 10, "root", 5)) == [("ended", [11, 10])]
    assert left(holder.add(1, 12, "late", 5)) == [("late", [12])]


def test_a_trace_with_two_roots_waits_for_both(holder):
    holder.started(1, 10, root=True)
    holder.started(1, 20, root=True)
    assert holder.add(1, 10, "first", 5) is None
    assert left(holder.add(1, 20, "second", 5)) == [("ended", [10, 20])]


@pytest.mark.parametrize("order", [["info", "root"], ["root", "info"]])
def test_what_is_known_of_a_trace_may_come_before_its_root_or_after(holder, order):
    holder.expect(1, "root")
    holder.expect(1, "info")
    holder.add(1, 10, "span", 5)
    assert holder.came(1, order[0]) is None
    holder.add(1, 11, "span", 5)
    assert left(holder.came(1, order[1])) == [("ended", [10, 11])]


def test_what_is_expected_of_a_released_trace_is_not_waited_for(holder):
    holder.expect(1, "root")
    holder.came(1, "root")
    holder.expect(1, "info")
    assert left(holder.add(1, 10, "late", 5)) == [("late", [10])]


@pytest.mark.parametrize("released", [False, True], ids=["held", "released"])
def test_a_duplicate_is_told_from_an_item_before_and_after_the_release(holder, released):
    holder.expect(1, "root")
    holder.add(1, 10, "span", 5)
    if released:
        holder.came(1, "root")
    assert left(holder.add(1, 10, "the same", 5)) == [("duplicate", [10])]
    assert holder.stats()["bytes"] == (0 if released else 5)


def test_a_root_that_starts_in_a_complete_trace_begins_it_anew(holder):
    first, _ = holder.started(1, 10, root=True)
    holder.add(1, 10, "root", 5)
    second, _ = holder.started(1, 20, root=True)
    assert second is not first
    assert holder.add(1, 21, "child", 5) is None


def test_a_trace_is_complete_when_its_last_open_item_is_here(holder):
    holder.started(1, 10, root=True)
    holder.started(1, 11)
    (release,) = holder.add(1, 10, "root", 5)
    assert not release.complete
    (release,) = holder.add(1, 11, "late", 5)
    assert release.complete


def test_a_released_trace_is_remembered_as_long_as_a_trace_may_be_held():
    now = [0.0]
    holder = Holder(HoldBounds(10, 100, 10_000, 60.0), HeldTrace, lambda: now[0])
    first, _ = holder.started(1, 10, root=True)
    now[0] = 59.0
    holder.add(1, 10, "root", 5)
    now[0] = 100.0
    holder.release_aged()
    assert holder.get(1, remembered=True) is first
    now[0] = 120.0
    holder.release_aged()
    assert holder.get(1, remembered=True) is None


def test_a_released_trace_is_remembered_for_longer_than_one_is_held_where_the_owner_says_so():
    now = [0.0]
    holder = Holder(HoldBounds(10, 100, 10_000, 60.0, 1000, 3600.0), HeldTrace, lambda: now[0])
    holder.expect(1, "root")
    holder.add(1, 10, "root", 5)
    holder.came(1, "root")
    now[0] = 3599.0
    holder.release_aged()
    (release,) = holder.add(1, 10, "again", 5)
    assert release.reason == "duplicate"
    now[0] = 3600.0
    holder.release_aged()
    assert holder.get(1, remembered=True) is None


def test_the_release_says_which_bound_was_passed_and_of_which_trace():
    now = [0.0]
    holder = Holder(HoldBounds(10, 2, 10_000, 60.0, 1000), HeldTrace, lambda: now[0])
    for trace_id in (1, 2, 3):
        holder.expect(trace_id, "root")
    holder.add(1, 10, "a", 5)
    holder.add(1, 11, "b", 5)
    (release,) = holder.add(1, 12, "c", 5)
    assert (release.trace_id, release.reason, list(release.items)) == (1, "items", [10, 11, 12])
    holder.add(2, 20, "a", 5)
    now[0] = 61.0
    aged = {release.trace_id: release.reason for release in holder.release_aged()}
    assert aged == {1: "age", 2: "age", 3: "age"}
    holder.expect(4, "root")
    holder.add(4, 40, "a", 5)
    assert [(r.trace_id, r.reason) for r in holder.release_all()] == [(4, "shutdown")]


def test_an_item_that_starts_in_a_complete_trace_finds_what_was_known_of_it(holder):
    first, _ = holder.started(1, 10, root=True)
    holder.add(1, 10, "root", 5)
    again, _ = holder.started(1, 11)
    assert again is first


def test_items_that_left_in_a_process_that_is_no_more_are_duplicates(holder):
    holder.had(1, [10])  # a trace that is not met: nothing is noted
    holder.expect(1, "root")
    holder.had(1, [10, 11])
    (release,) = holder.add(1, 10, "again", 5)
    assert release.reason == "duplicate"
    assert not holder.add(1, 12, "new", 5)
    assert holder.stats()["items"] == 1


def test_an_item_of_a_trace_that_was_never_met_leaves_as_unknown(holder):
    (release,) = holder.add(7, 1, "a", 5)
    assert (release.trace_id, release.trace, release.items) == (7, None, {1: "a"})
    assert (release.size, release.reason) == (5, "unknown")


@pytest.mark.parametrize("reason", [None, "bytes"])
def test_a_trace_is_released_before_its_end_for_the_reason_that_is_given(holder, reason):
    holder.started(7, 1, root=True)
    holder.started(7, 2)
    assert holder.add(7, 2, "b", 5) is None
    (release,) = holder.release(7, *([reason] if reason else []))
    assert (release.items, release.reason) == ({2: "b"}, reason or "asked")
    assert holder.release(8) == []


@pytest.mark.parametrize("root", [True, False])
def test_a_trace_whose_first_item_is_no_root_is_not_held(holder, root):
    trace, _ = holder.started(7, 1, root=root)
    assert trace.released is not root
    holder.started(7, 2)
    assert (holder.add(7, 2, "b", 5) is None) is root


def test_a_trace_is_found_while_it_is_held_and_afterwards_only_when_asked(holder):
    held, _ = holder.started(7, 1, root=True)
    assert holder.get(7) is holder.get(7, remembered=True) is held
    holder.add(7, 1, "a", 5)
    assert holder.get(7) is None
    assert holder.get(7, remembered=True) is held
    assert holder.get(8, remembered=True) is None


@pytest.mark.parametrize("complete", [True, False])
def test_of_a_forgotten_trace_nothing_is_left(holder, complete):
    empty = holder.stats()
    holder.forget(7)  # that was never met
    holder.started(7, 1, root=True)
    holder.started(7, 2)
    holder.add(7, 2, "b", 5)
    if complete:
        holder.add(7, 1, "a", 5)
    holder.forget(7)
    assert holder.get(7, remembered=True) is None
    assert holder.stats() == empty
    assert holder.release_all() == []


def test_the_release_for_bytes_says_so_and_a_trace_is_old_at_its_age():
    now = [0.0]
    holder = Holder(HoldBounds(10, 100, 10, 60.0), HeldTrace, lambda: now[0])
    holder.expect(1, "root")
    holder.expect(2, "root")
    holder.add(1, 10, "a", 6)
    assert holder.add(2, 20, "b", 4) is None  # as many as may be
    (release,) = holder.add(2, 21, "b", 1)
    assert (release.trace_id, release.reason) == (1, "bytes")
    now[0] = 60.0
    assert [r.trace_id for r in holder.release_aged() if r.items] == [2]


def test_the_ids_of_a_forgotten_trace_make_room_for_others_and_no_more():
    holder = Holder(HoldBounds(10, 100, 10_000, 60.0, 3), HeldTrace)

    def leave(trace_id, *items):
        holder.expect(trace_id, "root")
        holder.expect(trace_id, "info")
        holder.release(trace_id)
        for item in items:
            holder.add(trace_id, item, "a", 1)

    leave(1, 10, 11)
    leave(2, 20)
    holder.forget(2)
    leave(3, 30)
    assert left(holder.add(1, 10, "again", 1)) == [("duplicate", [10])]
    leave(4, 40)  # four now: those of the oldest trace go
    assert left(holder.add(1, 10, "again", 1)) != [("duplicate", [10])]


def test_the_ids_of_no_more_traces_are_forgotten_than_must_be():
    holder = Holder(HoldBounds(10, 100, 10_000, 60.0, 4), HeldTrace)
    for trace_id in (1, 2, 3):
        holder.expect(trace_id, "root")
        holder.release(trace_id)
        for item in (0, 1):
            holder.add(trace_id, 10 * trace_id + item, "a", 1)
    known = [left(holder.add(trace_id, 10 * trace_id, "again", 1))[0][0] for trace_id in (3, 2, 1)]
    assert known == ["duplicate", "duplicate", "late"]
