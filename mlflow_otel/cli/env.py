"""``mlflow-otel env``: every variable, its effective value, where it came from, what it may be."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mlflow_otel.accounting import Silent
from mlflow_otel.settings import (
    OTLP_OPTIONS,
    SDK_VARIABLES,
    SIGNALS,
    VARIABLES,
    Settings,
    otlp_source,
    refusal,
    shown,
)
from mlflow_otel.wording import endpoint as shown_endpoint

WIDTH: Final = 80


class Row(NamedTuple):
    """One variable.

    Args:
        name: The variable.
        value: What is in force, less credentials.
        source: ``default``, ``environment``, the general variable that decides, or what is wrong with
            the value that is set: the default is in force then.
        default: What holds when it is not set.
        accepts: Which values it takes.
        effect: What it does.
    """

    name: str
    value: str
    source: str
    default: str
    accepts: str
    effect: str

    @property
    def is_set(self) -> bool:
        """Whether the environment says anything of it."""
        return self.source != "default"


def env(*, everything: bool = False, as_json: bool = False) -> int:
    """Print what is set and, when asked, all the rest.

    Args:
        everything: Whether also the variables that are not set.
        as_json: Whether as a JSON list of all of them.
    """
    rows = list(table(os.environ))
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=2, ensure_ascii=False))
        return 0
    chosen = [row for row in rows if row.is_set]
    print("Set:" if chosen else "No variable is set: the defaults hold.")
    for row in chosen:
        print(*_lines(row), sep="\n")
    rest = [row for row in rows if not row.is_set]
    if everything:
        print("\nNot set:")
        for row in rest:
            print(*_lines(row), sep="\n")
    else:
        print(f"\n{len(rest)} more can be set: mlflow-otel env --all")
    return 0


def _lines(row: Row) -> Iterator[str]:
    line = f"  {row.name}={row.value}"
    yield from [line] if len(line) <= WIDTH else [f"  {row.name}=", f"      {row.value}"]
    if row.source not in {"default", "environment"}:
        yield from _wrapped(f"({row.source})")
    accepted = f" Takes {row.accepts}." if row.accepts else ""
    default = f" Default: {row.default}." if row.is_set else ""
    said = f"{row.effect[:1].upper()}{row.effect[1:]}.{accepted}{default}"
    yield from _wrapped(said)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def table(environ: Mapping[str, str]) -> Iterator[Row]:
    """Return every variable."""
    accounting = Silent()
    settings, defaults = Settings.from_environment(environ, accounting), Settings()
    bad = accounting.snapshot()
    for variable in VARIABLES:
        origin = "environment" if environ.get(variable.name, "").strip() else "default"
        if f"settings.invalid.{variable.name}" in bad:
            origin = _refused(variable.name, environ)
        value = shown(variable.field, getattr(settings, variable.field))
        yield Row(
            variable.name,
            _as_text(value),
            origin,
            _as_text(getattr(defaults, variable.field)),
            variable.accepts,
            variable.effect,
        )
    for signal in SIGNALS:
        options, unset = settings.otlp(signal), Settings.from_environment({}).otlp(signal)
        for option in OTLP_OPTIONS:
            name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{option.name}"
            source = otlp_source(signal, option.name, environ)
            origin = "default" if source is None else "environment" if source == name else source
            if source is not None and f"settings.invalid.{source}" in bad:
                origin = _refused(source, environ)
            value = shown(option.field, getattr(options, option.field))
            yield Row(
                name,
                _as_text(value),
                origin,
                _as_text(getattr(unset, option.field)),
                option.accepts,
                option.effect,
            )
    for name, effect in SDK_VARIABLES.items():
        text = environ.get(name, "").strip()
        yield Row(
            name,
            _as_text(text or None),
            "environment" if text else "default",
            "the SDK's",
            "",
            effect,
        )


def _refused(name: str, environ: Mapping[str, str]) -> str:
    return f"{name} is not valid and not used: set it to {refusal(name, environ)}"


def _as_text(value: object) -> str:
    if value is None or value in ("", ()):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return ",".join(sorted(value)) or "none"
    if isinstance(value, tuple):
        return ",".join(item if isinstance(item, str) else "=".join(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return shown_endpoint(value) if isinstance(value, str) and "://" in value else str(value)
