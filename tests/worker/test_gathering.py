"""Traces are held until they are quiet: each is released once, whole, and its senders are told once."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from mlflow_otel.accounting import Accounting
from mlflow_otel.holding.held_trace import HoldBounds
from mlflow_otel.receiver.tickets import Ticket
from mlflow_otel.worker.arrivals import Arrival, Source
from mlflow_otel.worker.gathering import Gatherer

SOURCE = Source(ResourceSpans())


def span(trace, number, root):
    parent = b"" if root else (1).to_bytes(8, "big")
    made = Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent,
    )
    return Arrival(made, SOURCE, "")


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    pauses=st.lists(st.floats(0, 4), min_size=1, max_size=40),
    seed=st.integers(0, 2**32),
    rooted=st.booleans(),
)
def test_every_span_is_released_once_and_every_sender_told_once(sizes, pauses, seed, rooted):
    chance = random.Random(seed)
    now = [0.0]
    accounting = Accounting()
    bounds = HoldBounds(1000, 1000, 10**9, 1e9, 10_000)
    gatherer = Gatherer(bounds, 5, 20, lambda _: (), accounting, lambda: now[0])
    spans = [
        span(trace, number, root=rooted and number == 1)
        for trace, size in enumerate(sizes, 1)
        for number in range(1, size + 1)
    ]
    chance.shuffle(spans)
    left, told, requests = [], [], 0
    while spans:
        number = chance.randint(1, 5)
        request, spans = spans[:number], spans[number:]
        ticket = Ticket(lambda: told.append(1))
        left += gatherer.add(request, ticket)
        ticket.let_go()
        requests += 1
        now[0] += pauses[requests % len(pauses)]
        left += gatherer.due()
    now[0] += 21  # more than the 20: sums of floats come out a little smaller
    left += gatherer.due()
    assert all(one.whole for one in left)
    assert gatherer.stats() == {"traces": 0, "items": 0, "bytes": 0}
    ids = [(one.trace_id, arrival.span_id) for one in left for arrival in one.arrivals]
    assert len(ids) == len(set(ids))
    assert len(ids) + accounting.snapshot().get("late", 0) == sum(sizes)
    assert len({one.trace_id for one in left}) == len(left)
    for one in left:
        one.done()
        one.done()
    assert len(told) == requests


def test_a_trace_past_a_bound_is_released_and_what_comes_then_is_late():
    accounting = Accounting()
    gatherer = Gatherer(HoldBounds(10, 3, 10**9, 1e9, 100), 5, 20, lambda _: (), accounting)
    (one,) = gatherer.add([span(1, number, root=False) for number in range(1, 5)])
    assert not one.whole
    assert len(one.arrivals) == 4
    assert gatherer.add([span(1, 5, root=True)]) == []
    counted = accounting.snapshot()
    assert (counted["released_early.items"], counted["late"]) == (1, 1)


def test_what_another_worker_gets_again_is_dropped_and_begins_anew_if_it_comes_back():
    told = []
    now = [0.0]
    bounds = HoldBounds(10, 100, 10**9, 1e9, 100)
    gatherer = Gatherer(bounds, 5, 20, lambda _: (), Accounting(), lambda: now[0])
    for trace, origin in ((1, "a"), (2, "b")):
        ticket = Ticket(lambda trace=trace: told.append(trace), origin)
        gatherer.add([span(trace, 1, root=True)], ticket)
        ticket.let_go()
    gatherer.forget(["a"])
    assert told == [1]
    assert gatherer.stats()["items"] == 1
    gatherer.add([span(1, 1, root=True), span(1, 2, root=False)])
    now[0] = 5
    assert {one.trace_id: len(one.arrivals) for one in gatherer.due()} == {1: 2, 2: 1}


def test_a_trace_is_quiet_in_the_topics_time_unless_there_is_no_room_to_read_on():
    topic, now = [0.0], [0.0]
    bounds = HoldBounds(4, 100, 10**9, 1e9, 100)
    gatherer = Gatherer(bounds, 5, 20, lambda _: (), Accounting(), lambda: topic[0], lambda: now[0])
    gatherer.add([span(1, 1, root=True)])
    now[0] = 1000  # the reader is behind: the rest of the trace may lie in the topic
    assert gatherer.due() == []
    gatherer.add([span(1, 2, root=False)])
    topic[0] = 5
    (one,) = gatherer.due()
    assert len(one.arrivals) == 2
    gatherer.add([span(trace, 1, root=True) for trace in (2, 3, 4)])
    assert gatherer.is_full
    assert gatherer.due() == []
    now[0] += 5  # nothing is read any more, so that the topic's time stands still
    assert len(gatherer.due()) == 3
