"""``mlflow-otel pull``: what lies in an MLflow tracking server, over OTLP."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.backends.model import BackendError, TraceBackend
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.bridge.leaving import Mapper
from mlflow_otel.cli.keeping import keep_of
from mlflow_otel.cli.log_lines import log_to_stderr
from mlflow_otel.export.guards import Guards
from mlflow_otel.pulling.pull import Counts, NotAcceptedError, Pull, Wanted
from mlflow_otel.pulling.records import Records
from mlflow_otel.pulling.server import ServerError, TrackingServer
from mlflow_otel.settings import Settings

HOUR_MILLIS: Final = 3600 * 1000


class Choice(NamedTuple):
    """What is pulled and how.

    Args:
        experiments: Names or IDs; all when empty.
        filter_string: MLflow's filter.
        since_ms: Milliseconds since the epoch.
        until_ms: The same; None: no end.
        checkpoint: File of what was sent, or None.
        follow: Whether to go on with new and changed traces.
        every: Seconds between two rounds of that.
        changed_within: Hours: how old a trace may be whose changes are looked for.
        dry_run: Whether nothing is sent.
    """

    experiments: Sequence[str] = ()
    filter_string: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    checkpoint: Path | None = None
    follow: bool = False
    every: float = 30.0
    changed_within: float = 168.0
    dry_run: bool = False


def pull(url: str | None, choice: Choice) -> int:
    """Pull, and return the exit code: 1 when something went wrong or a trace could not be read.

    Args:
        url: The tracking server; what ``MLFLOW_TRACKING_URI`` names when None.
        choice: What is pulled and how.
    """
    log_to_stderr("text")
    settings = Settings.from_environment()
    named = url or settings.tracking_uri or ""
    if not named.startswith(("http://", "https://")):
        return _failed("Name the tracking server: mlflow-otel pull http://mlflow:5000")
    guards = Guards.of(settings, ACCOUNTING)
    try:
        server = TrackingServer(named)
        records = Records(choice.checkpoint)
        pulling = Pull(
            server,
            settings,
            Mapper(guards.options, ACCOUNTING, keep_of(guards)),
            records,
            _backend(settings),
            ACCOUNTING,
            dry_run=choice.dry_run,
        )
    except (OSError, ValueError, BackendError) as error:
        return _failed(f"Cannot start: {error}.")
    try:
        _rounds(pulling, server, choice)
    except (ServerError, BackendError, NotAcceptedError, OSError) as error:
        _summary(pulling.counts, choice)
        return _failed(f"Stopped: {error}. Start it again to go on.")
    except KeyboardInterrupt:
        pass
    finally:
        pulling.close()
    _summary(pulling.counts, choice)
    return 1 if pulling.counts.unreadable else 0


def _backend(settings: Settings) -> TraceBackend | None:
    """Return what is asked whether it has a trace; MLflow's server, which is pulled from, always has."""
    return None if (settings.trace_lookup or "").startswith("mlflow") else open_backend(settings)


def _rounds(pulling: Pull, server: TrackingServer, choice: Choice) -> None:
    begun = int(time.time() * 1000)
    end = begun + HOUR_MILLIS if choice.until_ms is None else choice.until_ms
    wanted = Wanted(
        _experiments(server, choice.experiments), choice.filter_string, choice.since_ms, end
    )
    with _progress(pulling.counts, min(begun, end)) as progress:
        pulling.run(wanted, progress)
    while choice.follow:
        time.sleep(choice.every)
        now = int(time.time() * 1000)
        oldest = now - int(choice.changed_within * HOUR_MILLIS)
        try:
            again = replace(
                wanted,
                experiments=_experiments(server, choice.experiments),
                start_ms=max(choice.since_ms, oldest),
                end_ms=now + HOUR_MILLIS if choice.until_ms is None else end,
            )
            pulling.run(again)
        except (ServerError, BackendError, NotAcceptedError) as error:
            print(f"A round failed and is tried again: {error}", file=sys.stderr)


def _experiments(server: TrackingServer, wanted: Sequence[str]) -> dict[str, str]:
    """Return the names of the wanted experiments by their IDs.

    Raises:
        ServerError: The server could not be asked, or has no such experiment.
    """
    known = server.experiments()
    if not wanted:
        return known
    found = {i: name for i, name in known.items() if i in wanted or name in wanted}
    missing = [one for one in wanted if one not in found and one not in found.values()]
    if missing:
        raise ServerError(f"{server.where} has no experiment {missing[0]!r}")
    return found


class _progress:  # noqa: N801 (a context, used as a function)
    """A bar over the time that the traces span, with rate and time left; nothing where nobody looks."""

    def __init__(self, counts: Counts, end: int) -> None:
        self._counts, self._end = counts, end
        console = Console(stderr=True)
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.percentage:.0f} % of the time, {task.fields[said]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, said="")
        self._begun = time.monotonic()
        self._first = 0

    def __enter__(self) -> Callable[[int], None]:
        self._bar.start()
        return self._latest

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def _latest(self, latest: int) -> None:
        self._first = self._first or latest
        rate = self._counts.seen / max(time.monotonic() - self._begun, 0.001)
        self._bar.update(
            self._task,
            total=max(self._end - self._first, 1),
            completed=max(latest - self._first, 0),
            said=f"{self._counts.seen} traces, {rate:.0f} a second",
        )


def _summary(counts: Counts, choice: Choice) -> None:
    would = "would be " if choice.dry_run else ""
    print(
        f"{counts.seen} traces: {counts.sent} {would}sent, {counts.changed} changed, "
        f"{counts.unchanged} sent before, {counts.running} still under way, "
        f"{counts.unreadable} not readable; {counts.spans} spans, "
        f"{counts.assessments} assessments."
    )
    for reason, number in sorted(counts.reasons.items()):
        print(f"{number} not readable: {reason}", file=sys.stderr)


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
