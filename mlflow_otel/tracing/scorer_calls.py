"""Marks what a scorer calls: its traced calls are not scored, and leave only if asked for.

The mark is a context variable: it is there in the thread that runs a scorer, and in what that thread
hands its context to. Python gives a new thread an empty context. So a thread that is started by a
scorer, one of a ``ThreadPoolExecutor`` too, is marked by itself, for as long as the scorer runs:
without that a judge that calls its model in threads would be scored for its own calls, and these again.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanContext, TraceFlags

from mlflow_otel.conventions import mlflow as keys


@dataclass(eq=False, slots=True)
class ScorerCall:
    """A scorer at work.

    Args:
        scorer: Its name.
        trace_id: OpenTelemetry's ID of the trace that it judges.
        span_id: The span ID of that trace's local root.
        ended: Whether it has returned: then threads that it started belong to others, too.
    """

    scorer: str
    trace_id: int
    span_id: int
    ended: bool = False


current: Final[ContextVar[ScorerCall | None]] = ContextVar("mlflow_otel_scorer", default=None)
"""The scorer that this code is called by, or None."""
_of_thread: Final = threading.local()
_asked: Final = itertools.count()  # no lock: a forked child would share it


def at_work() -> ScorerCall | None:
    """Return the scorer that calls this code, or that has started its thread and still runs."""
    call = current.get()
    if call is not None:
        return call
    started_by: ScorerCall | None = getattr(_of_thread, "call", None)
    return None if started_by is None or started_by.ended else started_by


def follow_threads() -> None:
    """See to it that threads which scorers start are marked. Called before the first scorer runs.

    ``threading.Thread.start`` is wrapped once, as OpenTelemetry's instrumentation of threads wraps it.
    Threads that others start are not changed.
    """
    if next(_asked):  # not the first
        return
    start = threading.Thread.start

    @functools.wraps(start)
    def start_marked(thread: threading.Thread) -> None:
        call = at_work()
        if call is not None:
            thread.run = functools.partial(_run, thread, thread.run, call)  # type: ignore[method-assign]
        start(thread)

    threading.Thread.start = start_marked  # type: ignore[method-assign, assignment]


def _run(thread: threading.Thread, run: Callable[[], None], call: ScorerCall) -> None:
    del thread.run  # it holds the thread
    _of_thread.call = call
    run()


def mark(span: Span, call: ScorerCall) -> None:
    """Write on the root of a scorer's own trace which scorer it is, and link it to the judged trace."""
    span.set_attribute(keys.SCORER_NAME, call.scorer)
    judged = SpanContext(call.trace_id, call.span_id, True, TraceFlags(TraceFlags.SAMPLED))
    span.add_link(judged)
