"""Limits how many values a metric's attributes may take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from mlflow_otel.conventions import genai


class AttributeLimits:
    """Keeps the values of metric attributes few: a new value past the limit becomes ``_OTHER``.

    Used by one thread at a time.

    Args:
        most: How many values each attribute may take; others are not bounded.
        each: An attribute for each of whose values the limits of the others hold apart, or None.
    """

    def __init__(self, most: Mapping[str, int], each: str | None = None) -> None:
        self._most = most
        self._each = each
        self._known: defaultdict[Any, set[Any]] = defaultdict(set)

    def __call__(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return the attributes, changed in place where they take too many values."""
        for key, value in attributes.items():
            most = self._most.get(key)
            if most is None or value is None:
                continue
            scope = None if self._each in (key, None) else attributes.get(self._each)
            known = self._known[key, scope]
            if value in known:
                continue
            if len(known) < most:
                known.add(value)
            else:
                attributes[key] = genai.ERROR_TYPE_OTHER
        return attributes
