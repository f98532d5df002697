"""Asking the real Jaeger: what it gives back of what was sent, and the newest of many."""

from __future__ import annotations

import itertools
import time

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.backends.jaeger import JaegerBackend
from mlflow_otel.backends.model import Condition, TraceQuery
from tests.backends import servers

pytestmark = pytest.mark.backend
NOW = time.time_ns()
SECOND = 10**9
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as (url, _, http):
        yield url, http


def send(http, service, *traces, times=1):
    """Send traces, each a list of (start, attributes); the first span of each is the root.

    As often as ``times`` says: an exporter that got no answer sends once more.
    """
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    name = holder.resource.attributes.add(key="service.name")
    name.value.string_value = service
    spans = holder.scope_spans.add().spans
    sent = []
    for trace in traces:
        identity = next(numbers)
        sent.append(identity)
        root = None
        for start, attributes in trace:
            span = spans.add(
                name="s",
                trace_id=identity.to_bytes(16, "big"),
                span_id=next(numbers).to_bytes(8, "big"),
                parent_span_id=root or b"",
                start_time_unix_nano=start,
                end_time_unix_nano=start + 1501,
            )
            root = root or span.span_id
            for key, value in attributes.items():
                fill(span.attributes.add(key=key).value, value)
    for _ in range(times):
        httpx.post(
            f"http://127.0.0.1:{http}/v1/traces",
            content=request.SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
        ).raise_for_status()
    return sent


def fill(target, value):
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, list):
        for item in value:
            fill(target.array_value.values.add(), item)
    else:
        for key, item in value.items():
            fill(target.kvlist_value.values.add(key=key).value, item)


def entry(**attributes):
    return {"mlflow.trace.state": "OK", **attributes}


def asked(condition=None, *, limit=20, services=(), start=NOW - 3600 * SECOND, end=NOW + SECOND):
    conditions = () if condition is None else tuple(itertools.starmap(Condition, condition.items()))
    return TraceQuery(conditions, start, end, services, limit)


def when(condition, seconds=30):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "Jaeger does not have it"
        time.sleep(0.2)
    return found


def test_a_trace_comes_back_as_it_was_sent(jaeger):
    url, http = jaeger
    values = {
        "text": "ä",
        "n": 42,
        "x": 1.5,
        "yes": True,
        "many": ["a", "b"],
        "nested": {"a": {"b": 1}},
    }
    start = NOW - 60 * SECOND + 123
    child = start - 3600 * SECOND  # clocks apart: Jaeger warns about it in what it answers
    (identity,) = send(http, "whole", [(start, entry(**values)), (child, {})])
    backend = JaegerBackend(url)
    trace = when(lambda: backend.get(identity, 5))
    for _ in range(2):  # each read used to add a warning to what is stored
        trace = backend.get(identity, 5)
    assert "@jaeger@warnings" in httpx.get(f"{url}/api/v3/traces/{identity:032x}").text
    root = next(span for span in trace.spans if span.parent_id is None)
    assert (root.start, root.end) == (start, start + 1501)
    assert root.attributes == entry(**values)
    assert root.resource == {"service.name": "whole"}
    assert trace.summary.root == root.span_id
    assert not any(key.startswith("@jaeger@") for span in trace.spans for key in span.attributes)
    assert backend.get(10**30, 5) is None
    assert "whole" in backend.services(5)


def test_conditions_hold_for_one_span_and_are_compared_as_text(jaeger):
    url, http = jaeger
    one = [(NOW, entry(a="1", b="2"))]
    apart = [(NOW, entry(a="1")), (NOW, {"b": "2"})]
    number = [(NOW, entry(a=1, b=2))]
    first, second, third = send(http, "conditions", one, apart, number)
    backend = JaegerBackend(url)
    when(lambda: len(backend.find(asked(services=["conditions"]), 5)) == 3)
    both = backend.find(asked({"a": "1", "b": "2"}, services=["conditions"]), 5)
    assert {trace.trace_id for trace in both} == {first, third}
    assert second in {t.trace_id for t in backend.find(asked({"a": "1"}), 5)}
    assert backend.find(asked({"a": "2"}), 5) == []
    assert backend.find(asked({"a": "1"}, services=["no such service"]), 5) == []
    named = asked({"a": "1", "b": "2"}, services=["conditions"])
    assert len(backend.find(named._replace(name="s"), 5)) == len(both)
    assert backend.find(named._replace(name="another"), 5) == []


def test_the_newest_come_of_more_traces_than_are_asked_for(jaeger):
    url, http = jaeger
    starts = [NOW - minutes * 60 * SECOND for minutes in range(59)]
    for start in starts[::2] + starts[1::2]:
        send(http, "many", [(start, entry(**{"session.id": "s"}))])
    backend = JaegerBackend(f"{url}?service=many")
    when(lambda: len(backend.find(asked({"session.id": "s"}, limit=100), 10)) == 59)
    found = backend.find(asked({"session.id": "s"}, limit=5), 10)
    assert [trace.start // 1000 for trace in found] == [start // 1000 for start in starts[:5]]
    until = starts[20]
    older = backend.find(asked({"session.id": "s"}, limit=3, end=until), 10)
    assert [trace.start // 1000 for trace in older] == [start // 1000 for start in starts[20:23]]


def test_a_jaeger_that_holds_few_traces_is_asked_for_fewer(tmp_path):
    """It refuses a limit that is not below the number of traces that it holds."""
    with servers.jaeger(tmp_path, traces=15) as (url, _, http):
        sent = send(http, "few", *([(NOW - n * SECOND, entry())] for n in range(10)))
        backend = JaegerBackend(url)
        when(lambda: len(backend.find(asked(services=["few"], limit=200), 5)) == len(sent))
        window = backend.window(asked(services=["few"], limit=200), 5)
        assert {trace.summary.trace_id for trace in window.traces} == set(sent)
        assert window.complete
