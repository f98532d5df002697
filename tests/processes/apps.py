"""Apps in processes of their own, ended as a supervisor ends them, and what they exported."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import httpx

from tests.delivery.faults import Http, free_port

PREFIXES = ("OTEL_", "MLFLOW_")
PATIENCE_SECONDS = 60

TRACED = """
import mlflow, mlflow_otel
mlflow_otel.instrument()

def work(name):
    with mlflow.start_span(name):
        with mlflow.start_span(f"{name}-child"):
            pass
"""


def both(*names):
    """The spans that ``work`` makes for each name."""
    return sorted(f"{name}{child}" for name in names for child in ("", "-child"))


def default_signals():
    """Undo what ``nohup`` or a shell's ``&`` did to the tests' own process: an app would inherit it."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


class App:
    """A command under way; its output is read as it comes."""

    def __init__(self, command, folder, environ):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={
                **kept,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "OTEL_BSP_SCHEDULE_DELAY": "600000",  # nothing leaves by itself
                "PYTHONPATH": str(folder),
                "PYTHONUNBUFFERED": "1",
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=default_signals,
        )
        self.lines = []
        self.said = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.said:
                self.lines.append(line)
                self.said.notify_all()
        with self.said:
            self.lines.append("")  # no more will come
            self.said.notify_all()

    @property
    def output(self):
        return "".join(self.lines)

    def wait_for(self, text, times=1):
        with self.said:
            self.said.wait_for(
                lambda: self.output.count(text) >= times or "" in self.lines, PATIENCE_SECONDS
            )
        assert self.output.count(text) >= times, self.output

    def end(self, number=signal.SIGTERM):
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        status = self.process.wait(PATIENCE_SECONDS)
        self.reader.join(5)
        return status


@contextlib.contextmanager
def running(command, folder, environ):
    app = App(command, folder, environ)
    try:
        yield app
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(app.process.pid, signal.SIGKILL)
        app.process.wait()


@contextlib.contextmanager
def script(code, folder, environ, command=(sys.executable,)):
    (folder / "app.py").write_text(textwrap.dedent(code))
    with running([*command, "app.py"], folder, environ) as app:
        yield app


def get(app, url):
    """Ask a server that may still be starting."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and app.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(url, timeout=PATIENCE_SECONDS)
            assert answer.status_code == 200, app.output
            return answer.text
        time.sleep(0.05)
    raise AssertionError(app.output)


__all__ = ["TRACED", "Http", "both", "free_port", "get", "running", "script"]
