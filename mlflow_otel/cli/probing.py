"""What an endpoint says to a request: one for each place, and each failure said once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from mlflow_otel import wording
from mlflow_otel.cli import experiment_header, recognise
from mlflow_otel.cli.addresses import Remark, remarks
from mlflow_otel.cli.contentless import EMPTY, SPAN_NAME, WITHOUT_SPANS, send, try_signal
from mlflow_otel.cli.finding import Finding, Level
from mlflow_otel.delivery.transport import Outcome, Reason
from mlflow_otel.settings import SIGNALS, OtlpSettings, Settings, Signal

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
        signal: The signal; None if the finding is about its address alone.
        not_taken: Whether the place takes traces, perhaps, but not this signal.
    """

    finding: Finding
    for_all: bool = False
    signal: Signal | None = None
    not_taken: bool = False

    @property
    def accepted(self) -> bool:
        """Whether a request of the signal was accepted."""
        return self.signal is not None and self.finding.level == "ok"


def sent(settings: Settings) -> Iterator[Signal]:
    """Yield the signals that an app with these settings sends."""
    for signal in SIGNALS:
        measured = signal == "metrics" and settings.measures(shared=False)
        if signal == "traces" or measured or signal in settings.assessment_signals:
            yield signal


def probe_all(settings: Settings, environ: Mapping[str, str]) -> Iterator[Probed]:
    """Try each place with each signal that is sent there.

    Args:
        settings: The configuration.
        environ: Where it was read from.
    """
    for signals in _places(settings):
        for number, signal in enumerate(signals):
            options = settings.otlp(signal)
            found = list(remarks(signal, options, environ))
            probed = tried(signal, options, found, environ)
            if probed.for_all and number == 0:
                yield Probed(replace(probed.finding, about=_about(signals, options)))
                break
            yield probed._replace(signal=signal)
            if probed.finding.level == "ok" and number == 0:
                place = wording.endpoint(options.endpoint)
                yield from (Probed(Finding("note", place, *remark)) for remark in found)


def probe(signal: Signal, settings: OtlpSettings) -> Finding:
    """Send a request of one signal to its endpoint and say what came back."""
    return tried(signal, settings, (), {}).finding


def tried(
    signal: Signal, settings: OtlpSettings, found: Sequence[Remark], environ: Mapping[str, str]
) -> Probed:
    """Send a request of one signal to its endpoint and say what came back.

    Args:
        signal: The signal.
        settings: Its settings.
        found: What its address says by itself.
        environ: Where the settings were read from.
    """
    about = _about([signal], settings)
    try:
        answered = try_signal(signal, settings)
    except ValueError as error:
        said = wording.server_text(str(error), settings.secrets)
        todo = "correct OTEL_EXPORTER_OTLP_ENDPOINT"
        return Probed(Finding("problem", about, said, todo), for_all=True)
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename}"
        todo = "correct OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_KEY or _CLIENT_CERTIFICATE"
        return Probed(Finding("problem", about, said, todo), for_all=True)
    outcome = answered.outcome
    if answered.sent == WITHOUT_SPANS and outcome.result == "accepted":
        # MLflow's server looks for the experiment only when there is a span to be stored.
        outcome = experiment_header.refusal(settings) or outcome
    if outcome.reason == "no_otlp":
        text = f"answered with {outcome.message}: it is no OTLP endpoint"
        return Probed(Finding("problem", about, text, "correct OTEL_EXPORTER_OTLP_ENDPOINT"))
    if outcome.result == "accepted":
        text = "a request without content was accepted"
        if answered.left_behind:
            text = f"a test span was accepted, {SPAN_NAME!r}, which it keeps: it refuses a request without spans"
        return Probed(Finding("ok", about, text))
    return _failed(signal, settings, outcome, found, environ)


