"""What an endpoint's address says by itself: scheme, port and path, and what is made of them.

Follows https://opentelemetry.io/docs/specs/otel/protocol/exporter/ for the paths of signals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from mlflow_otel import wording
from mlflow_otel.settings import OtlpSettings, Signal
from mlflow_otel.settings.otlp import otlp_source

GRPC_TARGET: Final = re.compile(r"(?:unix|unix-abstract|dns|ipv4|ipv6):(?!//[^/]*:)")
SIGNAL_PATH: Final = re.compile(r"/v1/(?:traces|logs|metrics)/?$")


class Remark(NamedTuple):
    """One thing about an address.

    Args:
        text: What it is like, and what it means.
        todo: The one thing to do.
    """

    text: str
    todo: str


def remarks(signal: Signal, settings: OtlpSettings, environ: Mapping[str, str]) -> Iterator[Remark]:
    """Yield what is unusual about the address that a signal goes to; the gravest first.

    Args:
        signal: The signal.
        settings: Its settings.
        environ: Where they were read from.
    """
    variable = otlp_source(signal, "ENDPOINT", environ)
    if variable is None:
        return
    raw = environ[variable].strip()
    if settings.protocol == "grpc" and GRPC_TARGET.match(raw):
        return
    shown = wording.endpoint(raw)
    try:
        parts = urlsplit(raw if "://" in raw else f"//{raw}")
        port = parts.port
    except ValueError:  # the probe says what is wrong with it
        return
    yield from _path(signal, settings, variable, parts.path)
    yield from _scheme(settings, variable, parts.scheme, shown)
    if port is None and parts.hostname:
        yield Remark(
            f"{variable} names no port: {_default_port(settings)} is used",
            "write the port: as a rule 4317 for gRPC and 4318 for http/protobuf",
        )


def _path(signal: Signal, settings: OtlpSettings, variable: str, path: str) -> Iterator[Remark]:
    if settings.protocol == "grpc":
        if path.strip("/"):
            yield Remark(
                f"{variable} has a path, which gRPC does not use",
                "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf if you mean HTTP, or leave the path out",
            )
    elif not settings.named and SIGNAL_PATH.search(path):
        yield Remark(
            f"the path of the signal is in {variable} already, and is added once more",
            f"leave it out there, or name the signal's own endpoint: OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT",
        )
    elif settings.named and not path.strip("/"):
        yield Remark(
            f"{variable} has no path, and none is added to a signal's own endpoint",
            f"add /v1/{signal} to it",
        )


def _scheme(settings: OtlpSettings, variable: str, scheme: str, shown: str) -> Iterator[Remark]:
    if scheme in {"http", "https"}:
        return
    rest = shown.partition("://")[2] or shown
    if settings.protocol == "http/protobuf":
        if not scheme:
            yield Remark(
                f"{variable} has no scheme: http:// is used, without TLS",
                f"write http://{rest}, or https://{rest} for TLS",
            )
        return
    meaning = (
        "TLS is used" if settings.secure else "no TLS is used, as OTEL_EXPORTER_OTLP_INSECURE says"
    )
    what = f"begins with {scheme}://, which OTLP does not know" if scheme else "has no scheme"
    yield Remark(
        f"{variable} {what}: {meaning}", f"write http://{rest} without TLS, https://{rest} with it"
    )


def _default_port(settings: OtlpSettings) -> int:
    if settings.protocol == "grpc":
        return 443 if settings.secure else 4317
    return 443 if settings.endpoint.startswith("https:") else 80
