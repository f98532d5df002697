"""What an SDK puts where nothing was given: no value, so it never leaves.

MLflow writes what is no JSON as its ``str()``. So ``openai.omit`` stands in a span as
``"<openai.Omit object at 0x7f…>"``, and Anthropic's ``NOT_GIVEN`` as ``"NOT_GIVEN"``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

NAMES: Final = (
    r"Omit|NotGiven|NotGivenOr|NotProvided|NotSet|NotSetType|NotPassed|Unset|UnsetType|UNSET|"
    r"Undefined|UndefinedType|PydanticUndefined|PydanticUndefinedType|Missing|MissingType|"
    r"MISSING|MISSING_TYPE|Sentinel|UseClientDefault|MethodDefault|DefaultType|NoDefault|empty"
)
"""Classes of the sentinels: OpenAI's, Anthropic's and Groq's SDK (Stainless), Mistral's
(Speakeasy), pydantic, httpx, google-api-core, dataclasses, inspect."""

OBJECT: Final = re.compile(
    rf"<(class ')?(?:[\w.]+\.)?_*(?:{NAMES}|object)(?:\.\w+)*(?: object)?"
    r"(?(1)'|(?:: .*| at 0x[0-9a-fA-F]+| instance))>",
    re.DOTALL,
)
"""A sentinel's ``repr``: an object, an enum's member or the class itself."""

WORDS: Final = frozenset(
    {
        "NOT_GIVEN",
        "NotGiven",
        "NotGiven()",
        "NOT_SET",
        "NotSet",
        "Omit",
        "Omit()",
        "OMIT",
        "omit",
        "UNSET",
        "Unset",
        "Unset()",
        "Undefined",
        "PydanticUndefined",
        "Ellipsis",
        "<UNSET>",
        "<unset>",
        "~?~unset~?~sentinel~?~",
    }
)
"""Sentinels with a ``repr`` of their own. A person may say these words, so only a parameter is one."""

CONTENT: Final = frozenset(
    {
        "messages",
        "input",
        "inputs",
        "prompt",
        "prompts",
        "contents",
        "content",
        "text",
        "message",
        "query",
        "question",
        "history",
        "chat_history",
        "inputText",
        "texts",
        "documents",
    }
)
"""Fields with a person's words. There, such a word is not a placeholder."""

LONGEST: Final = 200
"""Characters of the longest sentinel."""

HANDLE: Final = re.compile(r"<[A-Za-z_][^\n]*(?: at 0x[0-9a-fA-F]+|<class '[\w.]+'>)>")
"""The ``repr`` of a live object."""


def is_object(value: Any) -> bool:
    """Tell whether a value is a sentinel's ``repr`` and nothing else."""
    return (
        type(value) is str
        and value[:1] == "<"
        and len(value) <= LONGEST
        and OBJECT.fullmatch(value) is not None
    )


def is_handle(value: Any) -> bool:
    """Tell whether a text is the ``repr`` of a live object and nothing else.

    A stream, a generator or a response that was not read: what was answered is not known.
    """
    return type(value) is str and value[:1] == "<" and HANDLE.fullmatch(value) is not None


def is_placeholder(value: Any) -> bool:
    """Tell whether a parameter's value says that none was given."""
    return type(value) is str and (value in WORDS or is_object(value))


def may_have(text: Any) -> bool:
    """Tell quickly whether JSON text may have a sentinel's ``repr``; False is certain of objects."""
    return isinstance(text, str) and " object at 0x" in text


def without_parameters(inputs: dict[str, Any], containers: Collection[str] = ()) -> dict[str, Any]:
    """Return a call's inputs less the parameters that were not given.

    Args:
        inputs: The call's arguments, by name.
        containers: Names of those that hold parameters themselves.

    Returns:
        ``inputs`` itself when it has no sentinel.
    """
    kept: dict[str, Any] | None = None
    for key, value in inputs.items():
        if type(value) is str:
            gone = is_object(value) or (value in WORDS and key not in CONTENT)
            new: Any = value
        elif type(value) is dict and key not in CONTENT:
            gone = False
            new = (
                without_parameters(value, containers)
                if key in containers
                else without_objects(value)
            )
        else:
            continue
        if gone or new is not value:
            kept = dict(inputs) if kept is None else kept
            if gone:
                del kept[key]
            else:
                kept[key] = new
    return inputs if kept is None else kept


def without_objects(value: Any) -> Any:
    """Return a structure less each field that is a sentinel's ``repr``, at any depth of objects."""
    if not isinstance(value, Mapping):
        return value
    kept = {key: without_objects(item) for key, item in value.items() if not is_object(item)}
    changed = len(kept) != len(value) or any(kept[key] is not value[key] for key in kept)
    return kept if changed else value
