"""What MLflow's charts ask for: counted over every trace, read once, late changes included."""

from __future__ import annotations

import threading
import time

import pytest
from mlflow.entities import Feedback
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.exceptions import MlflowException

from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import BackendSpan
from mlflow_otel.mapping.experiment import experiment_id
from mlflow_otel.store import summaries
from tests.store.held import MILLISECOND, NOW, SECOND, HeldTraces, numbers, store_on

SHOP = experiment_id("shop")
COUNT = MetricAggregation(AggregationType.COUNT)


class Counted(MemoryBackend):
    """Counts what it is asked."""

    asked = 0

    def window(self, query, timeout):
        self.asked += 1
        time.sleep(0.01)
        return super().window(query, timeout)


@pytest.fixture
def held():
    return HeldTraces()


def points(store, view, metric, *kinds, dimensions=(), filters=(), **fields):
    aggregations = [
        MetricAggregation(kind, 50 if kind is AggregationType.PERCENTILE else None)
        for kind in kinds
    ]
    found = store.query_trace_metrics(
        [SHOP], view, metric, aggregations, list(dimensions), list(filters), **fields
    )
    return [(point.dimensions, point.values) for point in found]


def count(store):
    ((_, values),) = points(store, MetricViewType.TRACES, "trace_count", AggregationType.COUNT)
    return values["COUNT"]


def test_many_charts_at_once_read_the_traces_once(held):
    for number in range(500):
        held.add(NOW - number * SECOND)
    backend = Counted(held)
    store = store_on(held, backend)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(count(store))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [500] * 8
    before = backend.asked
    assert count(store) == 500
    assert backend.asked == before


def test_what_is_new_or_was_changed_since_is_counted(held):
    trace_id = held.add()
    clock = [0.0]
    store = store_on(held)
    store.traces._summaries._clock = lambda: clock[0]
    view, name = MetricViewType.ASSESSMENTS, "assessment_count"
    assert count(store) == 1
    assert points(store, view, name, AggregationType.COUNT) == [({}, {"COUNT": 0})]
    other = store_on(held)  # another process, as far as the first one knows
    other.create_assessment(
        Feedback("ok", value=True, trace_id=trace_id, create_time_ms=NOW // MILLISECOND)
    )
    held.add(NOW)
    assert count(store) == 1  # as read
    clock[0] += summaries.FRESH_SECONDS
    assert count(store) == 2
    assert points(store, view, name, AggregationType.COUNT) == [({}, {"COUNT": 1})]
    store.create_assessment(Feedback("ok", value=False, trace_id=trace_id))
    assert points(store, view, name, AggregationType.COUNT) == [
        ({}, {"COUNT": 2})
    ]  # its own, at once


def test_a_trace_that_came_long_after_it_began_and_one_that_was_dropped_are_counted_right(held):
    dropped = held.add(NOW - 7200 * SECOND)
    clock = [0.0]
    store = store_on(held)
    store.traces._summaries._clock = lambda: clock[0]
    assert count(store) == 1
    held.add(NOW - 3600 * SECOND)
    held.add(NOW - 3500 * SECOND)
    del held.spans[int(dropped.removeprefix("tr-"), 16)]
    clock[0] += summaries.FRESH_SECONDS
    assert count(store) == 0  # what came long after it began is found when all is read anew
    clock[0] += summaries.ANEW_SECONDS
    assert count(store) == 2


@pytest.mark.parametrize("dropped", [0, 1, 4, 9, 10])
def test_what_the_backend_dropped_is_forgotten_at_the_next_look(held, dropped):
    traces = [held.add(NOW - (20 - number) * SECOND) for number in range(10)]
    clock = [0.0]
    store = store_on(held)
    store.traces._summaries._clock = lambda: clock[0]
    assert count(store) == 10
    for trace in traces[:dropped]:  # the oldest, or all: it was started anew
        del held.spans[int(trace.removeprefix("tr-"), 16)]
    held.add(NOW)
    clock[0] += summaries.FRESH_SECONDS
    assert count(store) == 10 - dropped + 1


def test_more_than_can_be_counted_is_refused_and_a_shorter_time_is_answered(held, monkeypatch):
    monkeypatch.setattr(summaries, "MOST_KEPT", 20)
    for number in range(30):
        held.add(NOW - number * 10 * 3600 * SECOND)
    store = store_on(held)
    with pytest.raises(MlflowException, match="shorter time"):
        count(store)
    recent = {"start_time_ms": (NOW - 100 * 3600 * SECOND) // MILLISECOND}
    kind, view = AggregationType.COUNT, MetricViewType.TRACES
    assert points(store, view, "trace_count", kind, **recent) == [({}, {"COUNT": 11})]


def test_values_are_put_together_as_mlflows_server_does(held):
    for number in range(1, 5):
        span = BackendSpan(
            next(numbers),
            None,
            "call",
            NOW,
            NOW + number * MILLISECOND,
            {"mlflow.spanType": "CHAT_MODEL", "mlflow.llm.cost.total_cost": number / 10},
        )
        held.add(spans=[span], **{"mlflow.trace.token_usage.total_tokens": number})
    store = store_on(held)
    kinds = [getattr(AggregationType, name) for name in ("SUM", "AVG", "MIN", "MAX", "PERCENTILE")]
    ((_, values),) = points(store, MetricViewType.TRACES, "total_tokens", *kinds)
    assert values == {"SUM": 10, "AVG": 2.5, "MIN": 1, "MAX": 4, "P50": 2.5}
    ((_, values),) = points(store, MetricViewType.SPANS, "total_cost", AggregationType.SUM)
    assert values == {"SUM": pytest.approx(1.0)}
    ((dimensions, values),) = points(
        store,
        MetricViewType.SPANS,
        "latency",
        AggregationType.MAX,
        dimensions=["span_name"],
        filters=["span.type = 'CHAT_MODEL'"],
    )
    assert (dimensions, values) == ({"span_name": "call"}, {"MAX": 4})
    ((dimensions, _),) = points(
        store,
        MetricViewType.TRACES,
        "trace_count",
        AggregationType.COUNT,
        time_interval_seconds=3600,
        start_time_ms=NOW // MILLISECOND - 10_000,
        end_time_ms=NOW // MILLISECOND,
    )
    assert dimensions == {"time_bucket": "2023-11-14T22:00:00+00:00"}


@pytest.mark.parametrize(
    ("metric", "kind", "fields"),
    [
        ("color", AggregationType.COUNT, {}),
        ("trace_count", AggregationType.SUM, {}),
        ("trace_count", AggregationType.COUNT, {"dimensions": ["span_name"]}),
        ("trace_count", AggregationType.COUNT, {"filters": ["status = 'OK'"]}),
        ("trace_count", AggregationType.COUNT, {"filters": ["span.name = 'x'"]}),
        ("trace_count", AggregationType.COUNT, {"time_interval_seconds": 60}),
    ],
)
def test_what_is_no_chart_of_mlflows_is_refused(held, metric, kind, fields):
    with pytest.raises(MlflowException) as caught:
        points(store_on(held), MetricViewType.TRACES, metric, kind, **fields)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
