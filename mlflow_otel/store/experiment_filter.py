"""The filter and order of ``mlflow.search_experiments``, over the experiments that were found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mlflow_otel.filtering.grammar import FilterError, bare
from mlflow_otel.filtering.matching import COMPARED
from mlflow_otel.store.experiments import FoundExperiment

_CLAUSE: Final = re.compile(
    r"""\s*(?P<name>(?:tags?\.)?(?:`[^`]+`|"[^"]+"|[\w.\-/]+))\s*
    (?P<comparator>!=|>=|<=|=|<|>|\bI?LIKE\b|\bIS\s+NOT\s+NULL\b|\bIS\s+NULL\b)\s*
    (?P<value>'[^']*'|"[^"]*"|\d+)?\s*(?:AND\b|$)""",
    re.VERBOSE | re.IGNORECASE,
)
FIELDS: Final[Mapping[str, Callable[[FoundExperiment], Any]]] = {
    "experiment_id": lambda one: one.experiment_id,
    "name": lambda one: one.name,
    "creation_time": lambda one: one.newest_ms,
    "last_update_time": lambda one: one.newest_ms,
}
TAGS: Final = ("tags.", "tag.")
DEFAULT_ORDER: Final = ("last_update_time DESC",)


def chosen(
    found: Sequence[FoundExperiment],
    filter_string: str | None,
    order_by: Sequence[str] | None,
    tags: Mapping[str, str],
) -> list[FoundExperiment]:
    """Return the experiments that meet a filter, in order.

    Args:
        found: All of them.
        filter_string: As MLflow's ``search_experiments`` takes it.
        order_by: As MLflow's ``search_experiments`` takes it.
        tags: What every experiment has.

    Raises:
        FilterError: Filter or order cannot be read.
    """
    kept = list(found)
    for name, comparator, value in _clauses(filter_string or ""):
        kept = [one for one in kept if _met(_value(one, name, tags), comparator, value)]
    kept.sort(key=lambda one: one.experiment_id)
    for text in reversed([*(order_by or DEFAULT_ORDER)]):
        name, _, way = text.strip().partition(" ")
        if bare(name) not in FIELDS or way.strip().upper() not in {"", "ASC", "DESC"}:
            raise FilterError(f"order_by {text!r}: experiments are ordered by {', '.join(FIELDS)}")
        kept.sort(key=FIELDS[bare(name)], reverse=way.strip().upper() == "DESC")
    return kept


def _clauses(text: str) -> list[tuple[str, str, Any]]:
    clauses = []
    place = 0
    while text[place:].strip():
        match = _CLAUSE.match(text, place)
        comparator = "" if match is None else " ".join(match["comparator"].upper().split())
        if match is None or (match["value"] is None) != comparator.startswith("IS "):
            raise FilterError(f"{text!r} is no filter of experiments")
        name = match["name"]
        if bare(name) not in FIELDS and not name.startswith(TAGS):
            raise FilterError(f"{text!r}: experiments have {', '.join(FIELDS)} and tags.<key>")
        value = match["value"]
        read = value if value is None else int(value) if value.isdigit() else value[1:-1]
        clauses.append((name, comparator, read))
        place = match.end()
    return clauses


def _value(one: FoundExperiment, name: str, tags: Mapping[str, str]) -> Any:
    if name.startswith(TAGS):
        return tags.get(bare(name.partition(".")[2]))
    return FIELDS[bare(name)](one)


def _met(value: Any, comparator: str, wanted: Any) -> bool:
    if comparator.startswith("IS "):
        return (value is None) == (comparator == "IS NULL")
    if value is None or isinstance(value, int) != isinstance(wanted, int):
        return False
    return COMPARED[comparator](value, wanted)
