"""Which scorers a trace gets: MLflow's own rule for online scoring, as its server applies it.

The rule is a function of trace ID, scorer names and rates alone, so that replicas agree without
talking to each other. It is dense: the scorers are asked from the highest rate to the lowest, each
with its rate divided by the one before, and the first that says no ends it. So the traces of a low
rate are among those of a high one.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

_WHOLE: Final = float(2**256)
_TOP: Final = float(2**64)
_UNSURE: Final = 2**12
_top = struct.Struct(">Q").unpack_from
_rate = attrgetter("rate")


class Rate(NamedTuple):
    """A scorer's name and the share of traces that it is to see, 0 to 1."""

    name: str
    rate: float


class Step(NamedTuple):
    """A scorer in its place: asked when those with higher rates have said yes.

    Args:
        name: Its name.
        suffix: What is hashed behind the trace ID.
        conditional: The share of the traces that come this far.
        surely: Hashes whose first 64 bits are below this are in.
        surely_not: Hashes whose first 64 bits are above this are out.
    """

    name: str
    suffix: bytes
    conditional: float
    surely: int
    surely_not: int


def in_order(rates: Iterable[Rate]) -> tuple[Step, ...]:
    """Return the scorers from the highest rate to the lowest; equal rates stay in their order."""
    steps = []
    before = 1.0
    for name, rate in sorted(rates, key=_rate, reverse=True):
        conditional = rate / before if before > 0 else 0.0
        top = int(conditional * _TOP)
        suffix = f":{name}".encode("utf-8", "surrogatepass")
        steps.append(Step(name, suffix, conditional, top - _UNSURE, top + _UNSURE))
        before = rate
    return tuple(steps)


def chosen(trace_id: str, rates: Iterable[Rate]) -> Sequence[str]:
    """Return the names of the scorers that a trace is given to.

    Args:
        trace_id: MLflow's ID of the trace, or a session's ID.
        rates: The scorers that have one filter string in common, as MLflow groups them.
    """
    return chosen_in_order(trace_id.encode("utf-8", "surrogatepass"), in_order(rates))


def chosen_in_order(trace_id: bytes, steps: Sequence[Step]) -> Sequence[str]:
    """Return the same as ``chosen``, for scorers that ``in_order`` has put in order."""
    names: list[str] = []
    for name, suffix, conditional, surely, surely_not in steps:
        digest = hashlib.sha256(trace_id + suffix).digest()
        (top,) = _top(digest)
        if top > surely_not:
            break
        # MLflow compares the whole number; its first 64 bits nearly always tell.
        if top >= surely and int.from_bytes(digest, "big") / _WHOLE > conditional:
            break
        names.append(name)
    return names
