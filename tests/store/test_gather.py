"""All traces of a time, for charts: each comes once, whichever part of them a backend gives."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.backends.model import (
    BackendError,
    BackendSpan,
    TooMuchError,
    TooSlowError,
    Window,
    trace_of,
    without_spans,
)
from mlflow_otel.store import gather, scan
from mlflow_otel.store.experiments import Scope
from mlflow_otel.store.scan import MILLISECOND, Span
from tests.store.held import SECOND

END = 1000 * 1000
SCOPES = [Scope(("shop",), ())]


class Held:
    """A backend with traces at these milliseconds, that gives ``limit`` of a window, and answers so many at most."""

    def __init__(self, starts, gives="newest", most=10**9, slow=10**9):
        self.traces = {
            number: trace_of(number, [BackendSpan(number, None, "s", at * MILLISECOND, at + 1)])
            for number, at in enumerate(starts, 1)
        }
        self.gives, self.most, self.slow, self.asked = gives, most, slow, 0

    def window(self, query, timeout):
        self.asked += 1
        inside = [
            (trace.summary.start, number)
            for number, trace in self.traces.items()
            if query.start <= trace.summary.start <= query.end
        ]
        if self.gives == "any":
            random.Random(len(inside)).shuffle(inside)
        else:
            inside.sort(reverse=self.gives == "newest")
        given = inside[: query.limit]
        if len(given) > self.most:
            raise TooMuchError("too large")
        if len(given) > self.slow:
            raise TooSlowError("too slow")
        complete = len(given) < query.limit
        traces = [self.traces[number] for _, number in given]
        if not complete and query.all_or_none:
            traces = [without_spans(t.summary.trace_id, t.summary.start) for t in traces]
        return Window(traces, complete)


def gathered(backend, span):
    def whole(trace):
        assert trace.spans
        return trace.summary.trace_id

    answers = gather.gathered(backend, SCOPES, span, 5.0, whole)
    return sorted(identity for several in answers for identity in several)


@settings(max_examples=60, deadline=None)
@given(
    starts=st.lists(st.integers(0, 3000) | st.integers(0, END), max_size=150),
    gives=st.sampled_from(["newest", "oldest", "any"]),
    most=st.sampled_from([3, 1000]),
    first=st.integers(0, 2000),
    probe=st.sampled_from([3, 20]),
)
def test_every_trace_of_the_time_comes_once(starts, gives, most, first, probe):
    crowded = max((starts.count(at) for at in starts), default=0)
    backend = Held(starts, gives, max(most, crowded))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "AT_ONCE", 20)
        patch.setattr(gather, "PROBE", probe)
        patch.setattr(gather, "FEWEST", 2)
        expected = [number for number, at in enumerate(starts, 1) if at >= first]
        assert gathered(backend, Span(first, END)) == expected


@pytest.mark.parametrize("gives", ["newest", "oldest", "any"])
def test_ten_thousand_traces_in_the_last_of_thirty_days_take_few_questions(gives):
    last = 30 * 24 * 3600 * 1000
    backend = Held([last - number * 70 for number in range(10_000)], gives)
    assert len(gathered(backend, Span(0, last))) == 10_000
    assert backend.asked < 60


def test_a_backend_that_is_too_slow_for_large_answers_is_asked_for_smaller_ones():
    starts = [number * 10 for number in range(5000)]
    span = Span(0, END)
    assert len(gathered(Held(starts, slow=300), span)) == 5000
    newest_first = scan.stretches(Held(starts, slow=300), SCOPES, span, 5.0)
    assert sum(len(found.traces) for found in newest_first) == 5000
    with pytest.raises(TooSlowError):
        gathered(Held(starts, slow=10), span)


def test_a_backend_that_fails_in_between_fails_the_whole():
    backend = Held(range(100))

    def window(query, timeout, whole=backend.window):
        if query.end < 50 * MILLISECOND:
            raise BackendError("gone")
        return whole(query, timeout)

    backend.window = window
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "AT_ONCE", 20)
        patch.setattr(gather, "PROBE", 5)
        with pytest.raises(BackendError, match="gone"):
            gathered(backend, Span(0, SECOND // MILLISECOND))
