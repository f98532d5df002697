"""A bridge in a process of its own, with this process's receiver behind it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from mlflow_otel.receiver.server import Receiver
from tests.conftest import PREFIXES, ROOT

OPTIONS = os.environ.get("MLFLOW_OTEL_TEST_BRIDGE_OPTIONS", "").split()
"""Options that every bridge of the tests gets: ``--workers 2`` has them hold for one of several processes, too."""


class Bridge:
    """What runs: its endpoints, and what has arrived behind it."""

    def __init__(self, process, receiver):
        self.process, self.receiver = process, receiver
        self.grpc = process.stdout.readline().split()[-1].removeprefix("http://")
        self.http = process.stdout.readline().split()[-1]

    def spans(self, number=1, **meant):
        """The spans behind it that have these fields, once there are so many."""
        return self._wait(self.receiver.store.spans, number, meant)

    def logs(self, number=1, **meant):
        """The log records behind it that have these fields, once there are so many."""
        return self._wait(self.receiver.store.logs, number, meant)

    @staticmethod
    def _wait(read, number, meant, seconds=60):
        until = time.monotonic() + seconds
        while True:
            found = [r for r in read() if all(r.get(k) == v for k, v in meant.items())]
            if len(found) >= number or time.monotonic() > until:
                return found
            time.sleep(0.05)

    def counters(self):
        """What ``/metrics`` says."""
        lines = httpx.get(f"{self.http}/metrics", timeout=60).text.splitlines()[1:]
        return {line.split('"')[1]: int(line.rpartition(" ")[2]) for line in lines}

    def workers(self):
        """The IDs of its worker processes."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)


@contextlib.contextmanager
def running(*arguments, env=None, receiver=None):
    """A bridge until the block ends. It leads a process group of its own."""
    with contextlib.ExitStack() as stack:
        receiver = receiver or stack.enter_context(Receiver())
        kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mlflow_otel",
                "bridge",
                "--grpc",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                *OPTIONS,
                *arguments,
            ],
            env={
                **kept,
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
                "PYTHONPATH": str(ROOT),
                **(env or {}),
            },
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield Bridge(process, receiver)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
