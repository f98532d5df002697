"""How many traces meet one filter, another, and both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mlflow_otel.filtering.grammar import Clause
from mlflow_otel.store.search import Searcher


class Counts(NamedTuple):
    """Numbers of traces: that meet both filters, the first, the second; and of all."""

    joint: int
    first: int
    second: int
    total: int


def counts(
    searcher: Searcher,
    experiments: Sequence[str],
    filters: tuple[Sequence[Clause], Sequence[Clause]],
    base: Sequence[Clause],
) -> Counts:
    """Return the numbers among the traces that meet ``base``.

    Raises:
        FilterError: There are too many traces to read.
        BackendError: The backend did not answer in time or as expected.
    """
    first, second, all_of_them = (
        {stored.trace_id for stored, _ in searcher.matching((*base, *clauses), experiments)}
        for clauses in (*filters, ())
    )
    return Counts(len(first & second), len(first), len(second), len(all_of_them))