def _failed(
    signal: Signal,
    settings: OtlpSettings,
    outcome: Outcome,
    found: Sequence[Remark],
    environ: Mapping[str, str],
) -> Probed:
    about = _about([signal], settings)
    said = _said(outcome, settings)
    named = experiment_header.HEADER in said  # only MLflow's server speaks of it
    mlflow = signal == "traces" and (named or recognise.at_endpoint(settings) is recognise.MLFLOW)
    other = None if named else _speaks_other(signal, settings, outcome)
    if other is not None:
        text = f"{SPOKEN[other]} is spoken there, and {SPOKEN[settings.protocol]} was sent"
        todo = (
            f"set OTEL_EXPORTER_OTLP_PROTOCOL={other}, or name the port of {SPOKEN[settings.protocol]}: "
            f"as a rule {USUAL_PORT[settings.protocol]}"
        )
        if mlflow:
            text += f": it is {recognise.MLFLOW.name}"
            todo = (
                f"set OTEL_EXPORTER_OTLP_PROTOCOL={other}, and {experiment_header.wanted(environ)}"
            )
        return Probed(Finding("problem", about, text, todo), for_all=True)
    experiment = experiment_header.advice(outcome, settings, environ) if mlflow else None
    if experiment is not None:
        text = f"{recognise.MLFLOW.name} refuses spans: {said}"
        return Probed(Finding("problem", about, text, experiment))
    # A backend for traces alone is a fine one.
    level: Level = "problem" if signal == "traces" else "note"
    for_all = bool(outcome.reason) or outcome.status in UNAUTHENTICATED
    if found and outcome.status not in UNAUTHENTICATED:
        return Probed(Finding("problem", about, f"{said}; {found[0].text}", found[0].todo), for_all)
    if level == "note" and outcome.status in NOT_TAKEN:
        text = f"it takes no {signal} ({said})"
        return Probed(Finding(level, about, text), for_all, not_taken=True)
    return Probed(Finding(level, about, said, _advice(signal, outcome, settings, environ)), for_all)


def _said(outcome: Outcome, settings: OtlpSettings) -> str:
    """Return what was answered, with the status once."""
    message = wording.server_text(outcome.message, settings.secrets)
    return message if message.startswith(outcome.status) else f"{outcome.status} {message}".strip()


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
        answer = send(signal, turned, EMPTY)
    except (ValueError, OSError):
        return None
    answered = answer.result in {"accepted", "rejected"} and answer.status not in NOT_TAKEN
    return turned.protocol if answered and not answer.reason else None


def _advice(
    signal: Signal, outcome: Outcome, settings: OtlpSettings, environ: Mapping[str, str]
) -> str:
    if outcome.status in UNAUTHENTICATED:
        return "set OTEL_EXPORTER_OTLP_HEADERS to what the backend wants for authentication"
    if outcome.status in NOT_TAKEN:
        return "check the port and OTEL_EXPORTER_OTLP_PROTOCOL: gRPC is 4317, http/protobuf is 4318, as a rule"
    if outcome.reason in ADVICE:
        return ADVICE[outcome.reason]
    shown = wording.endpoint(settings.endpoint)
    host = urlsplit(shown).netloc or shown
    if not settings.configured and signal != "traces" and environ.get(TRACES_ENDPOINT):
        return NOT_TRACES
    if not settings.configured:
        return (
            f"set OTEL_EXPORTER_OTLP_ENDPOINT to your backend's, or start one on {host}: "
            "`mlflow-otel receive` is one"
        )
    return f"see that the backend listens on {host} and can be reached from here"


TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
NOT_TRACES: Final = (
    "set OTEL_EXPORTER_OTLP_ENDPOINT to a backend that takes metrics and events too, or send none: "
    "MLFLOW_OTEL_METRICS=false and MLFLOW_OTEL_ASSESSMENT_SIGNALS=traces"
)
"""Where only traces have an endpoint, the others go to the default one, at which nobody may listen."""


def _places(settings: Settings) -> list[list[Signal]]:
    """Return the signals by where they go: what hinders one hinders all of them."""
    places: dict[OtlpSettings, list[Signal]] = {}
    for signal in sent(settings):
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
