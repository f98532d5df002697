"""Declarative configuration: what the file at ``OTEL_CONFIG_FILE`` says about this package.

``exporter: {mlflow_otlp: …}`` holds options of the exporter, ``sampler: {mlflow: …}`` of the sampler;
see https://opentelemetry.io/docs/specs/otel/configuration/sdk/. An option stands for the variable of
the same meaning, and beats it. The package ``opentelemetry-configuration`` (0.66b2 and later) reads the
file. Two private functions of it are called here, ``_create_sampler`` and ``create_resource``, because
the package does not build MLflow's own tracer provider.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.settings import SIGNALS, VARIABLES, Settings

FILE: Final = "OTEL_CONFIG_FILE"
EXPORTER: Final = "mlflow_otlp"
SAMPLER: Final = "mlflow"
TRACES_PATH: Final = "/v1/traces"
OTLP: Final = {
    "endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "protocol": "OTEL_EXPORTER_OTLP_PROTOCOL",
    "headers": "OTEL_EXPORTER_OTLP_HEADERS",
    "headers_list": "OTEL_EXPORTER_OTLP_HEADERS",
    "timeout": "OTEL_EXPORTER_OTLP_TIMEOUT",
    "compression": "OTEL_EXPORTER_OTLP_COMPRESSION",
    "insecure": "OTEL_EXPORTER_OTLP_INSECURE",
    "ca_file": "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "key_file": "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "cert_file": "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
}
"""The options of the schema's ``otlp_http`` and ``otlp_grpc``, those of ``tls`` among them."""
OWN: Final = {variable.field: variable.name for variable in VARIABLES}


class Declared(NamedTuple):
    """What the file says.

    Args:
        exporter: The options of ``mlflow_otlp``; empty when there are none.
        sampler: The options of ``mlflow``; None when that is not the sampler.
        disabled: Whether the file turns the SDK off.
        model: The whole file, as the package has it; None when there is no file.
    """

    exporter: Mapping[str, Any] = {}
    sampler: Mapping[str, Any] | None = None
    disabled: bool = False
    model: Any = None


def declared() -> Declared:
    """Return what the file says. Nothing when there is no file, or when it cannot be read."""
    path = os.environ.get(FILE, "").strip()
    return _read(path) if path else Declared()


@functools.lru_cache(maxsize=8)
def _read(path: str) -> Declared:
    try:
        from opentelemetry.configuration import load_config_file  # noqa: PLC0415
    except ImportError:
        ACCOUNTING.warn(
            "declared.missing",
            "OTEL_CONFIG_FILE is set, but mlflow-otel cannot read the file without the package "
            "opentelemetry-configuration, so the file has no effect on it. Run pip install "
            "opentelemetry-configuration.",
        )
        return Declared()
    try:
        model = load_config_file(path)
    except Exception as error:
        ACCOUNTING.warn(
            "declared.invalid",
            "OTEL_CONFIG_FILE=%s cannot be read (%s: %s), so the environment variables are used "
            "instead. Correct the file.",
            path,
            type(error).__name__,
            error,
        )
        return Declared()
    traces = model.tracer_provider
    found = {} if traces is None else dict(_named(traces))
    return Declared(
        exporter=found.get(EXPORTER) or {},
        sampler=(found[SAMPLER] or {}) if SAMPLER in found else None,
        disabled=bool(model.disabled),
        model=model,
    )


