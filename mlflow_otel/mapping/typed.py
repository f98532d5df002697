"""Readers of one value each: in the type that the convention's registry names, or None.

A number given as text is read. What is of another kind is not bent into the type: 3.5 is no whole
number, and a yes is no 1. The caller keeps what does not fit where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from mlflow_otel.mapping.values import INT64_MAX, INT64_MIN, OtlpValue

Reader: TypeAlias = Callable[[Any], OtlpValue | None]


def whole(value: Any) -> int | None:
    """Return a whole number of 64 bits."""
    if type(value) is not int:
        number = _number(value)
        if number is None or (isinstance(number, float) and not number.is_integer()):
            return None
        value = int(number)
    return value if INT64_MIN <= value <= INT64_MAX else None


def double(value: Any) -> float | None:
    """Return a finite number as a double."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    number = _number(value)
    if number is None:
        return None
    try:
        result = float(number)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def boolean(value: Any) -> bool | None:
    """Return true or false, also where it is written as text."""
    if isinstance(value, bool):
        return value
    return BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None


def text(value: Any) -> str | None:
    """Return text that is not empty."""
    return value if isinstance(value, str) and value else None


def texts(value: Any) -> list[str] | None:
    """Return a list of texts; one text is a list of one."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value
    return None


BOOLEANS = {"true": True, "false": False}


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _written_number(value.strip())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def _written_number(value: str) -> int | float | None:
    # Python also reads 1_000, which no API writes.
    if not value or "_" in value or len(value) > LONGEST:
        return None
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


LONGEST = 64
"""Characters of the longest number that is read."""
