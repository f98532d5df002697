"""Content off: what leaves is what is known not to be content.

The rule is closed: text under a key that no table of ``conventions.no_content`` has, and no pattern
of ``MLFLOW_OTEL_SAFE_ATTRIBUTES`` names, does not leave. Numbers and booleans leave under any key
but those known to be content; lists of numbers do not, since vectors and token IDs can be read back.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.conventions import no_content as known
from mlflow_otel.conventions import openinference as oi
from mlflow_otel.mapping.model import EventView, MappingOptions
from mlflow_otel.mapping.values import Json, as_json, decode

Keep: TypeAlias = Callable[[Any], Any]
"""Takes a value; returns what of it leaves, or None."""

MAX_LABEL: Final = 64
"""Characters of an evaluation's label; longer text is a comment."""
INDEX: Final = re.compile(r"(?<=\.)\d+(?=\.|$)")
NAME: Final = re.compile(r"[\w./:@+-]{1,128}")
"""What a key looks like; anything else may be a sentence that was made a key."""
WORD: Final = re.compile(r"\S{1,128}")
REASONS: Final = frozenset(
    {"finish_reason", "finish_reasons", "finishReason", "stop_reason", "stopReason"}
)
"""Ends of the keys that say why an answer ended."""
TEXT_KEYS: Final = frozenset(
    f"{namespace}.{name}"
    for table in (known.REGISTRY, known.GENAI, known.MLFLOW)
    for namespace, names in table.items()
    for name in names.split()
)


def _nothing(_value: Any) -> None:
    return None


def _anything(value: Any) -> Any:
    return value


def _number(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float)) else None


def _text(value: Any) -> Any:
    """Keep scalars and lists of scalars. A structure may hold content, whatever its key."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(
        isinstance(v, (str, bool, int, float)) for v in value
    ):
        return value
    return None


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def _words(value: Any) -> Any:
    """Keep what is one word, and of a list such items; a sentence may be anything."""
    if isinstance(value, (list, tuple)):
        return [item for item in value if _is_word(item)] or None
    return value if _number(value) is not None or _is_word(value) else None


def _label(value: Any) -> Any:
    return value if isinstance(value, str) and len(value) <= MAX_LABEL else None


def _numbers_of(value: Any) -> Any:
    """Keep the numbers of an object."""
    return _part(
        value,
        lambda item: {
            k: v for k, v in item.items() if _number(v) is not None and NAME.fullmatch(str(k))
        },
    )


def _documents(value: Any) -> Any:
    """Keep the IDs and scores of documents."""
    return _parts(value, {"id": _text, "score": _number})


def _prompts(value: Any) -> Any:
    """Keep the names and versions of prompts."""
    return _parts(value, {"name": _text, "version": _text})


def _parts(value: Any, fields: Mapping[str, Keep]) -> Any:
    def some(item: Any) -> dict[str, Any]:
        kept = {name: keep(item[name]) for name, keep in fields.items() if name in item}
        return {name: left for name, left in kept.items() if left is not None}

    return _part(value, some)


def _part(value: Any, some: Callable[[Any], dict[str, Any]]) -> Any:
    """Return some of an object, or of each object of a list, as JSON if it came as JSON."""
    written = isinstance(value, (str, Json))
    read = decode(str(value)) if written else value
    left: Any = None
    if isinstance(read, dict):
        left = some(read)
    elif isinstance(read, (list, tuple)):
        left = [some(item) for item in read if isinstance(item, dict)]
    return as_json(left) if written and left is not None else left


SHAPED: Final[dict[str, Keep]] = {
    keys.TRACE_TAG_PREFIX + keys.TAG_NOTE: _nothing,  # prose, unlike other tags
    genai.EVALUATION_SCORE_LABEL: _label,
    f"{oi.EVALUATION_PREFIX}label": _label,
    genai.RETRIEVAL_DOCUMENTS: _documents,
    keys.LINKED_PROMPTS: _prompts,
    keys.CHAT_TOKEN_USAGE: _numbers_of,
    keys.LLM_COST: _numbers_of,
    oi.LLM_INVOCATION_PARAMETERS: _numbers_of,
    genai.EVALUATION_SCORE_VALUE: _number,
}
"""Known keys of which a part leaves."""


@functools.lru_cache(maxsize=4096)
def _rule(key: str, patterns: tuple[str, ...], errors: bool) -> Keep:
    """Return what leaves under a key."""
    if any(fnmatchcase(key, pattern) for pattern in patterns):
        return _anything
    if key in known.ERRORS:
        return _anything if errors else _nothing
    if key in SHAPED:
        return SHAPED[key]
    if key in known.WORDS or key.rpartition(".")[2] in REASONS:
        return _words
    if INDEX.sub("N", key) in TEXT_KEYS or key.startswith(known.PREFIXES):
        return _text
    if (
        key in known.CONTENT
        or key.startswith(known.CONTENT_PREFIXES)
        or key.rpartition(".")[2] in known.CONTENT_ENDS
        or NAME.fullmatch(key) is None
    ):
        return _nothing
    return _number


@functools.lru_cache(maxsize=4096)
def _event_rule(key: str, patterns: tuple[str, ...], errors: bool) -> Keep:
    """Return what leaves under a key of an event: exceptions' types."""
    rule = _rule(key, patterns, errors)
    return rule if rule is _anything or key == genai.EXCEPTION_TYPE else _nothing


def attributes(values: Mapping[str, Any], options: MappingOptions) -> dict[str, Any]:
    """Return the attributes that are known to hold no content."""
    return _kept(values, _rule, options)


def of_metric(values: Mapping[str, Any], options: MappingOptions) -> dict[str, Any]:
    """Return a metric's attributes that are known to hold no content. What failed stays failed."""
    left = attributes(values, options)
    if genai.ERROR_TYPE in values:
        left.setdefault(genai.ERROR_TYPE, genai.ERROR_TYPE_OTHER)
    return left


def events(given: Sequence[EventView], options: MappingOptions) -> tuple[EventView, ...]:
    """Return events with their name, their time and, of their attributes, the exception's type."""
    return tuple(e._replace(attributes=_kept(e.attributes, _event_rule, options)) for e in given)


def _kept(
    values: Mapping[str, Any],
    rule: Callable[[str, tuple[str, ...], bool], Keep],
    options: MappingOptions,
) -> dict[str, Any]:
    patterns, errors = options.safe_attributes, options.content_in_errors
    left = {key: rule(key, patterns, errors)(value) for key, value in values.items()}
    return {key: value for key, value in left.items() if value is not None}
