"""What of a filter the backend can answer: equality of what stands on the entry span, and the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mlflow_otel.backends.model import Condition
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.filtering.grammar import Clause
from mlflow_otel.mapping.trace import (
    METADATA_ATTRIBUTES,
    METADATA_SAID_ELSEWHERE,
    OF_A_SERVER,
    TAGS_SAID_ELSEWHERE,
)
from mlflow_otel.store.scan import Span

EQUAL: Final[Mapping[tuple[str, str], str]] = {
    ("attribute", "status"): keys.TRACE_STATE,
    ("attribute", "client_request_id"): keys.TRACE_CLIENT_REQUEST_ID,
    ("metadata", keys.METADATA_SESSION): genai.SESSION_ID,
    ("metadata", keys.METADATA_USER): genai.USER_ID,
    **{("metadata", key): attribute for key, attribute in METADATA_ATTRIBUTES.items()},
}
"""What stands on the entry span under a key of its own."""
PREFIXES: Final[Mapping[str, str]] = {
    "metadata": keys.TRACE_METADATA_PREFIX,
    "tag": keys.TRACE_TAG_PREFIX,
}
NOT_ASKED: Final = METADATA_SAID_ELSEWHERE | TAGS_SAID_ELSEWHERE | OF_A_SERVER
"""Metadata and tags that do not stand on the entry span as they are, or are put together here."""


def pushed_down(clauses: Iterable[Clause]) -> tuple[Condition, ...]:
    """Return the conditions on the entry span that every trace meets that the clauses let through."""
    found = []
    for clause in clauses:
        value = clause.value
        if clause.comparator != "=" or not isinstance(value, str) or not value:
            continue
        attribute = EQUAL.get((clause.entity, clause.key))
        if attribute is None and clause.key not in NOT_ASKED:
            prefix = PREFIXES.get(clause.entity)
            attribute = None if prefix is None else f"{prefix}{clause.key}"
        if attribute is not None and not value.startswith("["):  # several sessions in one value
            found.append(Condition(attribute, value))
    return tuple(found)


def time_of(clauses: Iterable[Clause], widest: Span) -> Span:
    """Return the time that the clauses leave of a span, in milliseconds.

    Args:
        clauses: All of them are met.
        widest: Its start holds where no clause says one; its end is never passed.
    """
    bounds = [
        (clause.comparator, int(clause.value))
        for clause in clauses
        if clause[:2] == ("attribute", "timestamp_ms") and isinstance(clause.value, int | float)
    ]
    lower = [at for comparator, at in bounds if comparator in {">", ">=", "="}]
    upper = [at for comparator, at in bounds if comparator in {"<", "<=", "="}]
    return Span(max(max(lower, default=widest.start), 0), min([*upper, widest.end]))
