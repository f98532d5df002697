"""Changes to stored traces: each is a short span of the trace, sent over OTLP (docs/mapping.md).

What this process sent is remembered for some minutes and merged into what the backend gives, which has
it some seconds later.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from mlflow_otel.backends.model import BackendSpan, BackendTrace, trace_of
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.mapping import assessment, trace, trace_update
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import LATER_SPAN_NANOSECONDS, MappingOptions

REMEMBERED_SECONDS: Final = 600.0
MOST_REMEMBERED: Final = 10_000
SCOPE: Final = "mlflow_otel"


class LaterSpan(NamedTuple):
    """A span that is added to a trace.

    Args:
        trace_id: OpenTelemetry's ID.
        span: The span.
    """

    trace_id: int
    span: BackendSpan


class ChangeError(Exception):
    """A change was not taken. The message says why, without credentials."""


class SendsChanges(Protocol):
    """Sends spans that are added to traces."""

    def __call__(self, later: LaterSpan) -> None:
        """Send one; returns when the backend has taken it.

        Raises:
            ChangeError: It was not taken.
        """
        ...


def tags_changed(
    held: BackendTrace, tags: Mapping[str, str], removed: Sequence[str], moment: int
) -> LaterSpan:
    """Return the span that tells of changed tags.

    Args:
        held: The trace.
        tags: What is set.
        removed: Keys of what is removed.
        moment: Nanoseconds since the epoch.
    """
    stamp = _stamp(held)
    said = trace_update.attributes(tags, removed, stamp)
    return _later(held, held.summary.root, trace_update.SPAN_NAME, said, moment)


def judged(held: BackendTrace, view: AssessmentView, options: MappingOptions) -> LaterSpan:
    """Return the span that tells of an assessment that was made, changed or deleted."""
    event = assessment.event_attributes(view, _stamp(held), options)
    made = assessment.evaluation_span(view, event, options)
    over = held.summary.root if view.span_id is None else int(view.span_id, 16)
    status = "UNSET" if made.error is None else "ERROR"
    later = _later(held, over, made.name, made.attributes, made.start)
    return later._replace(span=later.span._replace(status=status, status_message=made.error or ""))


def _stamp(held: BackendTrace) -> dict[str, Any]:
    said = held.summary.attributes
    stamp = {key: said[key] for key in trace.STAMPS if key in said}
    return {keys.TRACE_ID: f"tr-{held.summary.trace_id:032x}", **stamp}


def _later(
    held: BackendTrace, over: int | None, name: str, said: Mapping[str, Any], moment: int
) -> LaterSpan:
    trace_id = held.summary.trace_id
    judged_or_root = next((span for span in held.spans if span.span_id == over), None)
    first = judged_or_root or next(iter(held.spans), None)
    return LaterSpan(
        trace_id,
        BackendSpan(
            span_id=int.from_bytes(secrets.token_bytes(8), "big") or 1,
            parent_id=over,
            name=name,
            start=moment,
            end=moment + LATER_SPAN_NANOSECONDS,
            attributes={key: value for key, value in said.items() if value is not None},
            kind="INTERNAL",
            links=() if over is None else ((trace_id, over),),
            # Found where its trace is: a search names a service.
            resource={} if first is None else first.resource,
            scope=SCOPE,
        ),
    )


class Remembered:
    """The changes that this process sent, for some minutes. Bounded.

    The lock guards the table. A forked child begins with a new lock and keeps what its parent kept.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[float, LaterSpan]] = OrderedDict()
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()

    def add(self, later: LaterSpan) -> None:
        """Remember one."""
        with self._lock:
            self._kept[later.span.span_id] = (time.monotonic(), later)
            while len(self._kept) > MOST_REMEMBERED or self._oldest_is_old():
                self._kept.popitem(last=False)

    def _oldest_is_old(self) -> bool:
        at, _ = next(iter(self._kept.values()))
        return at < time.monotonic() - REMEMBERED_SECONDS

    def merged(self, held: BackendTrace) -> BackendTrace:
        """Return a trace with the changes to it that the backend does not have yet."""
        if not self._kept:
            return held
        known = {span.span_id for span in held.spans}
        with self._lock:
            more = [
                later.span
                for _, later in self._kept.values()
                if later.trace_id == held.summary.trace_id and later.span.span_id not in known
            ]
        return trace_of(held.summary.trace_id, [*held.spans, *more]) if more else held
