"""What an endpoint says to a request: one for each place, and each failure said once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel import wording
from mlflow_otel.cli.addresses import Remark, remarks
from mlflow_otel.cli.finding import Finding, Level
from mlflow_otel.delivery.compress import compress
from mlflow_otel.delivery.transport import Outcome, Reason, open_transport
from mlflow_otel.settings import SIGNALS, OtlpSettings, Settings, Signal

PROBE_SECONDS: Final = 5.0
EMPTY: Final = b""
"""An empty request of any signal. The OTLP specification has servers take it; nothing is stored."""
SPAN_NAME: Final = "mlflow-otel doctor"
REFUSED_EMPTY: Final = frozenset({"400", "422", "INVALID_ARGUMENT"})
UNAUTHENTICATED: Final = frozenset({"401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"})
NOT_TAKEN: Final = frozenset({"404", "405", "UNIMPLEMENTED", "415"})
OTHER: Final[Mapping[str, str]] = {"grpc": "http/protobuf", "http/protobuf": "grpc"}
SPOKEN: Final[Mapping[str, str]] = {"grpc": "gRPC", "http/protobuf": "http/protobuf"}
USUAL_PORT: Final[Mapping[str, int]] = {"grpc": 4317, "http/protobuf": 4318}
ADVICE: Final[Mapping[Reason, str]] = {
    "protocol": "the endpoint may want TLS (https://) or HTTP: check OTEL_EXPORTER_OTLP_PROTOCOL",
    "tls": "check http:// against https:// in the endpoint, and OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY",
    "proxy": "check the *_PROXY variables, or name the endpoint's host in NO_PROXY",
    "name": "correct the host in OTEL_EXPORTER_OTLP_ENDPOINT",
}
"""The one thing to do, by why there is no answer."""


class Probed(NamedTuple):
    """What was found of one signal.

    Args:
        finding: For the reader.
        for_all: Whether every signal that goes to the same place would fail alike.
    """

    finding: Finding
    for_all: bool = False


def probe_all(
    settings: Settings, environ: Mapping[str, str]
) -> Iterator[tuple[Finding, Signal | None]]:
    """Try each place; yield the findings, with the signal that was accepted.

    Args:
        settings: The configuration.
        environ: Where it was read from.
    """
    for signals in _places(settings):
        for number, signal in enumerate(signals):
            options = settings.otlp(signal)
            found = list(remarks(signal, options, environ))
            probed = tried(signal, options, found)
            if probed.for_all and number == 0:
                yield replace(probed.finding, about=_about(signals, options)), None
                break
            accepted = probed.finding.level == "ok"
            yield probed.finding, signal if accepted else None
            if accepted and number == 0:
                place = wording.endpoint(options.endpoint)
                yield from ((Finding("note", place, *remark), None) for remark in found)


def probe(signal: Signal, settings: OtlpSettings) -> Finding:
    """Send a request of one signal to its endpoint and say what came back."""
    return tried(signal, settings, ()).finding


def tried(signal: Signal, settings: OtlpSettings, found: Sequence[Remark]) -> Probed:
    """Send a request of one signal to its endpoint and say what came back.

    Args:
        signal: The signal.
        settings: Its settings.
        found: What its address says by itself.
    """
    about = _about([signal], settings)
    try:
        outcome = _sent(signal, settings, EMPTY)
    except ValueError as error:
        said = wording.server_text(str(error), settings.secrets)
        todo = "correct OTEL_EXPORTER_OTLP_ENDPOINT"
        return Probed(Finding("problem", about, said, todo), for_all=True)
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename}"
        todo = "correct OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_KEY or _CLIENT_CERTIFICATE"
        return Probed(Finding("problem", about, said, todo), for_all=True)
    kept = ""
    if signal == "traces" and outcome.status in REFUSED_EMPTY:
        outcome = _sent(signal, settings, _span())
        kept = f", {SPAN_NAME!r}, which it keeps: it refuses a request without spans"
    if outcome.reason == "no_otlp":
        text = f"answered with {outcome.message}: it is no OTLP endpoint"
        return Probed(Finding("problem", about, text, "correct OTEL_EXPORTER_OTLP_ENDPOINT"))
    if outcome.result == "accepted":
        text = (
            f"a test span was accepted{kept}" if kept else "a request without content was accepted"
        )
        return Probed(Finding("ok", about, text))
    return _failed(signal, settings, outcome, found)


def _failed(
    signal: Signal, settings: OtlpSettings, outcome: Outcome, found: Sequence[Remark]
) -> Probed:
    about = _about([signal], settings)
    said = wording.server_text(f"{outcome.status} {outcome.message}".strip(), settings.secrets)
    other = _speaks_other(signal, settings, outcome)
    if other is not None:
        text = f"{SPOKEN[other]} is spoken there, and {SPOKEN[settings.protocol]} was sent ({said})"
        todo = (
            f"set OTEL_EXPORTER_OTLP_PROTOCOL={other}, or name the port of {SPOKEN[settings.protocol]}: "
            f"as a rule {USUAL_PORT[settings.protocol]}"
        )
        return Probed(Finding("problem", about, text, todo), for_all=True)
    # A backend for traces alone is a fine one.
    level: Level = "problem" if signal == "traces" else "note"
    for_all = bool(outcome.reason) or outcome.status in UNAUTHENTICATED
    if found and outcome.status not in UNAUTHENTICATED:
        return Probed(Finding("problem", about, f"{said}; {found[0].text}", found[0].todo), for_all)
    return Probed(Finding(level, about, said, _advice(outcome, settings, signal)), for_all)


def _speaks_other(signal: Signal, settings: OtlpSettings, outcome: Outcome) -> str | None:
    """Return the other protocol if that is what is spoken at an endpoint."""
    if outcome.reason in {"connect", "name", "proxy"} or outcome.status in UNAUTHENTICATED:
        return None
    parts = urlsplit(settings.endpoint if "://" in settings.endpoint else f"//{settings.endpoint}")
    if not parts.netloc:
        return None
    place = f"{'https' if settings.secure else 'http'}://{parts.netloc}"
    if settings.protocol == "grpc":
        turned = replace(settings, protocol="http/protobuf", endpoint=f"{place}/v1/{signal}")
    else:
        turned = replace(settings, protocol="grpc", endpoint=place)
    try:
        answer = _sent(signal, turned, EMPTY)
    except (ValueError, OSError):
        return None
    answered = answer.result in {"accepted", "rejected"} and answer.status not in NOT_TAKEN
    return turned.protocol if answered and not answer.reason else None


def _sent(signal: Signal, settings: OtlpSettings, request: bytes) -> Outcome:
    transport = open_transport(signal, settings)
    try:
        body = compress(request, settings.compression)
        return transport.send(body, min(settings.timeout, PROBE_SECONDS))
    finally:
        transport.close()


def _advice(outcome: Outcome, settings: OtlpSettings, signal: Signal) -> str:
    if outcome.status in UNAUTHENTICATED:
        return "set OTEL_EXPORTER_OTLP_HEADERS to what the backend wants for authentication"
    if outcome.status in NOT_TAKEN:
        if signal == "traces":
            return "check the port and OTEL_EXPORTER_OTLP_PROTOCOL: gRPC is 4317, http/protobuf is 4318, as a rule"
        spared = "; MLFLOW_OTEL_METRICS=false spares the attempt" if signal == "metrics" else ""
        return f"the backend takes no {signal}; nothing to do unless you expect them there{spared}"
    if outcome.reason in ADVICE:
        return ADVICE[outcome.reason]
    shown = wording.endpoint(settings.endpoint)
    host = urlsplit(shown).netloc or shown
    return f"see that the backend listens on {host} and can be reached from here"


def _places(settings: Settings) -> list[list[Signal]]:
    """Return the signals by where they go: what hinders one hinders all of them."""
    places: dict[OtlpSettings, list[Signal]] = {}
    for signal in SIGNALS:
        options = settings.otlp(signal)
        parts = urlsplit(options.endpoint if "://" in options.endpoint else f"//{options.endpoint}")
        place = f"{parts.scheme}://{parts.netloc}" if parts.netloc else options.endpoint
        key = replace(options, endpoint=place, configured=False, named=False)
        places.setdefault(key, []).append(signal)
    return list(places.values())


def _about(signals: Sequence[Signal], settings: OtlpSettings) -> str:
    place = wording.endpoint(settings.endpoint)
    if len(signals) > 1 and settings.protocol == "http/protobuf":
        place = place.rpartition("/v1/")[0] or place
    return f"{', '.join(signals)} → {place} ({settings.protocol})"


def _span() -> bytes:
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    name = holder.resource.attributes.add(key="service.name")
    name.value.string_value = "mlflow-otel-doctor"
    group = holder.scope_spans.add()
    group.scope.name = "mlflow_otel.doctor"
    span = group.spans.add(name=SPAN_NAME, trace_id=os.urandom(16), span_id=os.urandom(8), kind=1)
    span.start_time_unix_nano = time.time_ns()
    span.end_time_unix_nano = span.start_time_unix_nano + 1
    return request.SerializeToString()
