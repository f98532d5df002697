"""``mlflow-otel doctor``: what is wrong with this environment, and the one thing to do about each."""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mlflow_otel import versions, wording
from mlflow_otel.accounting import Silent
from mlflow_otel.backends.model import BackendError
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.cli import recognise
from mlflow_otel.cli.finding import Finding
from mlflow_otel.cli.misspelt import misspelt
from mlflow_otel.cli.probing import Probed, probe_all
from mlflow_otel.cli.tracking import tracking
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.otlp.envelope import SHAPES
from mlflow_otel.settings import SIGNALS, Settings, Signal, refusal
from mlflow_otel.tracing import mlflow_adapter
from mlflow_otel.version import __version__

EARLIEST_CLOCK: Final = 1_750_000_000  # mid-2025: a clock before this package is wrong


def doctor(*, as_json: bool = False) -> int:
    """Print every finding; return 1 if any is a problem.

    Args:
        as_json: Whether as a JSON list.
    """
    all_findings = list(findings())
    problems = sum(finding.level == "problem" for finding in all_findings)
    if as_json:
        print(json.dumps([asdict(one) for one in all_findings], indent=2, ensure_ascii=False))
        return 1 if problems else 0
    marks = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
    for finding in all_findings:
        print(f"{marks[finding.level]}  {finding.about}: {finding.text}")
        if finding.todo:
            print(f"         → {finding.todo}")
    print(f"\n{problems} problem(s).")
    return 1 if problems else 0


def findings() -> Iterator[Finding]:
    """Look at everything."""
    accounting = Silent()
    settings = Settings.from_environment(accounting=accounting)
    yield from _versions()
    yield from _mlflow()
    invalid = [cause.removeprefix("settings.invalid.") for cause in accounting.snapshot()]
    yield from map(_invalid, invalid)
    yield from misspelt(os.environ)
    yield from _configuration(settings)
    yield from _spool(settings)
    yield from _lookup(settings)
    yield from tracking(settings)
    yield from _clock()
    if any(name.endswith(("_ENDPOINT", "_PROTOCOL")) for name in invalid):
        return  # an answer of the default's place would lead astray
    probed = []
    for one in probe_all(settings, os.environ):
        probed.append(one)
        yield one.finding
    yield from _who(settings, probed)


def _invalid(name: str) -> Finding:
    return Finding(
        "problem",
        name,
        "its value is not valid, and the default is used",
        f"set it to {refusal(name, os.environ)}",
    )


def _versions() -> Iterator[Finding]:
    installed = [f"mlflow-otel {__version__}"]
    installed += [
        f"{p} {importlib.metadata.version(p)}" for p in ("opentelemetry-sdk", "protobuf", "pycurl")
    ]
    yield Finding("ok", "versions", ", ".join(installed))


def _mlflow() -> Iterator[Finding]:
    packages = mlflow_adapter.installed()
    if not packages:
        yield Finding("problem", "MLflow", "not installed", mlflow_adapter.INSTALL_HINT)
        return
    text = ", ".join(f"{name} {version}" for name, version in packages.items())
    version = tuple(int(part) for part in next(iter(packages.values())).split(".")[:2])
    name = next(iter(packages))
    if version < versions.oldest(name):
        yield Finding(
            "problem",
            "MLflow",
            f"{text} is not supported: {name}{versions.supported(name)} is",
            f"pip install --upgrade '{name}{versions.supported(name)}'",
        )
    elif set(packages) == {"mlflow-tracing", "mlflow"} or (
        # mlflow itself brings mlflow-tracing and mlflow-skinny of its own version along.
        "mlflow" in packages and len(set(packages.values())) > 1
    ):
        yield Finding(
            "problem",
            "MLflow",
            f"{text}: different packages share one environment",
            "uninstall mlflow and mlflow-tracing, then install one of them",
        )
    else:
        yield Finding("ok", "MLflow", text)


def _configuration(settings: Settings) -> Iterator[Finding]:
    if settings.disabled:
        yield Finding(
            "note", "OTEL_SDK_DISABLED", "true: nothing is exported", "unset it to export"
        )
    if not settings.traces.configured:
        yield Finding(
            "note",
            "endpoint",
            f"not set: {wording.endpoint(settings.traces.endpoint)} is used",
        )
    if settings.traces.timeout >= 1000:
        yield Finding(
            "note",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            f"{settings.traces.timeout:g} seconds, not milliseconds",
            "give it in seconds, as the Python SDK reads it",
        )
    if settings.dual_export and not settings.tracking_uri:
        yield Finding(
            "problem",
            "dual export",
            "on, but no tracking server is set",
            "set MLFLOW_TRACKING_URI, or unset MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT",
        )
    shared = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not settings.isolated and "," in shared and "otlp" in shared and "mlflow_otlp" in shared:
        yield Finding(
            "problem",
            "double export",
            f"OTEL_TRACES_EXPORTER={shared} sends every span twice",
            "leave only mlflow_otlp in it",
        )