def _named(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield each component that the schema does not define itself, with its options, at any depth."""
    if isinstance(part, (list, tuple)):
        for one in part:
            yield from _named(one)
    elif is_dataclass(part):
        yield from getattr(part, "additional_properties", {}).items()
        for field in fields(part):
            yield from _named(getattr(part, field.name))


def variables(options: Mapping[str, Any], accounting: Accounting = ACCOUNTING) -> dict[str, str]:
    """Return the variables that an exporter's options stand for.

    Args:
        options: Those of the schema's OTLP exporters, and the fields of ``Settings``. ``timeout`` is in
            milliseconds, as the schema has it.
        accounting: Gets one warning for each that is unknown.
    """
    found: dict[str, str] = {}
    for name, value in _flat(options):
        if value is None:
            continue
        variable = OTLP.get(name) or OWN.get(name)
        if variable is None:
            accounting.warn(
                f"declared.unknown.{name}",
                "OTEL_CONFIG_FILE: the exporter mlflow_otlp has no option %s, so that line has no "
                "effect. Remove it, or see docs/configuration.md.",
                name,
            )
            continue
        try:
            text = _text(name, value)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            accounting.warn(
                f"declared.unreadable.{name}",
                "OTEL_CONFIG_FILE: the option %s of the exporter mlflow_otlp cannot be read (%s), so that "
                "line has no effect. Correct it, see docs/configuration.md.",
                name,
                type(error).__name__,
            )
            continue
        if name == "endpoint" and _has_path_of_its_own(text):
            found["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = text  # as it stands
        elif name == "endpoint":
            found[variable] = text.rstrip("/").removesuffix(TRACES_PATH)
        else:
            found[variable] = text
    return found


def _has_path_of_its_own(endpoint: str) -> bool:
    try:
        return urlsplit(endpoint).path.rstrip("/") not in {"", TRACES_PATH}
    except ValueError:  # no URL: reading the variable says so
        return False


def _flat(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if name == "tls" and isinstance(value, Mapping):
            yield from value.items()
        else:
            yield name, value


def _text(name: str, value: Any) -> str:
    """Return an option as its variable has it.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: The option has a shape that the variable cannot have.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if name == "timeout" and isinstance(value, (int, float)):
        return str(value / 1000)
    if name == "headers" and isinstance(value, list):  # of the schema: name and value
        value = {str(pair["name"]): pair.get("value") or "" for pair in value}
    if name in OTLP and name != "headers" and not isinstance(value, (str, int, float)):
        raise TypeError(f"{name} is a text or a number")
    if isinstance(value, Mapping):
        return ",".join(f"{quote(str(k))}={quote(str(v))}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)


def merged(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which ``given`` beats all else, a signal's own variables too."""
    result = dict(environ)
    for name in given:
        head, found, option = name.partition("OTEL_EXPORTER_OTLP_")
        if found and not head:
            for signal in SIGNALS:
                result.pop(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{option}", None)
    return {**result, **given}


def settings(
    options: Mapping[str, Any] | None = None, accounting: Accounting = ACCOUNTING
) -> Settings:
    """Return the settings of the environment. What the file says beats the variables.

    Args:
        options: Of the exporter; the file's when None.
        accounting: Gets one warning for each bad value.
    """
    return Settings.from_environment(environment(options, accounting), accounting)


def environment(
    options: Mapping[str, Any] | None = None, accounting: Accounting = ACCOUNTING
) -> dict[str, str]:
    """Return the environment as the file changes it; see ``settings``."""
    said = declared()
    given = variables(said.exporter if options is None else options, accounting)
    if said.disabled:
        given["OTEL_SDK_DISABLED"] = "true"
    return merged(given, os.environ)


def other_sampler() -> Any:
    """Return the sampler that the file describes when it is not ours; None when there is none."""
    model = declared().model
    described = getattr(getattr(model, "tracer_provider", None), "sampler", None)
    return None if described is None else _build("_tracer_provider", "_create_sampler", described)


def resource() -> Any:
    """Return the resource that the file describes; None when there is none."""
    described = getattr(declared().model, "resource", None)
    return None if described is None else _build("_resource", "create_resource", described)


def _build(module: str, function: str, described: Any) -> Any:
    try:
        package = __import__(f"opentelemetry.configuration.{module}", fromlist=[function])
        return getattr(package, function)(described)
    except Exception as error:
        ACCOUNTING.warn(
            f"declared.{function}",
            "The %s in OTEL_CONFIG_FILE could not be built for MLflow's own tracer provider (%s: "
            "%s), so it has no effect there. Set MLFLOW_USE_DEFAULT_TRACER_PROVIDER=false to use "
            "the SDK's provider.",
            type(described).__name__,
            type(error).__name__,
            error,
        )
        return None
