"""``mlflow-otel env``: every variable, its effective value and where it came from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from mlflow_otel.accounting import Accounting
from mlflow_otel.settings import (
    OTLP_OPTIONS,
    SDK_VARIABLES,
    SIGNALS,
    VARIABLES,
    Settings,
    otlp_source,
)

CREDENTIALS: Final = re.compile(r"//[^/@\s]*@")


def env() -> int:
    """Print the table."""
    rows = list(table(os.environ))
    width = max(len(row[0]) for row in rows)
    for name, shown, source, effect in rows:
        print(f"{name:{width}}  {shown:28}  {source:22}  {effect}")
    return 0


def table(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Return name, effective value, source and effect of every variable."""
    accounting = Accounting()
    settings = Settings.from_environment(environ, accounting)
    bad = accounting.snapshot()
    for signal in SIGNALS:
        options = settings.otlp(signal)
        for option in OTLP_OPTIONS:
            name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{option.name}"
            source = otlp_source(signal, option.name, environ)
            origin = "default" if source is None else "environment" if source == name else source
            if source is not None and f"settings.invalid.{source}" in bad:
                origin = "default (bad value)"
            value = getattr(options, option.field)
            shown = ",".join(f"{k}=…" for k, _ in value) if option.secret else value
            yield name, _shown(shown), origin, option.effect
    for variable in VARIABLES:
        origin = "environment" if environ.get(variable.name, "").strip() else "default"
        if f"settings.invalid.{variable.name}" in bad:
            origin = "default (bad value)"
        yield variable.name, _shown(getattr(settings, variable.field)), origin, variable.effect
    for name, effect in SDK_VARIABLES.items():
        value = environ.get(name, "").strip()
        yield name, _shown(value or None), "environment" if value else "the SDK's default", effect


def _shown(value: object) -> str:
    if value is None or value in ("", ()):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return ",".join(sorted(value)) or "none"
    if isinstance(value, tuple):
        return ",".join("=".join(pair) for pair in value)
    return f"{value:g}" if isinstance(value, float) else CREDENTIALS.sub("//…@", str(value))