def _spool(settings: Settings) -> Iterator[Finding]:
    if settings.spool_dir is None:
        return
    for signal in SIGNALS:
        folder = Path(settings.spool_dir) / signal
        if signal != "traces" and not folder.exists():
            continue
        try:
            spool = Spool(
                folder, settings.otlp(signal), settings.spool_max_bytes, settings.spool_max_age
            )
            waiting = [entry for entry in spool.entries() if not entry.corrupt]
        except OSError as error:
            yield Finding(
                "problem",
                "spool",
                f"{folder} cannot be used: {error}",
                "name a folder in MLFLOW_OTEL_SPOOL_DIR that this user may write",
            )
            return
        ours = spool.addressee.fingerprint
        for to in (ours, *sorted({entry.addressee for entry in waiting} - {ours})):
            some = [entry for entry in waiting if entry.addressee == to]
            number, size = sum(entry.number for entry in some), sum(entry.size for entry in some)
            text = f"{folder}: {number} {SHAPES[signal].noun} wait in it for {spool.shown(to)}, {size} bytes"
            todo = (
                ""
                if to == ours
                else "run a process with that endpoint and its headers, or remove the files"
            )
            yield Finding("note" if todo else "ok", "spool", text, todo)


def _lookup(settings: Settings) -> Iterator[Finding]:
    try:
        backend = open_backend(settings)
        if backend is not None:
            backend.services(settings.trace_lookup_timeout)
            yield Finding(
                "ok", "MLFLOW_OTEL_TRACE_LOOKUP", f"{backend.where} can be asked for traces"
            )
    except BackendError as error:
        yield Finding(
            "problem",
            "MLFLOW_OTEL_TRACE_LOOKUP",
            error.what,
            error.todo
            or "see that the URL is its HTTP API's, and that it can be reached from here",
        )


def _who(settings: Settings, probed: Sequence[Probed]) -> Iterator[Finding]:
    """Say who took the traces, what else it takes, and what may be set for it."""
    here = urlsplit(settings.traces.endpoint).netloc
    taken = frozenset(
        one.signal
        for one in probed
        if one.signal is not None
        and one.accepted
        and urlsplit(settings.otlp(one.signal).endpoint).netloc == here
    )
    if "traces" not in taken:
        return
    backend = recognise.at_endpoint(settings.traces)
    name = backend.name if backend else "an OTLP backend"
    text = f"{name}; takes {', '.join(s for s in SIGNALS if s in taken)}"
    if backend is None:
        near = [f"{one.name} at {place}" for one, place in recognise.beside(settings, taken)]
        text += f"; on the same host: {', '.join(near)}" if near else ""
    advice = []
    if backend is recognise.MLFLOW and "mlflow" not in settings.conventions:
        value = ",".join([*sorted(settings.conventions), "mlflow"])
        advice.append(f"set MLFLOW_OTEL_CONVENTIONS={value}, so that its pages show all")
    refused = frozenset(one.signal for one in probed if one.not_taken and one.signal is not None)
    spare = " and ".join(_spare(settings, refused))
    if spare:
        advice.append(
            f"nothing needs to be done; {spare} would spare the attempts, and a Collector before it would "
            "take all (collector-config/gateway.yaml)"
        )
    yield Finding("note" if advice else "ok", "who answers", text, "; ".join(advice))


def _spare(settings: Settings, refused: frozenset[Signal]) -> Iterator[str]:
    """Yield what to set so that signals which are not taken are not sent."""
    if "metrics" in refused and settings.measures(shared=False):
        yield "MLFLOW_OTEL_METRICS=false"
    if settings.assessment_signals & refused:
        rest = settings.assessment_signals - refused or {"traces"}
        yield f"MLFLOW_OTEL_ASSESSMENT_SIGNALS={','.join(s for s in SIGNALS if s in rest)}"


def _clock() -> Iterator[Finding]:
    if time.time() < EARLIEST_CLOCK:
        yield Finding(
            "problem",
            "clock",
            f"says {time.strftime('%Y-%m-%d')}: backends drop such spans",
            "set the system's clock",
        )
    else:
        yield Finding("ok", "clock", time.strftime("%Y-%m-%d %H:%M:%S %Z"))
