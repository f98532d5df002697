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
        st.tuples(st.just("pause"), st.booleans()),
        st.tuples(st.sampled_from(["got", "lost"]), st.sampled_from(PLACES)),
    ),
    max_size=60,
)


class Topic:
    """A topic, and one reader of it who is told of ends as librdkafka tells of them."""

    def __init__(self):
        self.time = 100.0
        self.clock = TopicClock(lambda: self.time, lambda: self.time + SKEW)
        self.written = {place: [] for place in PLACES}
        self.told = dict.fromkeys(PLACES, False)
        self.mine, self.paused = set(), False

    def write(self, place):
        self.written[place].append(self.time)
        self.told[place] = False

    def passes(self, seconds):
        self.time += seconds

    def pause(self, paused):
        self.paused = paused
        self.clock.pause(paused=paused)
        self.told = dict.fromkeys(PLACES, False)

    def got(self, place):
        if place not in self.mine:
            self.mine.add(place)
            self.told[place] = False
            self.clock.got([place])

    def lost(self, place):
        self.mine.discard(place)
        self.clock.lost([place])

    def poll(self, _=0):
        self.clock.asks()
        for place in sorted(self.mine):
            if self.paused:
                break
            if self.written[place]:
                self.clock.read(place, self.written[place].pop(0) + SKEW)
                return
            if not self.told[place]:
                self.told[place] = True
                self.clock.ended(place)
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
        # What is written to a partition that was read to its end is found by the next question or the
        # one after it: no time passes unasked.
        topic.poll()
        before = checked()
        getattr(topic, what)(argument)
        before = checked()
    topic.pause(paused=False)
    for _ in range(sum(map(len, topic.written.values())) + 6):
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
    topic.clock.ended(PLACES[1])
    topic.clock.ended(PLACES[0])  # found before the pause, told after it
    topic.pause(paused=False)
    topic.clock.ended(PLACES[0])
    topic.passes(5)
    topic.clock.asks()
    topic.clock.asks()
    assert topic.clock() == topic.time
