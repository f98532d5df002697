"""The filter strings of ``mlflow.search_traces`` and of scorers: a text to clauses.

Follows https://mlflow.org/docs/latest/genai/tracing/search-traces/ and what MLflow's server accepts:
clauses joined by AND; on the left ``attribute``, ``trace``, ``tag``, ``metadata``, ``span``,
``feedback``, ``expectation`` or ``issue`` with a key, which may stand in quotes or backticks. A key
alone is an attribute of the trace.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

Entity = Literal["attribute", "tag", "metadata", "span", "feedback", "expectation", "issue"]
Value = str | int | float | tuple[str, ...] | None

ENTITIES: Final[dict[str, Entity]] = {
    "attribute": "attribute",
    "attributes": "attribute",
    "trace": "attribute",
    "tag": "tag",
    "tags": "tag",
    "metadata": "metadata",
    "request_metadata": "metadata",
    "span": "span",
    "feedback": "feedback",
    "expectation": "expectation",
    "issue": "issue",
}
"""What may stand before the dot."""

NUMERIC: Final = frozenset({"timestamp_ms", "execution_time_ms", "end_time_ms"})
"""Attributes that are compared as numbers: milliseconds."""
TEXT: Final = frozenset({"request_id", "status", "client_request_id"})
"""Attributes that are compared as texts."""
LINKED_PROMPTS: Final = "mlflow.linkedPrompts"
"""The tag that says which prompts a trace used; compared by name and version."""
ALIASES: Final[dict[str, tuple[Entity, str]]] = {
    "timestamp": ("attribute", "timestamp_ms"),
    "execution_time": ("attribute", "execution_time_ms"),
    "end_time": ("attribute", "end_time_ms"),
    "name": ("tag", "mlflow.traceName"),
    "prompt": ("tag", LINKED_PROMPTS),
    "run_id": ("metadata", "mlflow.sourceRun"),
    "text": ("span", "content"),
}
"""Attributes that MLflow looks up elsewhere."""
SPAN_KEYS: Final = frozenset({"name", "type", "status"})
SPAN_ATTRIBUTES: Final = "attributes."
CONTENT: Final = "content"

_ORDER: Final = frozenset({">", ">=", "<", "<="})
_EQUAL: Final = frozenset({"=", "!="})
_LIKE: Final = frozenset({"LIKE", "ILIKE"})
_LIST: Final = frozenset({"IN", "NOT IN"})
_NULL: Final = frozenset({"IS NULL", "IS NOT NULL"})
_PATTERNS: Final = _LIKE | {"RLIKE"}


class Clause(NamedTuple):
    """One condition of a filter string.

    Args:
        entity: What it is about.
        key: Which of its values; the name of an assessment.
        comparator: In capitals, with single spaces.
        value: What it is compared with: a text, a number, texts for a list, None for IS NULL.
        text: The clause as it was written.
    """

    entity: Entity
    key: str
    comparator: str
    value: Value
    text: str


class FilterError(ValueError):
    """A filter string that cannot be read; the message names the clause and what is wrong with it."""


_QUOTED: Final = r"""'(?:[^']|'')*'|"(?:[^"]|\"\")*\""""
"""A text. A quote in it is written twice, as MLflow's pages write it."""
_TOKEN: Final = re.compile(
    rf"""\s*(?:
      (?P<comparator>!=|>=|<=|=|<|>|\bNOT\s+IN\b|\bIN\b|\bI?LIKE\b|\bRLIKE\b|\bIS\s+NOT\s+NULL\b|\bIS\s+NULL\b)
    | (?P<and>\bAND\b)
    | (?P<string>{_QUOTED})
    | (?P<list>\(\s*(?:{_QUOTED})(?:\s*,\s*(?:{_QUOTED}))*\s*,?\s*\))
    | (?P<number>[-+]?\d+(?:\.\d+)?(?![\w.]))
    | (?P<name>(?:[\w`][\w\-/]*`?)(?:\.(?:`[^`]+`|"[^"]+"|'[^']+'|[\w\-/]+))*)
    | (?P<other>\S+)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_STRING: Final = re.compile(_QUOTED)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def parse(filter_string: str | None) -> tuple[Clause, ...]:
    """Return the clauses of a filter string; none of an empty one.

    Raises:
        FilterError: It cannot be read; the message names the clause.

    Example:
        >>> parse("tags.environment = 'production' AND execution_time_ms > 500")[1].value
        500
    """
    text = (filter_string or "").strip()
    if not text:
        return ()
    tokens = [
        _Token(
            match.lastgroup or "", match.group(match.lastgroup or ""), match.start(), match.end()
        )
        for match in _TOKEN.finditer(text)
        if match.lastgroup
    ]
    clauses = []
    group: list[_Token] = []
    for token in [*tokens, _Token("and", "", len(text), len(text))]:
        if token.kind != "and":
            group.append(token)
            continue
        if not group:
            raise FilterError(f"{text!r} has an AND with nothing beside it")
        clauses.append(_clause(group, text[group[0].start : group[-1].end].strip()))
        group = []
    return tuple(clauses)


def _clause(tokens: list[_Token], text: str) -> Clause:
    kinds = [token.kind for token in tokens]
    if kinds[:2] != ["name", "comparator"] or len(kinds) > 3:
        raise FilterError(f"{text!r} is not <key> <comparator> <value>; clauses are joined by AND")
    comparator = " ".join(tokens[1].text.upper().split())
    entity, key = _identifier(tokens[0].text, comparator, text)
    if comparator in _NULL:
        if len(kinds) > 2:
            raise FilterError(f"{text!r} has something after {comparator}")
        value: Value = None
    elif len(kinds) < 3 or kinds[2] not in {"string", "list", "number"}:
        raise FilterError(f"{text!r} needs a value: a quoted text, a number, or a list in brackets")
    else:
        value = _value(tokens[2])
    clause = Clause(entity, key, comparator, value, text)
    _check(clause)
    return clause


def _identifier(name: str, comparator: str, text: str) -> tuple[Entity, str]:
    before, dot, after = name.partition(".")
    if not dot:
        before, after = "attribute", before
    entity = ENTITIES.get(bare(before))
    if entity is None:
        known = ", ".join(sorted({*ENTITIES.values()}))
        raise FilterError(f"{text!r}: {before} is not known; known are {known}")
    head, tail = SPAN_ATTRIBUTES if after.startswith(SPAN_ATTRIBUTES) else "", after
    key = head + bare(tail.removeprefix(head))
    if entity != "attribute":
        return entity, key
    if comparator in _LIST and key not in TEXT:
        raise FilterError(f"{text!r}: only {_some(TEXT)} can be compared with a list")
    found = ALIASES.get(key, ("attribute", key))
    if found[0] == "attribute" and found[1] not in NUMERIC | TEXT:
        known = _some(NUMERIC | TEXT | ALIASES.keys())
        raise FilterError(f"{text!r}: {key} is no attribute of a trace; known are {known}")
    return found


def _some(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def bare(name: str) -> str:
    """Return a name without the quotes or backticks around it."""
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "`'\""
    return name[1:-1] if quoted else name


def _value(token: _Token) -> Value:
    if token.kind == "number":
        return float(token.text) if "." in token.text else int(token.text)
    if token.kind == "list":
        return tuple(map(_unquoted, _STRING.findall(token.text)))
    return _unquoted(token.text)


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _comparators(clause: Clause) -> frozenset[str]:
    """Return the comparators that MLflow allows for what a clause is about."""
    if clause.entity == "attribute":
        return _EQUAL | _ORDER if clause.key in NUMERIC else _EQUAL | _LIST | _PATTERNS
    if clause.entity == "span":
        return _LIKE if clause.key == CONTENT else _EQUAL | _LIST | _PATTERNS
    if clause.entity in {"feedback", "expectation"}:
        return _EQUAL | _ORDER | _PATTERNS | _NULL
    if clause.entity == "issue" or (clause.entity == "tag" and clause.key == LINKED_PROMPTS):
        return frozenset("=")
    return _EQUAL | _PATTERNS | _NULL


def _check(clause: Clause) -> None:
    allowed = _comparators(clause)
    if not clause.key:
        raise FilterError(f"{clause.text!r} names no key")
    if clause.entity == "span" and not (
        clause.key in SPAN_KEYS | {CONTENT}
        or (clause.key.startswith(SPAN_ATTRIBUTES) and clause.key != SPAN_ATTRIBUTES)
    ):
        raise FilterError(
            f"{clause.text!r}: spans have name, type, status, content and attributes.<key>"
        )
    if clause.entity == "issue" and clause.key != "id":
        raise FilterError(f"{clause.text!r}: issues have id")
    if clause.comparator not in allowed:
        raise FilterError(f"{clause.text!r}: the comparators allowed here are {_some(allowed)}")
    if clause.comparator in _NULL:
        return
    if clause.key == LINKED_PROMPTS and str(clause.value).count("/") != 1:
        raise FilterError(f"{clause.text!r}: a prompt is written as 'name/version'")
    number = isinstance(clause.value, int | float)
    if number != _wants_number(clause):
        wanted = "a number" if not number else "a quoted text"
        raise FilterError(f"{clause.text!r}: the value must be {wanted}")
    if isinstance(clause.value, tuple) != (clause.comparator in _LIST):
        raise FilterError(f"{clause.text!r}: a list goes with IN and NOT IN")
    if clause.comparator == "RLIKE":
        try:
            re.compile(str(clause.value))
        except re.error as error:
            raise FilterError(f"{clause.text!r}: no regular expression ({error})") from error


def _wants_number(clause: Clause) -> bool:
    if clause.entity == "attribute":
        return clause.key in NUMERIC
    return clause.comparator in _ORDER
