"""Requests that are cut to a receiver's limit, and items that are made to fit: whatever they hold."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.otlp import envelope, split, wire
from mlflow_otel.otlp.envelope import ITEM, Group

FRAME_BYTES = 12
"""Of tags and lengths around a resource and a scope, at most."""
properties = settings(max_examples=60, deadline=None)


def field(message):
    return wire.field(ITEM, message.SerializeToString())


def group_of(name, resource, scope, sizes, numbers):
    """Return a group with spans of so many bytes of name, each with a number of its own."""
    spans = [Span(name="x" * size, kind=1, dropped_links_count=next(numbers)) for size in sizes]
    return Group(
        b"\x0a\x00" + wire.string(b"\x1a", name + "r" * resource),
        b"\x0a\x00" + wire.string(b"\x1a", "s" * scope),
        list(map(field, spans)),
    )


groups = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.lists(st.integers(0, 200), max_size=8)),
    max_size=4,
)


@properties
@given(groups, st.integers(400, 3000))
def test_requests_hold_every_item_in_its_order_with_its_resource_and_are_as_full_as_they_may_be(
    said, limit
):
    numbers = itertools.count(1)
    made = [group_of(str(n), *group, numbers) for n, group in enumerate(said)]
    counted = []
    pieces = list(split.cut(made, limit, "traces", counted.append))
    there = [envelope.parse(piece.body, "traces") for piece in pieces]
    sent = [(g.resource, g.scope, item) for piece in there for g in piece for item in g.items]
    assert sent == [(g.resource, g.scope, item) for g in made for item in g.items]
    assert counted == []
    for piece, held in zip(pieces, there, strict=True):
        assert piece.number == sum(len(group.items) for group in held) > 0
        assert len(piece.body) <= limit
    for (piece, held), after in itertools.pairwise(zip(pieces, there, strict=True)):
        first = after[1][0]
        joined = held[-1].resource == first.resource and held[-1].scope == first.scope
        frame = 0 if joined else len(first.resource) + len(first.scope) + FRAME_BYTES
        assert len(piece.body) + FRAME_BYTES * len(held) + frame + len(first.items[0]) > limit


def attributes(message, said):
    for key, value in said:
        pair = message.attributes.add(key=key)
        if isinstance(value, str):
            pair.value.string_value = value
        elif isinstance(value, bytes):
            pair.value.bytes_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        else:
            for text in value:
                pair.value.array_value.values.add().string_value = text


long = st.tuples(st.sampled_from(["x", "é", "🙂", '{"a": "'])).flatmap(
    lambda drawn: st.integers(0, 900).map(lambda times: drawn[0] * times)
)
values = long | st.binary(max_size=900) | st.integers(0, 9) | st.lists(long, max_size=4)
keys = st.sampled_from(["k", "input.value", "é" * 40, "key" * 150])
pairs = st.lists(st.tuples(keys, values), max_size=8)


@st.composite
def items(draw):
    if draw(st.booleans()):
        item = LogRecord(time_unix_nano=1)
        item.body.string_value = draw(long)
    else:
        item = Span(name=draw(long), trace_id=b"t" * 16)
        item.status.message = draw(long)
        for holder in (item.events, item.links):
            for _ in range(draw(st.integers(0, 3))):
                attributes(holder.add(), draw(pairs))
    attributes(item, draw(pairs))
    return item


def marks(item):
    """Return what an item says was truncated."""
    found = [p.value.array_value.values for p in item.attributes if p.key == split.TRUNCATED]
    assert len(found) <= 1
    return [mark.string_value for values in found for mark in values]


def every_value(item):
    """Return each value by its name, the marks aside, and how many bytes it has."""
    for holder in (item, *getattr(item, "events", ()), *getattr(item, "links", ())):
        for pair in holder.attributes:
            if pair.key != split.TRUNCATED:
                yield pair.key, pair.value
    if isinstance(item, Span):
        yield "name", item.name
        yield "status.message", item.status.message
    else:
        yield "body", item.body


def bytes_of(value):
    if isinstance(value, str):
        return len(value.encode())
    kind = value.WhichOneof("value")
    return len(value.string_value.encode()) if kind == "string_value" else value.ByteSize()


@properties
@given(items(), st.integers(1500, 6000))
def test_whatever_is_too_large_fits_afterwards_and_says_what_was_truncated(item, limit):
    before = type(item)()
    before.CopyFrom(item)
    had = [(name, bytes_of(value)) for name, value in every_value(item)]
    assert split.truncate(item, limit) is (item != before)
    if before.ByteSize() <= limit:
        assert item == before
        return
    of_links = sum(link.ByteSize() + 3 for link in getattr(item, "links", ()))  # they stay
    assert item.ByteSize() <= limit + of_links
    said = marks(item)
    for mark in said:
        name, _, size = mark.rpartition("=")
        assert (name, int(size)) in had
    left = len(item.attributes) - bool(said)
    assert item.dropped_attributes_count - (len(before.attributes) - left) in (
        {0} if said else {0, 1}
    )
    if isinstance(item, Span):
        assert item.dropped_events_count == len(before.events) - len(item.events)
        assert (item.trace_id, len(item.links)) == (before.trace_id, len(before.links))


@properties
@given(st.lists(values, max_size=8), st.integers(3000, 9000), st.booleans())
def test_what_is_left_of_a_value_is_its_beginning_and_no_more_goes_than_must(said, limit, as_log):
    item = LogRecord() if as_log else Span()
    attributes(item, [*((f"k{n}", value) for n, value in enumerate(said)), ("k", "éß" * 5000)])
    before = {
        pair.key: pair.value for pair in type(item).FromString(item.SerializeToString()).attributes
    }
    assert split.truncate(item, limit)
    assert item.ByteSize() <= limit
    assert marks(item)[0] == "k=20000"
    assert len(marks(item)) > 1 or item.ByteSize() > limit - 80
    after = {pair.key: pair.value for pair in item.attributes if pair.key != split.TRUNCATED}
    assert list(after) == list(before)
    for key, value in after.items():
        if value == before[key]:
            continue
        if before[key].WhichOneof("value") == "bytes_value":
            assert before[key].bytes_value.startswith(value.bytes_value)
        elif before[key].WhichOneof("value") == "string_value":
            assert value.string_value.endswith("…")
            assert before[key].string_value.startswith(value.string_value[:-1])
        else:
            assert value.string_value == "…"


def span_with(*said, **others):
    span = Span(**others)
    attributes(span, said)
    return span


def test_only_the_largest_values_are_truncated_as_far_as_must_be():
    span = span_with(("small", "s"), ("large", "é" * 10_000), ("larger", "x" * 50_000))
    assert split.truncate(span, 45_000)
    small, large, larger, _ = (pair.value.string_value for pair in span.attributes)
    assert (small, large) == ("s", "é" * 10_000)
    assert larger == "x" * (len(larger) - 1) + "…"
    assert 45_000 - 80 < span.ByteSize() <= 45_000
    assert marks(span) == ["larger=50000"]


@pytest.mark.parametrize("holder", ["events", "links"])
def test_a_large_value_of_an_event_or_a_link_is_truncated_and_its_holder_stays(holder):
    span = Span()
    attributes(getattr(span, holder).add(), [("k", "x" * 5000)])
    assert split.truncate(span, 1000)
    (found,) = getattr(span, holder)
    assert 1000 - 80 < span.ByteSize() <= 1000
    assert found.attributes[0].value.string_value.endswith("x…")
    assert marks(span) == ["k=5000"]


@pytest.mark.parametrize(
    ("length", "cut"), [(253, False), (254, True)]
)  # 256 bytes with what stands before it
def test_values_are_truncated_from_a_size_on_and_smaller_ones_dropped_whole(length, cut):
    span = span_with(*((f"k{number}", "x" * length) for number in range(9)))
    assert split.truncate(span, 1000)
    assert bool(marks(span)) is cut
    left = {len(p.value.string_value) for p in span.attributes if p.key != split.TRUNCATED}
    assert (length in left) is not cut


def test_there_is_room_for_what_says_that_a_value_with_a_long_key_was_truncated():
    key = "k" * 3000
    span = span_with((key, "x" * 50_000), ("small", "s"))
    assert split.truncate(span, 20_000)
    assert span.ByteSize() <= 20_000
    assert (marks(span), span.dropped_attributes_count) == ([f"{key}=50000"], 0)


def test_small_values_are_kept_whole_and_so_is_what_of_a_text_says_what_it_was():
    span = span_with(("k", "x" * 254), *((f"k{n}", "y" * 600) for n in range(20)))
    assert split.truncate(span, 4500)
    whole, *others = (
        pair.value.string_value for pair in span.attributes if pair.key != split.TRUNCATED
    )
    assert whole == "x" * 254
    assert min(map(len, others)) == 128 + 1
    assert span.dropped_attributes_count == 0


def test_an_item_that_fits_to_the_byte_is_left_as_it_is():
    for span in (span_with(("k", "x" * 5000)), span_with(name="n" * 5000)):
        size = span.ByteSize()
        assert not split.truncate(span, size)
        assert (span.ByteSize(), marks(span)) == (size, [])
        assert split.truncate(span, size - 1)


def test_an_item_that_is_truncated_again_says_how_long_its_values_were_at_first():
    """A server may have a smaller limit than ours."""
    span = span_with(("a", "x" * 50_000), ("b", "y" * 40_000), ("c", "z" * 900))
    for limit in (70_000, 30_000, 1000):
        assert split.truncate(span, limit)
        assert span.ByteSize() <= limit
        assert marks(span)[0] == "a=50000"
    assert marks(span) == ["a=50000", "b=40000", "c=900"]


@pytest.mark.parametrize("key", ["k" * 50_000, "é" * 50_000])
def test_a_key_that_is_too_long_costs_its_attribute_alone(key):
    span = span_with((key, 1), ("other", "x" * 100), name="n")
    assert split.truncate(span, 10_000)
    assert [(pair.key, pair.value.string_value) for pair in span.attributes] == [
        ("other", "x" * 100)
    ]
    assert span.dropped_attributes_count == 1
    (alone,) = (span_with((key, 1), name="n"),)
    assert split.truncate(alone, 10_000)
    assert (list(alone.attributes), alone.dropped_attributes_count) == ([], 1)


def test_many_small_values_that_are_too_much_are_dropped_the_largest_first():
    span = span_with(
        *((f"k{number}", "x" * number) for number in range(200)), dropped_attributes_count=3
    )
    assert split.truncate(span, 5000)
    kept = [pair.key for pair in span.attributes]
    assert kept == [f"k{number}" for number in range(len(kept))]
    assert span.dropped_attributes_count == 3 + 200 - len(kept)
    assert 4700 < span.ByteSize() <= 5000


def test_events_go_before_attributes_the_last_first():
    span = span_with(("k", "x" * 200), dropped_events_count=2)
    for number in range(50):
        span.events.add(name=f"e{number}", time_unix_nano=1)
    assert split.truncate(span, 500)
    assert [event.name for event in span.events] == [f"e{n}" for n in range(len(span.events))]
    assert span.dropped_events_count == 2 + 50 - len(span.events)
    assert 470 < span.ByteSize() <= 500
    assert len(span.attributes) == 1


def test_what_says_what_was_truncated_is_the_last_to_be_dropped():
    span = span_with(("long", "x" * 500), *((f"k{number}", "x" * 120) for number in range(20)))
    assert split.truncate(span, 300)
    assert [pair.key for pair in span.attributes][-1] == split.TRUNCATED
    assert span.ByteSize() <= 300


LARGE = 20_000


def made_large(signal):
    text = "x" * LARGE
    if signal == "traces":
        return Span(name=text), Span(name="small")
    if signal == "logs":
        large = LogRecord()
        large.body.string_value = text
        return large, LogRecord(severity_text="small")
    return Metric(name=text), Metric(name="small")


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_one_item_that_is_too_large_is_truncated_and_counted_and_the_others_are_as_they_were(
    signal,
):
    large, small = made_large(signal)
    group = Group(wire.string(b"\x1a", "r" * 50), b"", [field(small), field(large), field(small)])
    limit, counted = 5000, []
    pieces = list(split.cut([group], limit, signal, counted.append))
    sent = [
        item
        for piece in pieces
        for found in envelope.parse(piece.body, signal)
        for item in found.items
    ]
    assert (sent[0], sent[2], len(sent)) == (field(small), field(small), 3)
    assert sum(piece.number for piece in pieces) == 3
    if signal == "metrics":  # nothing that can be cut
        assert (sent[1], counted) == (field(large), [])
        return
    assert counted == ["truncated"]
    assert max(len(piece.body) for piece in pieces) <= limit
    name = "name" if signal == "traces" else "body"
    assert marks(envelope.item(sent[1], signal)) == [f"{name}={LARGE}"]


@pytest.mark.parametrize("over", [0, 1])
def test_an_item_is_truncated_only_when_it_does_not_fit_with_what_stands_around_it(over):
    group = Group(wire.string(b"\x1a", "r" * 50), wire.string(b"\x1a", "s" * 50), [])
    group.items.append(field(span_with(("k", "x" * 5000))))
    size = len(group.items[0]) + len(group.resource) + len(group.scope) + FRAME_BYTES
    counted = []
    (piece,) = split.cut([group], size - over, "traces", counted.append)
    assert counted == ["truncated"] * over
    assert len(piece.body) <= size - over
