"""How many bytes a span and its parts count with while they wait.

The texts of attributes, events and links count with their UTF-8 bytes, and so does what the status
says. Everything else counts with fixed numbers, also keys and names. Python needs up to four bytes where
UTF-8 needs one: a text with a single emoji has four bytes for every character. So the memory that
is really used is at most about four times what is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

SPAN_BYTES: Final = 3000
"""An SDK span without attributes. Measured: 2.8 KB (SDK 1.45, Python 3.11)."""
ATTRIBUTE_BYTES: Final = 100
"""An attribute without its value: its key, and its place. Measured: 72 bytes without the key."""
EVENT_BYTES: Final = 600
"""An event or a link without attributes. Measured: 530 and 490 bytes."""
VALUE_BYTES: Final = 32
"""A number, or the place of a value in a list."""

_ascii: Final = str.isascii  # takes no time: Python knows it of each text


def size_of_values(attributes: Mapping[str, Any]) -> int:
    """Return how many bytes attributes take up."""
    values = attributes.values()
    try:
        size = sum(map(len, values))  # only texts, as MLflow writes them: this runs in C
        if False in map(_ascii, values):
            size = sum(map(size_of_text, values))
    except TypeError:
        size = sum(map(_of_value, values))
    return size + ATTRIBUTE_BYTES * len(attributes)


def size_of_text(text: str) -> int:
    """Return the UTF-8 bytes of a text."""
    return len(text) if _ascii(text) else len(text.encode("utf-8", "surrogatepass"))


def _of_value(value: object) -> int:
    if isinstance(value, str):
        return size_of_text(value)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_of_value(key) + _of_value(one) + VALUE_BYTES for key, one in value.items())
    if isinstance(value, Iterable):
        return VALUE_BYTES + sum(_of_value(one) + VALUE_BYTES for one in value)
    return VALUE_BYTES
