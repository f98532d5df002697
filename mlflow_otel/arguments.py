"""The arguments of ``instrument()``, made into settings. They beat the variables of the same meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import quote

from mlflow_otel import declared
from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.settings import SIGNALS, OtlpSettings, Settings, Signal, read_otlp

PATHS: Final = tuple(f"/v1/{signal}" for signal in SIGNALS)
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
OTHERS: Final = {"OTEL_SERVICE_NAME": "service_name", "MLFLOW_OTEL_CONVENTIONS": "conventions"}


@dataclass(frozen=True)
class Arguments:
    """What can be given to ``instrument()`` as well as in the environment. None means that it is not given.

    An empty text is not given either, as an empty variable is an unset one. An empty mapping of headers
    means that none are sent.

    Args:
        endpoint: Stands for ``OTEL_EXPORTER_OTLP_ENDPOINT``. It is the endpoint of all signals, so a
            signal's path at its end is removed.
        protocol: Stands for ``OTEL_EXPORTER_OTLP_PROTOCOL``.
        headers: Stands for ``OTEL_EXPORTER_OTLP_HEADERS``: a mapping, pairs, or text as in the variable.
        service_name: Stands for ``OTEL_SERVICE_NAME``.
        conventions: Stands for ``MLFLOW_OTEL_CONVENTIONS``: names, or text as in the variable.
    """

    endpoint: str | None = None
    protocol: str | None = None
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | str | None = None
    service_name: str | None = None
    conventions: Iterable[str] | str | None = None

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def variables(self, accounting: Accounting = ACCOUNTING) -> dict[str, str]:
        """Return the variables that the arguments stand for. A bad argument is warned about like a bad variable."""
        found = {
            ENDPOINT: _without_signal_path(self.endpoint),
            PROTOCOL: self.protocol,
            HEADERS: _as_variable(
                "headers", lambda: _headers_text(self.headers, accounting), accounting
            ),
            "OTEL_SERVICE_NAME": self.service_name,
            "MLFLOW_OTEL_CONVENTIONS": _as_variable(
                "conventions", lambda: _conventions_text(self.conventions), accounting
            ),
        }
        written = {name: str(value) for name, value in found.items() if value is not None}
        none_sent = self.headers is not None and not isinstance(self.headers, str)
        return {
            name: value
            for name, value in written.items()
            if value.strip() or (name == HEADERS and none_sent)
        }

    def settings(self, accounting: Accounting = ACCOUNTING) -> Settings:
        """Return the settings of environment and configuration file, with the arguments that are given here."""
        environ = declared.merged(
            self.variables(accounting), declared.environment(accounting=accounting)
        )
        return Settings.from_environment(environ, accounting)

    def applied_to(self, settings: Settings, accounting: Accounting = ACCOUNTING) -> Settings:
        """Return ``settings`` with the arguments that are given here."""
        given = self.variables(accounting)
        read = Settings.from_environment(given, accounting)
        changed: dict[str, Any] = {
            field: getattr(read, field) for name, field in OTHERS.items() if name in given
        }
        for signal in SIGNALS:
            changed[signal] = _changed(signal, settings.otlp(signal), given, accounting)
        return replace(settings, **changed)


def _changed(
    signal: Signal, before: OtlpSettings, given: Mapping[str, str], accounting: Accounting
) -> OtlpSettings:
    """Return one signal's options with the variables that are given."""
    spoken = {PROTOCOL: before.protocol, **given}
    after = read_otlp(signal, spoken, accounting)
    kept = not after.configured and (before.named or after.protocol == before.protocol)
    default = read_otlp(signal, {PROTOCOL: before.protocol}).endpoint
    if not kept and not after.configured and before.endpoint != default:
        # The endpoint of all signals, in another protocol: HTTP adds the signal's path.
        base = before.endpoint.rstrip("/").removesuffix(f"/v1/{signal}")
        after = replace(read_otlp(signal, {**spoken, ENDPOINT: base}), configured=before.configured)
    return replace(
        before,
        protocol=after.protocol,
        endpoint=before.endpoint if kept else after.endpoint,
        configured=before.configured or after.configured,
        named=before.named and kept,
        headers=after.headers if HEADERS in given else before.headers,
    )


def _without_signal_path(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    given = str(endpoint)  # or an object that stands for a URL
    whole = given.rstrip("/")
    return next((whole.removesuffix(path) for path in PATHS if whole.endswith(path)), given)


def _as_variable(name: str, write: Callable[[], str | None], accounting: Accounting) -> str | None:
    """Return an argument as the variable's text. One of a wrong type is not used, with a warning."""
    try:
        return write()
    except (TypeError, ValueError, AttributeError) as error:
        accounting.warn(
            f"arguments.{name}",
            "instrument() cannot read the argument %s (%s), so it is not used. See the "
            "documentation of instrument().",
            name,
            type(error).__name__,
        )
        return None


def _headers_text(
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | str | None, accounting: Accounting
) -> str | None:
    if headers is None or isinstance(headers, str):
        return headers
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = [(_header_part(key), _header_part(value)) for key, value in pairs]
    for key, value in found:
        if key and value is None:
            accounting.warn(
                f"arguments.headers.{key}",
                "instrument(): the value of the header %s is no text, so it is not sent. The others are. "
                "Give it a text.",
                key,
            )
    return ",".join(
        f"{quote(key)}={quote(value)}" for key, value in found if key and value is not None
    )


def _header_part(part: object) -> str | None:
    """Return a header's name or value as text, or None when it is none."""
    if isinstance(part, bytes):  # as some of HTTP's clients have them
        return part.decode(errors="replace")
    return None if part is None else str(part)


def _conventions_text(conventions: Iterable[str] | str | None) -> str | None:
    if conventions is None or isinstance(conventions, str):
        return conventions
    return ",".join(map(str, conventions))
