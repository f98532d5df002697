"""Reading one variable of the table from the environment, with one warning for a bad value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

from mlflow_otel.accounting import Accounting
from mlflow_otel.settings.choices import SIGNALS
from mlflow_otel.settings.parsers import PartlyInvalidError
from mlflow_otel.settings.variables import OTLP_OPTIONS, VARIABLES, Variable

T = TypeVar("T")


def read(
    variable: Variable, name: str, environ: Mapping[str, str], default: T, accounting: Accounting
) -> T:
    """Return the value of ``variable``, which is set as ``name``.

    An empty value is an unset one, as the SDK's specification has it. ``accounting`` gets one
    warning for a value that is not valid; ``default`` is used instead of it.
    """
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value: T = variable.parse(text)
    except PartlyInvalidError as error:
        accounting.warn(
            f"settings.invalid.{name}",
            "%s: %s is not key=value with a percent-encoded value, so it is not used. The other "
            "entries are. Correct it.",
            name,
            error,
        )
        return cast("T", error.value)
    except ValueError as error:
        shown = "…" if variable.secret else repr(text)
        used = "the default" if default is None else _as_written(default)
        accounting.warn(
            f"settings.invalid.{name}",
            "%s=%s is not valid: set it to %s. Using %s.",
            name,
            shown,
            error,
            used,
        )
        return default
    return value


def refusal(name: str, environ: Mapping[str, str]) -> str:
    """Return what a variable takes whose value is not valid; nothing if the value is valid.

    Args:
        name: The variable.
        environ: Where it is set.
    """
    try:
        _variable(name).parse(environ.get(name, "").strip())
    except PartlyInvalidError as error:
        return f"key=value,key=value, percent-encoded ({error} is not)"
    except ValueError as error:
        return str(error)
    return ""


def _variable(name: str) -> Variable:
    for variable in VARIABLES:
        if variable.name == name:
            return variable
    option = name.removeprefix("OTEL_EXPORTER_OTLP_")
    for signal in SIGNALS:
        option = option.removeprefix(f"{signal.upper()}_")
    return next(one for one in OTLP_OPTIONS if one.name == option)


def _as_written(value: object) -> str:
    """Return a value as one would set it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return repr(",".join(sorted(map(str, value))))
    return repr(value)
