"""The time in which a trace of a topic ages: never past a record that was written and not read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.receiver.offsets import Place
from mlflow_otel.receiver.topic_clock import TopicClock

PLACES = [Place("t", number) for number in range(3)]
SKEW = 1_700_000_000.0
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(PLACES)),
        st.tuples(st.just("poll"), st.just(0)),
        st.tuples(st.just("passes"), st.integers(1, 60)),
        st.tuples(st.sampled_from(["pause", "away"]), st.booleans()),
        st.tuples(st.sampled_from(["got", "lost"]), st.sampled_from(PLACES)),
    ),
    max_size=60,
)


class Topic:
    """A topic, and one reader of it who asks where it ends. Others write while he does not reach the brokers."""

    def __init__(self):
        self.time = 100.0
        self.clock = TopicClock(lambda: self.time, lambda: self.time + SKEW)
        self.written = {place: [] for place in PLACES}
        self.mine, self.paused, self.gone = set(), False, False

    def write(self, place):
        self.written[place].append(self.time)

    def passes(self, seconds):
        self.time += seconds

    def pause(self, paused):
        self.paused = paused
        self.clock.pause(paused=paused)

    def away(self, gone):
        self.gone = gone

    def got(self, place):
        if place not in self.mine:
            self.mine.add(place)
            self.clock.got([place])

    def lost(self, place):
        self.mine.discard(place)
        self.clock.lost([place])

    def poll(self, _=0):
        self.clock.asks()
        if self.gone:
            return
        for place in sorted(self.mine):
            if not self.written[place]:
                self.clock.read_all(place, self.time)
        for place in sorted(self.mine):
            if self.written[place] and not self.paused:
                self.clock.read(place, self.written[place].pop(0) + SKEW)
                return


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_it_never_passes_a_record_that_is_not_read_and_goes_on_when_all_is(steps):
    topic = Topic()
    before = topic.clock()

    def checked():
        unread = [w for place in topic.mine for w in topic.written[place][:1]]
        at = topic.clock()
        assert before <= at <= topic.time
        assert at == before or all(at <= written for written in unread)
        return at

    for what, argument in steps:
        getattr(topic, what)(argument)
        before = checked()
    topic.pause(paused=False)
    topic.away(gone=False)
    for _ in range(sum(map(len, topic.written.values()))):
        topic.poll()
    topic.passes(5)
    topic.poll()
    topic.poll()
    assert topic.clock() == topic.time


def test_a_reader_that_stood_still_reads_first_what_was_written_meanwhile():
    topic = Topic()
    topic.got(PLACES[0])
    topic.poll()
    topic.poll()
    topic.passes(3600)  # the process stood still
    topic.write(PLACES[0])
    assert topic.clock() == 100
    topic.clock.asks()  # the question that the end of the pause answers with nothing
    assert topic.clock() == 100
    topic.poll()
    topic.poll()
    assert topic.clock() == topic.time


def test_it_stands_still_while_the_brokers_are_out_of_reach():
    topic = Topic()
    topic.got(PLACES[0])
    topic.poll()
    topic.away(gone=True)
    for _ in range(10):
        topic.passes(60)
        topic.poll()
    assert topic.clock() == 100
    topic.write(PLACES[0])
    topic.away(gone=False)
    topic.poll()
    assert topic.clock() <= topic.time
    topic.poll()
    assert topic.clock() == topic.time


def test_a_record_without_a_timestamp_holds_it_where_it_was():
    topic = Topic()
    topic.got(PLACES[0])
    topic.poll()
    topic.passes(10)
    topic.clock.asks()
    topic.clock.read(PLACES[0], None)
    assert topic.clock() <= 100


def test_the_end_of_a_partition_that_comes_while_others_are_paused_counts():
    topic = Topic()
    topic.got(PLACES[0])
    topic.pause(paused=True)
    topic.clock.got([PLACES[1]])  # partitions move: what is new is not paused
    topic.passes(5)
    topic.clock.read_all(PLACES[1], topic.time)
    topic.clock.read_all(PLACES[0], topic.time)  # what it has read may still wait for room
    assert topic.clock() == 100
    topic.pause(paused=False)
    topic.clock.read_all(PLACES[0], topic.time)
    assert topic.clock() == topic.time
