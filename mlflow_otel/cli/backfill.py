"""``mlflow-otel score --from``: scorers over past traces of a backend."""

from __future__ import annotations

import re
import signal
import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.backends.mlflow_server import MlflowServerBackend
from mlflow_otel.backends.model import BackendError
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.cli.score import prepared, started
from mlflow_otel.filtering.grammar import Clause, FilterError, parse
from mlflow_otel.filtering.matching import cannot_be_matched
from mlflow_otel.instrumentation import uninstrument
from mlflow_otel.otlp import envelope
from mlflow_otel.settings import Settings
from mlflow_otel.wiring import resource
from mlflow_otel.wording import endpoint
from mlflow_otel.worker.backfill import (
    BackendSource,
    Backfill,
    MlflowSource,
    StoppedError,
    TraceSource,
)
from mlflow_otel.worker.checkpoint import Checkpoint, CheckpointError, Span
from mlflow_otel.worker.service import ScoreWorker, Waits, open_worker

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
LEAST_TIMEOUT: Final = 30.0
"""Seconds that a question may take: these are longer than those of one feedback."""


@dataclass(frozen=True)
class Past:
    """Which past traces.

    Args:
        source: ``jaeger+http://…``, ``tempo+http://…``, ``mlflow`` or ``mlflow+http://…``.
        since: How long ago the first began (``24h``), or when (ISO 8601).
        until: The same of the last; now when None.
        filter_string: Only these, in the language of ``mlflow.search_traces``.
        services: Of these services, or experiments of MLflow's; of all when empty.
        checkpoint: A file that notes how far it came.
        again: Whether to judge what a scorer has judged before.
        dry: Whether only to count.
    """

    source: str
    since: str
    until: str | None = None
    filter_string: str | None = None
    services: tuple[str, ...] = ()
    checkpoint: str | None = None
    again: bool = False
    dry: bool = False


def moment(text: str, now: float) -> int:
    """Return a time in nanoseconds since the epoch.

    Args:
        text: How long ago (``90m``, ``24h``, ``7d``), or a date and time in ISO 8601, UTC if it names no
            zone.
        now: Seconds since the epoch.

    Raises:
        ValueError: It is neither.
    """
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if ago is not None:
        return int((now - float(ago[1]) * UNITS[ago[2]]) * 1e9)
    try:
        at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write 24h, 7d, or 2026-01-31T12:00:00+00:00"
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return int(at.timestamp() * 1e9)


def backfill(scorers: str | None, past: Past) -> int:
    """Judge past traces, and show how far it is.

    Args:
        scorers: ``package.module:NAME`` of a list of scorers.
        past: Which traces.
    """
    settings = prepared(scorers)
    if settings is None:
        return 1
    worker = open_worker(settings, ACCOUNTING, Waits())
    if not started(worker, settings):
        return 1
    try:
        now = time.time()
        asked = Span(moment(past.since, now), moment(past.until or "0s", now))
        clauses = _clauses(past.filter_string)
        checkpoint = _checkpoint(past, worker)
        source = _source(past.source, settings)
    except (ValueError, CheckpointError, BackendError) as error:
        _say(f"Cannot start: {error}.")
        return 1
    worker.results.open()
    running = Backfill(
        source,
        worker,
        clauses,
        checkpoint,
        again=past.again,
        dry=past.dry,
        max_bytes=settings.max_held_bytes,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: running.stop())
    why = _shown(running, checkpoint.span(asked), past)
    worker.close(0 if past.dry else 20)
    uninstrument()
    _tell(running, worker, past)
    if why is not None:
        more = (
            f" Run it again: it goes on from {past.checkpoint}."
            if past.checkpoint
            else " Run it again: what was said is not judged again."
        )
        _say(f"Ended before its end: {why}.{more}")
        return 1
    return 0


def _shown(running: Backfill, span: Span, past: Past) -> str | None:
    """Run it behind a progress bar; return why it ended early, or None."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(compact=True),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        what = "counting" if past.dry else "scoring"
        task = bar.add_task(what, total=max(span.end - span.start, 1), said="")
        try:
            running.run(span, past.services, lambda: _update(bar, task, running, span, began))
        except (StoppedError, CheckpointError) as error:
            return str(error)
        except BackendError as error:
            return str(error)
        bar.update(task, completed=max(span.end - span.start, 1))
    return None


def _update(bar: Progress, task: TaskID, running: Backfill, span: Span, began: float) -> None:
    number = running.progress.traces
    rate = number / max(time.monotonic() - began, 0.001)
    said = f"{number} traces  {rate:.1f}/s"
    if running.cost:
        said += f"  ${running.cost:.2f}"
    bar.update(task, completed=max(span.end - running.progress.position, 0), said=said)


def _tell(running: Backfill, worker: ScoreWorker, past: Past) -> None:
    progress = running.progress
    print(f"{progress.traces} traces of the last {past.since} were read.")
    for one in worker.scorers.list():
        before = progress.said.get(one.name, 0)
        again = f", {before} judged before" if before else ""
        wanted = progress.wanted.get(one.name, 0)
        if past.dry:
            print(f"{one.name}: {wanted} to be judged{again}.")
            continue
        cost = f", ${one.cost:.4f}" if one.cost else ""
        lost = sum(one.dropped.values())
        left = f", {lost} left out" if lost else ""
        print(f"{one.name}: {one.runs} judged, {one.failed} failed{left}{again}{cost}.")


def _clauses(text: str | None) -> tuple[Clause, ...]:
    try:
        clauses = parse(text)
    except FilterError as error:
        raise ValueError(f"--filter cannot be read: {error}") from error
    beyond = cannot_be_matched(clauses)
    if beyond is not None:
        raise ValueError(f"--filter has {beyond.text!r}, which cannot be evaluated here")
    return tuple(clauses)


def _checkpoint(past: Past, worker: ScoreWorker) -> Checkpoint:
    if past.checkpoint is not None and worker.scorers.wants_sessions:
        raise ValueError(
            "--checkpoint does not go with scorers of sessions, which need all traces of the time at once"
        )
    what = {
        "source": endpoint(past.source),
        "filter": past.filter_string,
        "services": sorted(past.services),
        "again": past.again,
        "scorers": sorted((one.name, one.digest) for one in worker.scorers.list()),
    }
    return Checkpoint(None if past.dry else past.checkpoint, what)


def _source(named: str, settings: Settings) -> TraceSource:
    timeout = max(settings.trace_lookup_timeout, LEAST_TIMEOUT)
    try:
        backend = open_backend(replace(settings, trace_lookup=named))
    except BackendError as error:
        raise ValueError(
            "--from is jaeger+http://host:16686, tempo+http://host:3200, mlflow+http://host:5000, or "
            f"mlflow with MLFLOW_TRACKING_URI ({error})"
        ) from error
    if isinstance(backend, MlflowServerBackend):
        return MlflowSource(backend, timeout, envelope.resource(resource(settings)))
    if backend is None:
        raise ValueError("--from names no backend")
    return BackendSource(backend, timeout)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
