"""Which scorers a trace gets: MLflow's own rule for online scoring, as its server applies it.

The rule is a function of trace ID, scorer names and rates alone, so that replicas agree without
talking to each other. It is dense: the scorers are asked from the highest rate to the lowest, each
with its rate divided by the one before, and the first that says no ends it. So the traces of a low
rate are among those of a high one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

_WHOLE: Final = float(2**256)
_rate = attrgetter("rate")


class Rate(NamedTuple):
    """A scorer's name and the share of traces that it is to see, 0 to 1."""

    name: str
    rate: float


def in_order(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """Return the scorers from the highest rate to the lowest; equal rates stay in their order."""
    return tuple(sorted(rates, key=_rate, reverse=True))


def chosen(trace_id: str, rates: Iterable[Rate]) -> Sequence[str]:
    """Return the names of the scorers that a trace is given to.

    Args:
        trace_id: MLflow's ID of the trace, or a session's ID.
        rates: The scorers that have one filter string in common, as MLflow groups them.
    """
    return chosen_in_order(trace_id, in_order(rates))


def chosen_in_order(trace_id: str, ordered: Sequence[Rate]) -> Sequence[str]:
    """Return the same as ``chosen`` for scorers that ``in_order`` has put in order."""
    names: list[str] = []
    before = 1.0
    for name, rate in ordered:
        conditional = rate / before if before > 0 else 0
        digest = hashlib.sha256(f"{trace_id}:{name}".encode("utf-8", "surrogatepass"))
        if int.from_bytes(digest.digest(), "big") / _WHOLE > conditional:
            break
        names.append(name)
        before = rate
    return names
