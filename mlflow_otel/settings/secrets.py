"""The kinds of values that hold a secret: how each may be shown, and what of it no log may have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from mlflow_otel import wording


class Secret(NamedTuple):
    """A kind of values.

    Args:
        shown: Returns a value as it may be shown.
        parts: Returns what of a value must be in no message.
    """

    shown: Callable[[Any], str]
    parts: Callable[[Any], Iterable[str]]


def _headers_shown(headers: Iterable[tuple[str, str]]) -> str:
    return ",".join(f"{key}={wording.HIDDEN}" for key, _ in headers)


URL: Final = Secret(wording.endpoint, wording.secrets_of)
"""A URL: its user, password, query and token-like parts of its path."""
HEADERS: Final = Secret(_headers_shown, lambda headers: wording.secrets_of("", headers))
"""Pairs of a header's name and value: the values."""
WHOLE: Final = Secret(lambda _: wording.HIDDEN, lambda text: (text,))
"""A text that is a secret itself, as a token is."""
