"""How settings may be shown: without what is secret in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from mlflow_otel import wording


def _headers_shown(headers: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{key}={wording.HIDDEN}" for key, _ in headers)


SHOWN: Final[Mapping[str, Callable[[Any], str]]] = {
    "endpoint": wording.endpoint,
    "tracking_uri": wording.endpoint,
    "trace_lookup": wording.endpoint,
    "headers": _headers_shown,
    "trace_lookup_headers": _headers_shown,
}
"""The fields that may hold a secret, and how each is shown."""


def shown(field: str, value: Any) -> Any:
    """Return a field's value as it may be shown, in ``repr`` and on the terminal."""
    return SHOWN[field](value) if value and field in SHOWN else value


def shown_fields(settings: Any) -> str:
    """Return the ``repr`` of settings, with each field as it may be shown."""
    pairs = ((f.name, shown(f.name, getattr(settings, f.name))) for f in fields(settings))
    return f"{type(settings).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"
