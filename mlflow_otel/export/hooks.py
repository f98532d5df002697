"""Calls the user's own functions before export: ``redact`` and ``should_export``.

They are the app's code, so each call is guarded. What they raise is counted and warned about, and
never reaches the app.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mlflow_otel.accounting import Accounting
from mlflow_otel.mapping.model import Redact


class SpanToExport(NamedTuple):
    """What ``should_export`` sees of a span: it can be read, not changed.

    Args:
        name: As it leaves.
        attributes: As they leave, mapped and redacted.
        scope: The instrumentation scope; ``mlflow_otel`` for MLflow's spans.
        is_mlflow: Whether MLflow made the span, or it is an evaluation of MLflow's.
    """

    name: str
    attributes: Mapping[str, Any]
    scope: InstrumentationScope | None
    is_mlflow: bool


ShouldExport: TypeAlias = Callable[[SpanToExport], object]


class Redaction:
    """Calls the user's ``redact``. A value on which it raises does not leave.

    Args:
        function: The function, or ``package.module:function``. One that cannot be found raises at
            each call, so that nothing leaves unredacted.
        accounting: Gets ``redact_failed``.
    """

    def __init__(self, function: str | Redact, accounting: Accounting) -> None:
        self.named = function
        self._accounting = accounting
        self._function = _first(function)

    def __call__(self, name: str, key: str, value: Any) -> Any:
        """Return what leaves in place of a value, or None if nothing leaves."""
        try:
            if self._function is None:
                self._function = load(self.named)
            return self._function(name, key, value)
        except Exception as error:
            self._accounting.warn(
                "redact_failed",
                "A value was not exported, because redact failed on it (%s, at the key %r). "
                "Correct the function that redact= or MLFLOW_OTEL_REDACT names.",
                _why(error),
                key,
            )
            return None


class Filter:
    """Calls the user's ``should_export``. A span on which it raises leaves.

    It says which spans are worth their cost, so its own fault must not cost the spans. What must not
    leave is for content capture off and for ``redact``. Both hold for such a span too, and where
    ``redact`` raises, the value does not leave.

    Args:
        function: The function, or ``package.module:function``.
        accounting: Gets ``filtered`` for each span that does not leave, and ``should_export_failed``.
    """

    def __init__(self, function: str | ShouldExport, accounting: Accounting) -> None:
        self.named = function
        self._accounting = accounting
        self._function = _first(function)

    def __call__(self, span: SpanToExport) -> bool:
        """Tell whether a span leaves."""
        try:
            if self._function is None:
                self._function = load(self.named)
            kept = bool(self._function(span))
        except Exception as error:
            self._accounting.warn(
                "should_export_failed",
                "should_export failed on a span (%s), so the span was exported. Correct the "
                "function that should_export= or MLFLOW_OTEL_SHOULD_EXPORT names.",
                _why(error),
            )
            return True
        if not kept:
            self._accounting.count("filtered")
        return kept


class HookNotFoundError(LookupError):
    """A variable names a function that cannot be imported."""


def load(function: Any, *, callable_only: bool = True) -> Any:
    """Return what ``package.module:name`` names; what is no text is returned as it is.

    Args:
        function: The text, or a function.
        callable_only: Whether it must be callable.

    Raises:
        HookNotFoundError: There is no such thing.
    """
    if not isinstance(function, str):
        return function
    module, _, path = function.strip().partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except Exception as error:
        raise HookNotFoundError(f"{function!r} cannot be imported: {error!r}") from error
    if callable_only and not callable(found):
        raise HookNotFoundError(f"{function!r} is not package.module:function")
    return found


def _first(function: Any) -> Any:
    # Import it now if possible: a thread of ours that imports the app's code may wait for its locks.
    # An app that is instrumented before it starts may not be importable yet. Then import it at the
    # first use.
    try:
        return load(function)
    except HookNotFoundError:
        return None


def _why(error: Exception) -> str:
    # The error message of the app's function may quote the value.
    return str(error) if isinstance(error, HookNotFoundError) else type(error).__name__
