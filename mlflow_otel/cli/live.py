"""Decides which received traces are shown now: each when it ends, and what comes late after it. Bounded."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mlflow_otel.cli.trace_view import Span, Verdict, verdict_of
from mlflow_otel.conventions import genai

QUIET_SECONDS: Final = 0.7  # of a trace whose root has come, before it counts as ended
ORPHAN_SECONDS: Final = 5.0  # of a trace whose root does not come
SPANS_KEPT: Final = 50_000
SHOWN_KEPT: Final = 10_000


class Shown(NamedTuple):
    """What is to be shown now.

    Args:
        spans: Of one trace; empty when only a verdict came late.
        verdicts: How it was judged.
        name: Of the trace, as far as it is known.
        session: The trace's session, or empty.
        more: Whether a part of this trace was shown before.
    """

    spans: Sequence[Span]
    verdicts: Sequence[Verdict]
    name: str
    session: str
    more: bool


@dataclass(slots=True)
class _Waiting:
    spans: list[Span] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    changed: float = 0.0
    has_root: bool = False


class LiveTraces:
    """Collects what is received until its trace has ended.

    The lock guards the traces that wait. Nothing is called and nobody waits under it.

    Args:
        spans_kept: Spans that may wait; past that the oldest traces are forgotten, and counted.
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(
        self, spans_kept: int = SPANS_KEPT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spans_kept = spans_kept
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._shown: OrderedDict[str, tuple[str, str]] = OrderedDict()  # name and session
        self._verdicts: OrderedDict[str, None] = OrderedDict()  # their IDs: event and span are one
        self._number = 0
        self._forgotten = 0

    def add(self, signal: str, records: Sequence[dict[str, Any]]) -> None:
        """Take the records of one request; metrics are not of a trace."""
        if signal == "metrics":
            return
        now = self._clock()
        with self._lock:
            for record in records:
                self._add(signal, record, now)
            while self._number > self._spans_kept:
                _, oldest = self._waiting.popitem(last=False)
                self._number -= len(oldest.spans)
                self._forgotten += len(oldest.spans)

    def _add(self, signal: str, record: dict[str, Any], now: float) -> None:
        verdict = verdict_of(record)
        if verdict is None and signal != "traces":
            return
        waiting = self._waiting.setdefault(record["trace_id"], _Waiting())
        waiting.changed = now
        if verdict is not None:
            waiting.verdicts[verdict.identity] = verdict
            return
        waiting.spans.append(record)
        self._number += 1
        waiting.has_root |= not record["parent_span_id"]

    def due(self, *, everything: bool = False) -> list[Shown]:
        """Return the traces that have ended since the last call, the oldest first.

        Args:
            everything: Whether also those that have not.
        """
        now = self._clock()
        with self._lock:
            ended = [
                trace_id
                for trace_id, waiting in self._waiting.items()
                if everything or self._has_ended(trace_id, waiting, now)
            ]
            taken = [(trace_id, self._waiting.pop(trace_id)) for trace_id in ended]
            self._number -= sum(len(waiting.spans) for _, waiting in taken)
        found = [self._show(trace_id, waiting) for trace_id, waiting in taken]
        return [one for one in found if one.spans or one.verdicts]

    def forgotten(self) -> int:
        """Return how many spans were forgotten since the last call, because they came faster than they were shown."""
        with self._lock:
            number, self._forgotten = self._forgotten, 0
        return number

    def _has_ended(self, trace_id: str, waiting: _Waiting, now: float) -> bool:
        known = waiting.has_root or trace_id in self._shown
        return now - waiting.changed >= (QUIET_SECONDS if known else ORPHAN_SECONDS)

    def _show(self, trace_id: str, waiting: _Waiting) -> Shown:
        before = self._shown.pop(trace_id, None)
        name, session = before or ("", "")
        for span in waiting.spans:
            session = str(span["attributes"].get(genai.SESSION_ID, session))
            if not span["parent_span_id"] or not name:
                name = span["name"]
        self._shown[trace_id] = (name, session)
        verdicts = [v for i, v in waiting.verdicts.items() if i not in self._verdicts]
        self._verdicts.update(dict.fromkeys(waiting.verdicts))
        for kept in (self._shown, self._verdicts):
            while len(kept) > SHOWN_KEPT:
                kept.popitem(last=False)
        return Shown(waiting.spans, verdicts, name, session, more=before is not None)
