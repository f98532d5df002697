"""Values on their way out, each shown to the user's ``redact`` function first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflow_otel.mapping.model import Redact
from mlflow_otel.mapping.values import PLAIN, Json, to_otlp

STATUS_TEXT: Final = "otel.status_description"
"""The key under which ``redact`` gets a span's status text: what OpenTelemetry calls it outside OTLP."""


def redacted(name: str, values: Mapping[str, Any], redact: Redact) -> dict[str, Any]:
    """Return what leaves of some attributes.

    Args:
        name: The name of the span, event or trace that they are of.
        values: By key. JSON is shown as text.
        redact: Returns what leaves instead of a value; None: nothing does.
    """
    leaving = {}
    for key, value in values.items():
        shown = str(value) if type(value) is Json else value
        left = redact(name, key, shown)
        if left is shown:
            left = value
        elif type(left) not in PLAIN:
            left = to_otlp(left)
        if left is not None:
            leaving[key] = left
    return leaving
