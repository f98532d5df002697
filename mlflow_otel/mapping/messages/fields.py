"""How a converter reads an object: what it takes is understood, what it leaves is carried on.

No value is lost that way, whatever a library adds to its objects: a converter names what it knows, and
``rest`` is all else, nested objects included.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from mlflow_otel.mapping.values import as_text

EMPTY: Final[tuple[Any, ...]] = (None, [], {})
"""Values that carry no information, so they are left out."""


class Fields:
    """The fields of an object that are not taken yet.

    Args:
        held: The object; anything else has no fields.
    """

    __slots__ = ("_left",)

    def __init__(self, held: Any) -> None:
        self._left: dict[str, Any] = dict(held) if isinstance(held, dict) else {}

    def __contains__(self, key: str) -> bool:
        return self._left.get(key) is not None

    def get(self, key: str) -> Any:
        """Return a field and leave it."""
        return self._left.get(key)

    def take(self, *keys: str) -> Any:
        """Take the first of some fields that is there, or return None."""
        for key in keys:
            if self._left.get(key) is not None:
                return self._left.pop(key)
        return None

    def take_text(self, *keys: str) -> str | None:
        """Take the first of some fields that is text, or return None."""
        for key in keys:
            if isinstance(self._left.get(key), str):
                return self._left.pop(key)  # type: ignore[no-any-return]
        return None

    def take_id(self, *keys: str) -> str | None:
        """Take the first of some fields that can be an ID, text or a whole number, as text."""
        for key in keys:
            value = self._left.get(key)
            if (isinstance(value, str) and value) or type(value) is int:
                return as_text(self._left.pop(key))
        return None

    def take_list(self, *keys: str) -> list[Any]:
        """Take the first of some fields that is a list, or return an empty one."""
        for key in keys:
            if isinstance(self._left.get(key), list):
                return self._left.pop(key)  # type: ignore[no-any-return]
        return []

    def drop(self, key: str, *words: Any) -> None:
        """Drop a field whose value is one of ``words``: the result expresses it in another way."""
        if key in self._left and self._left[key] in words:
            del self._left[key]

    def drop_repeated(self, key: str, said: Any) -> None:
        """Drop a field when it only repeats what is known from elsewhere."""
        if key in self._left and says_no_more(self._left[key], said):
            del self._left[key]

    def inner(self, *keys: str) -> Fields:
        """Return the fields of the first nested object that exists. What nobody takes of it stays in the rest."""
        for key in keys:
            value = self._left.get(key)
            if isinstance(value, Fields):
                return value
            if isinstance(value, dict):
                self._left[key] = inner = Fields(value)
                return inner
        return Fields(None)

    def put(self, key: str, value: Any) -> None:
        """Give back what was taken and not understood."""
        self._left[key] = value

    def rest(self) -> dict[str, Any]:
        """Return what nobody took, without empty values."""
        rest = {}
        for key, value in self._left.items():
            left = value.rest() if isinstance(value, Fields) else value
            if left is None or (not left and left in EMPTY):
                continue
            rest[key] = left
        return rest

    def flat(self, key: str) -> dict[str, Any]:
        """Return the rest, with the fields of one nested object beside the others."""
        rest = self.rest()
        inner = rest.get(key)
        if isinstance(inner, dict):
            del rest[key]
            carry(rest, inner)
        return rest


def carry(
    made: dict[str, Any], rest: Mapping[str, Any], reserved: Collection[str] = ()
) -> dict[str, Any]:
    """Add the fields that were not understood to the part or message that was made.

    Args:
        made: A part or message; changed.
        rest: Further fields.
        reserved: Names that have a meaning in ``made`` even where it does not have them.

    Returns:
        ``made``. A further field whose name is taken has ``item_`` before it.
    """
    if not rest:
        return made
    for key, value in rest.items():
        name = key
        while name in made or name in reserved:
            if isinstance(value, str) and made.get(name) == value:
                break
            name = f"item_{name}"
        else:
            made[name] = value
    return made


def says_no_more(echo: Any, said: Any) -> bool:
    """Tell whether an API's echo of a value adds nothing to it. None adds nothing."""
    if echo is None:
        return True
    if isinstance(echo, dict):
        return isinstance(said, dict) and all(says_no_more(v, said.get(k)) for k, v in echo.items())
    if isinstance(echo, list):
        return (
            isinstance(said, list) and len(echo) == len(said) and all(map(says_no_more, echo, said))
        )
    return type(echo) is type(said) and bool(echo == said)


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a structure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def unsaid(value: Any, said: Collection[str]) -> Any:
    """Return a structure without the texts that are known already, and without what is empty then."""
    if isinstance(value, dict):
        kept = {key: unsaid(item, said) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in EMPTY} or None
    if isinstance(value, list):
        left = [unsaid(item, said) for item in value]
        return None if all(item in EMPTY for item in left) else left
    return None if isinstance(value, str) and value in said else value
