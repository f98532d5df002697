"""Tokens and cost summed over a trace, as MLflow sums them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from mlflow_otel.mapping.values import as_float

TOKEN_SUMS: Final = ("input_tokens", "output_tokens", "total_tokens")
CACHE_SUMS: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
COST_KEYS: Final = ("input_cost", "output_cost", "total_cost")


Numbers: TypeAlias = Mapping[int, Mapping[str, Any]]
"""What spans used, by span ID; those that used nothing are not in it."""
Parents: TypeAlias = Mapping[int, int | None]
"""The parent of each span of a trace, by span ID."""


def sum_tokens(numbers: Numbers, parents: Parents) -> dict[str, int]:
    """Sum token usage over a trace; empty when no span has any."""
    totals = _sum(numbers, parents, TOKEN_SUMS, CACHE_SUMS)
    return {key: int(number) for key, number in totals.items()}


def sum_cost(numbers: Numbers, parents: Parents) -> dict[str, float]:
    """Sum cost in USD over a trace; empty when no span has any."""
    return _sum(numbers, parents, COST_KEYS, ())


def _sum(
    numbers: Numbers, parents: Parents, always: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, float]:
    if not numbers:
        return {}
    totals: dict[str, float] = dict.fromkeys(always, 0)
    # As MLflow: a span below one that has numbers is not counted again, since agents and chains
    # roll up what their model calls used.
    below: dict[int, bool] = {}
    for span_id, used in numbers.items():
        if not _is_below(parents.get(span_id), numbers, parents, below):
            for key in always:
                totals[key] += _number(used.get(key))
            for key in optional:
                if key in used:
                    totals[key] = totals.get(key, 0) + _number(used[key])
    return totals


def _number(value: Any) -> float:
    return value if type(value) is int else as_float(value) or 0


def _is_below(
    above: int | None, numbers: Numbers, parents: Parents, known: dict[int, bool]
) -> bool:
    """Tell whether a span has numbers, or one above it; ``known`` says it of spans that were looked at before."""
    passed = []
    while above is not None and above not in numbers and above not in known:
        known[above] = False  # also ends a ring of parents
        passed.append(above)
        above = parents.get(above)
    inside = above is not None and known.get(above, above in numbers)
    if inside:
        known.update(dict.fromkeys(passed, True))
    return inside
