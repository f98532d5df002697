"""Tokens and cost: of one span, and summed over a trace as MLflow sums them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as mlflow_keys
from mlflow_otel.mapping.values import as_dict, as_float, as_int

TOKEN_ATTRIBUTES: Final = {
    "input_tokens": genai.USAGE_INPUT_TOKENS,
    "output_tokens": genai.USAGE_OUTPUT_TOKENS,
    "cache_read_input_tokens": genai.USAGE_CACHE_READ,
    "cache_creation_input_tokens": genai.USAGE_CACHE_WRITE,
}
TOKEN_SUMS: Final = ("input_tokens", "output_tokens", "total_tokens")
CACHE_SUMS: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
COST_KEYS: Final = ("input_cost", "output_cost", "total_cost")


class UsageNode(NamedTuple):
    """One span's part of a sum: its place in the tree and its own numbers, or None."""

    span_id: int
    parent_id: int | None
    numbers: Mapping[str, Any] | None


def span_tokens(usage: Any) -> dict[str, int]:
    """Return ``gen_ai.usage.*`` for MLflow's ``mlflow.chat.tokenUsage``."""
    found = {}
    for name, value in as_dict(usage).items():
        number = as_int(value)
        if number is not None and name in TOKEN_ATTRIBUTES:
            found[TOKEN_ATTRIBUTES[name]] = number
    return found


def span_cost(cost: Any) -> dict[str, float]:
    """Return ``mlflow.llm.cost.*`` (USD) for MLflow's ``mlflow.llm.cost``."""
    found = {}
    for name, value in as_dict(cost).items():
        number = as_float(value)
        if number is not None and name in COST_KEYS:
            found[mlflow_keys.LLM_COST_PREFIX + name] = number
    return found


def sum_tokens(nodes: Iterable[UsageNode]) -> dict[str, int]:
    """Sum token usage over a trace; empty when no span has any."""
    totals = _sum(nodes, TOKEN_SUMS, CACHE_SUMS)
    return {key: int(number) for key, number in totals.items()}


def sum_cost(nodes: Iterable[UsageNode]) -> dict[str, float]:
    """Sum cost in USD over a trace; empty when no span has any."""
    return _sum(nodes, COST_KEYS, ())


def _sum(
    nodes: Iterable[UsageNode], always: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, float]:
    # As MLflow: a span below one that has numbers is not counted again, since agents and chains
    # roll up what their model calls used.
    nodes = list(nodes)
    if not any(node.numbers for node in nodes):
        return {}
    known = {node.span_id for node in nodes}
    children: defaultdict[int, list[UsageNode]] = defaultdict(list)
    pending = []
    for node in nodes:
        if node.parent_id in known and node.parent_id is not None:
            children[node.parent_id].append(node)
        else:
            pending.append(node)
    totals: dict[str, float] = dict.fromkeys(always, 0)
    while pending:
        node = pending.pop()
        if not node.numbers:
            pending.extend(children[node.span_id])
            continue
        for key in always:
            totals[key] += as_float(node.numbers.get(key)) or 0
        for key in optional:
            if key in node.numbers:
                totals[key] = totals.get(key, 0) + (as_float(node.numbers[key]) or 0)
    return totals
