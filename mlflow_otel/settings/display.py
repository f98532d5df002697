"""How settings may be shown: without what is secret in them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from mlflow_otel.settings.secrets import Secret
from mlflow_otel.settings.variables import OTLP_OPTIONS, VARIABLES

SECRETS: Final[dict[str, Secret]] = {
    variable.field: variable.secret
    for variable in (*OTLP_OPTIONS, *VARIABLES)
    if variable.secret is not None
}
"""The fields that may hold a secret, and of which kind it is."""


def shown(field: str, value: Any) -> Any:
    """Return a field's value as it may be shown, in ``repr`` and on the terminal."""
    return SECRETS[field].shown(value) if value and field in SECRETS else value


def shown_fields(settings: Any) -> str:
    """Return the ``repr`` of settings, with each field as it may be shown."""
    pairs = ((f.name, shown(f.name, getattr(settings, f.name))) for f in fields(settings))
    return f"{type(settings).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"
