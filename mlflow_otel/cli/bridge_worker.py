"""The worker processes of ``mlflow-otel bridge --workers``: how they are started, and what they run."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from typing import Final

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.backends.model import TraceBackend
from mlflow_otel.bridge.intake import Intake
from mlflow_otel.bridge.remembering import Memory
from mlflow_otel.bridge.worker import Worker
from mlflow_otel.bridge.workers import Workers, WorkersMemory
from mlflow_otel.cli.keeping import keep_of
from mlflow_otel.cli.log_lines import log_to_stderr
from mlflow_otel.export.guards import Guards
from mlflow_otel.settings import Settings

SWITCH_SECONDS: Final = 0.0005
"""How long one of Python's threads may run while others wait. With Python's own 5 ms, each time that the
bridge reads from a connection it would wait so long for the thread that maps."""


def start(own: int, workers: int, drain: float, log_format: str) -> subprocess.Popen[bytes]:
    """Start a worker.

    Args:
        own: Number of its socket.
        workers: How many there are: they share the bounds.
        drain: Seconds that its delivery may take when the accepting process is gone.
        log_format: How its warnings are written.
    """
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"  # modules are found where this process finds them
        f"from {__name__} import main\n"
        f"main({own}, {workers}, {drain!r}, {log_format!r})"
    )
    return subprocess.Popen(  # noqa: S603 (ourselves)
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=[own]
    )


def way_in(
    settings: Settings, guards: Guards, workers: int, drain: float, log_format: str
) -> tuple[Intake | Workers, TraceBackend]:
    """Return what takes everything that comes in, and what it remembers.

    Args:
        settings: Of the bridge.
        guards: What is held back.
        workers: Processes that map; 0: this one does.
        drain: Seconds that delivery may take at the end.
        log_format: How warnings are written.
    """
    if not workers:
        intake = Intake(settings, guards.options, ACCOUNTING, keep_of(guards))
        return intake, Memory(intake.memory)
    way = Workers(
        workers,
        lambda own: start(own, workers, drain, log_format),
        guards.options,
        ACCOUNTING,
        settings.max_held_bytes,
    )
    return way, WorkersMemory(way)


def main(own: int, workers: int, drain: float, log_format: str) -> None:
    """Work until the accepting process says that it is enough, or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    log_to_stderr(log_format)
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.disable(
        logging.WARNING
    )  # the accepting process has said what is wrong with the settings
    settings = Settings.from_environment()
    settings = replace(settings, max_held_bytes=max(settings.max_held_bytes // workers, 1))
    guards = Guards.of(settings, ACCOUNTING)
    logging.disable(logging.NOTSET)
    intake = Intake(settings, guards.options, ACCOUNTING, keep_of(guards))
    with socket.socket(fileno=own) as accepting:
        Worker(accepting, intake).work(drain)
