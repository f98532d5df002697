"""What ``order_by`` of ``mlflow.search_traces`` says, and traces put in that order.

As MLflow's server: the newest first unless said otherwise, then by the trace's ID; a trace that has no
value for a key comes after those that have one, whichever way the order goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.filtering.grammar import ALIASES, ENTITIES, NUMERIC, Entity, FilterError, bare
from mlflow_otel.filtering.matching import TraceValues

ORDERED: Final = NUMERIC | {"status", "request_id", "experiment_id"}
"""Attributes that traces can be ordered by, beside those that stand among tags and metadata."""
NEWEST_FIRST: Final = "timestamp_ms"
IDENTITY: Final = "request_id"
_ORDER: Final = re.compile(
    r"""\s*(?P<name>(?:`[^`]+`|[\w\-/]+)(?:\.(?:`[^`]+`|"[^"]+"|'[^']+'|[\w\-/]+))*)
    (?:\s+(?P<way>ASC|DESC))?\s*""",
    re.VERBOSE | re.IGNORECASE,
)


class Ordering(NamedTuple):
    """One key of an order.

    Args:
        entity: ``attribute``, ``tag`` or ``metadata``.
        key: Which of its values.
        ascending: Whether the smallest come first.
    """

    entity: Entity
    key: str
    ascending: bool


def parse_order(order_by: Sequence[str] | None) -> tuple[Ordering, ...]:
    """Return the keys of an order, with those that decide between equals.

    Raises:
        FilterError: One cannot be read, or is named twice; the message names it.

    Example:
        >>> [ordering.key for ordering in parse_order(["execution_time DESC"])]
        ['execution_time_ms', 'timestamp_ms', 'request_id']
    """
    found: list[Ordering] = []
    for text in order_by or ():
        ordering = _ordering(text)
        if any((one.entity, one.key) == ordering[:2] for one in found):
            raise FilterError(f"order_by {text!r}: {ordering.key} is named twice")
        found.append(ordering)
    for key, ascending in ((NEWEST_FIRST, False), (IDENTITY, True)):
        if not any(one[:2] == ("attribute", key) for one in found):
            found.append(Ordering("attribute", key, ascending))
    return tuple(found)


def by_time(order: Sequence[Ordering]) -> bool | None:
    """Return whether an order by time alone is ascending; None when it is by something else."""
    first = order[0]
    return first.ascending if first[:2] == ("attribute", NEWEST_FIRST) else None


def _ordering(text: str) -> Ordering:
    match = _ORDER.fullmatch(text)
    if match is None:
        raise FilterError(f"order_by {text!r} is not <key>, <key> ASC or <key> DESC")
    before, dot, after = match["name"].partition(".")
    if not dot:
        before, after = "attribute", before
    entity = ENTITIES.get(bare(before))
    key = bare(after)
    if entity == "attribute":
        entity, key = ALIASES.get(key, ("attribute", key))
    if entity not in {"attribute", "tag", "metadata"} or (
        entity == "attribute" and key not in ORDERED
    ):
        known = ", ".join(sorted({*ORDERED, "name", "run_id"}))
        raise FilterError(
            f"order_by {text!r}: traces are ordered by {known}, tag.<key> or metadata.<key>"
        )
    return Ordering(entity, key, (match["way"] or "ASC").upper() == "ASC")


def sorting_key(order: Sequence[Ordering]) -> Callable[[TraceValues], Any]:
    """Return the key that ``sorted`` takes for traces in this order."""

    def key(trace: TraceValues) -> tuple[Any, ...]:
        values = {"attribute": trace.attributes, "tag": trace.tags, "metadata": trace.metadata}
        return tuple(
            _Part.of(values[one.entity].get(one.key), ascending=one.ascending) for one in order
        )

    return key


class _Part(NamedTuple):
    """One value of a sorting key: what is missing comes last."""

    missing: bool
    value: Any

    @classmethod
    def of(cls, value: Any, *, ascending: bool) -> _Part:
        if value is None:
            return cls(True, 0)
        if isinstance(value, int | float):
            return cls(False, value if ascending else -value)
        return cls(False, str(value) if ascending else _Reversed(str(value)))


class _Reversed(str):
    """A text that sorts the other way round."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)
