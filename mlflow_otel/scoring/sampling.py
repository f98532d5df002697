"""Which scorers a trace gets: MLflow's own rule for online scoring, as its server applies it.

The rule is a function of trace ID, scorer names and rates alone, so that replicas agree without
talking to each other. It is dense: the scorers are asked from the highest rate to the lowest, each
with its rate divided by the one before, and the first that says no ends it. So the traces of a low
rate are among those of a high one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Final, NamedTuple

_WHOLE: Final = float(2**256)
_TOP: Final = float(2**64)
_UNSURE: Final = 2**12
_BEYOND: Final = b"\xff" * 33
"""Above every hash."""
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
        surely: Hashes below this are in.
        surely_not: Hashes above this are out.
    """

    name: str
    suffix: bytes
    conditional: float
    surely: bytes
    surely_not: bytes


def in_order(rates: Iterable[Rate]) -> tuple[Step, ...]:
    """Return the scorers from the highest rate to the lowest; equal rates stay in their order."""
    steps = []
    before = 1.0
    for name, rate in sorted(rates, key=_rate, reverse=True):
        conditional = rate / before if before > 0 else 0.0
        top = int(conditional * _TOP)
        suffix = f":{name}".encode("utf-8", "surrogatepass")
        steps.append(Step(name, suffix, conditional, _low(top - _UNSURE), _high(top + _UNSURE)))
        before = rate
    return tuple(steps)


def chosen(trace_id: str, rates: Iterable[Rate]) -> Sequence[str]:
    """Return the names of the scorers that a trace is given to.

    Args:
        trace_id: MLflow's ID of the trace, or a session's ID.
        rates: The scorers that have one filter string in common, as MLflow groups them.
    """
    steps = in_order(rates)
    number = how_many(trace_id.encode("utf-8", "surrogatepass"), steps)
    return [step.name for step in steps[:number]]


def how_many(trace_id: bytes, steps: Sequence[Step]) -> int:
    """Return how many scorers, from the first on, a trace is given to; ``in_order`` has ordered them."""
    number = 0
    for _, suffix, conditional, surely, surely_not in steps:
        digest = sha256(trace_id + suffix).digest()
        # MLflow compares the whole number; its first 64 bits nearly always tell.
        if digest > surely_not:
            break
        if digest >= surely and int.from_bytes(digest, "big") / _WHOLE > conditional:
            break
        number += 1
    return number


def _low(top: int) -> bytes:
    return max(top, 0).to_bytes(8, "big") if top < 2**64 else _BEYOND


def _high(top: int) -> bytes:
    return (top.to_bytes(8, "big") + b"\xff" * 24) if 0 <= top < 2**64 else _BEYOND
