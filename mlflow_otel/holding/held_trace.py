"""One trace as the ``Holder`` keeps it, and what leaves when it is released."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, NamedTuple, TypeVar

Item = TypeVar("Item")
Trace = TypeVar("Trace")

Reason = Literal[
    "ended", "late", "unknown", "duplicate", "traces", "items", "bytes", "age", "shutdown", "asked"
]
"""Why items leave.

``ended``: everything that was expected has come. ``late``: their trace was released before.
``unknown``: their trace is not remembered. ``duplicate``: an item with this ID came before, and it must
not leave again. With every other reason items leave early: a bound was passed, the holder shuts
down, or its owner asked for it.
"""
EARLY: Final[frozenset[Reason]] = frozenset(
    {"traces", "items", "bytes", "age", "shutdown", "asked"}
)


class HoldBounds(NamedTuple):
    """How much may be held.

    Args:
        max_traces: Traces that may be under way. As many released ones are remembered.
        max_items: Items of one trace.
        max_bytes: Bytes of all items together.
        max_age: Seconds a trace may be held.
        max_ids: IDs of released items that are remembered, of all traces together, so that a
            duplicate is known after its trace was released. 0: the items that come have no duplicates.
        max_remembered_age: Seconds a released trace is remembered. None: as long as one may be held.
    """

    max_traces: int
    max_items: int
    max_bytes: int
    max_age: float
    max_ids: int = 0
    max_remembered_age: float | None = None


@dataclass(slots=True)
class HeldTrace(Generic[Item]):
    """What the holder knows of one trace. Its owner may add fields in a subclass.

    Only the holder changes these fields, under its lock.

    Args:
        since: When the trace was first met, or when it was completed. Seconds of the holder's clock.
        released: Whether items leave as soon as they come.
        expected: What the trace is held for: IDs of local roots, or any names its owner gives.
        open: IDs of items that have started and not come yet.
        items: The held items by their ID, in the order they came.
        size: Their bytes.
        left: IDs of items that left, if they are remembered.
    """

    since: float
    released: bool
    expected: tuple[Hashable, ...] = ()  # a tuple: most traces expect one thing
    open: set[int] = field(default_factory=set)
    items: dict[int, Item] = field(default_factory=dict)
    size: int = 0
    left: set[int] | None = None


@dataclass(
    slots=True
)  # not frozen: it is made in apps' threads, where that takes three times as long
class Release(Generic[Item, Trace]):
    """Items that leave together. Never changed.

    Args:
        trace_id: The ID of their trace.
        trace: Their trace, or None when it is not remembered.
        items: By ID, in the order they came. May be empty when the trace is complete.
        size: Their bytes.
        reason: Why they leave.
        complete: Whether the trace is released and no open item of it is known.
    """

    trace_id: int
    trace: Trace | None
    items: dict[int, Item]
    size: int
    reason: Reason
    complete: bool = False
