"""What is remembered of traces that ended, and of those that were sampled out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.tracing.mlflow_adapter import TraceFacts
from mlflow_otel.tracing.recent import KnownTrace, RecentTraces

LIMIT = 4


def known(trace_id, request=None):
    return KnownTrace(trace_id, TraceFacts(client_request_id=request), None)


class UnderWay:
    """Traces that have not ended."""

    def __init__(self, *traces):
        self.traces = traces

    def find(self, trace_id):
        return next((one for one in self.traces if one.trace_id == trace_id), None)

    def of_request(self, request):
        return [one for one in self.traces if one.facts.client_request_id == request]


TRACES = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([None, "a", "b"])), max_size=20)


@settings(max_examples=100, deadline=None)
@given(TRACES)
def test_the_newest_are_kept_each_once_and_found_by_id_and_request(said):
    recent, expected = RecentTraces(LIMIT), {}
    for trace_id, request in said:
        recent.remember(known(trace_id, request))
        expected.pop(trace_id, None)
        expected[trace_id] = request
    kept = list(reversed(expected.items()))[:LIMIT]
    assert [(one.trace_id, one.facts.client_request_id) for one in recent.newest()] == kept
    for trace_id in range(1, 10):
        assert (recent.get(trace_id) is not None) == (trace_id in dict(kept))
    for request in ("a", "b"):
        found = [one.trace_id for one in recent.of_request(request)]
        assert found == [trace_id for trace_id, its in kept if its == request]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=20, unique=True))
def test_the_newest_that_were_sampled_out_are_known(trace_ids):
    recent = RecentTraces(LIMIT)
    for trace_id in trace_ids:
        recent.note_sampled_out(trace_id)
    assert [one for one in trace_ids if recent.was_sampled_out(one)] == trace_ids[-LIMIT:]


def test_what_is_under_way_comes_first_and_counts_once():
    recent, live = RecentTraces(LIMIT), UnderWay(known(2, "a"), known(3, "b"))
    recent.watch(live)
    for trace_id in (1, 2):
        recent.remember(known(trace_id, "a"))
    assert [one.trace_id for one in recent.of_request("a")] == [2, 1]
    assert recent.get(3) is live.traces[1]
    assert recent.of_request("c") == []


def test_a_change_of_a_trace_that_is_forgotten_changes_nothing():
    recent = RecentTraces(LIMIT)
    recent.remember(known(1))
    recent.change(known(1, "a"))
    recent.change(known(2, "a"))
    assert recent.get(1).facts.client_request_id == "a"
    assert recent.get(2) is None
