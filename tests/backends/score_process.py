"""``mlflow-otel score``, and other commands, as processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass

from tests.backends.servers import MLFLOW_PYTHON, ROOT

KEPT = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}


def run(folder, *arguments, python=sys.executable, **environ):
    """Run a command of ours to its end; return what it printed."""
    own = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": f"{ROOT}:{folder}"}
    done = subprocess.run(
        [str(python), "-m", "mlflow_otel", *arguments],
        env={**KEPT, **own, **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@dataclass
class Worker:
    """A worker that runs; ``said`` is its standard error once it ended."""

    process: subprocess.Popen
    grpc: str
    http: str
    log: object

    def end(self):
        """Have it end whole; return what it said."""
        self.process.terminate()
        self.process.wait(60)
        return self.log.read_text()


@contextlib.contextmanager
def scoring(folder, *arguments, python=MLFLOW_PYTHON, **environ):
    """Yield a running worker, on free ports; its module of scorers may lie in ``folder``."""
    command = [str(python), "-m", "mlflow_otel", "score", "--grpc=127.0.0.1:0"]
    command += ["--http=127.0.0.1:0", *map(str, arguments)]
    log = folder / f"score-{os.urandom(4).hex()}.log"
    own = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": f"{ROOT}:{folder}"}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            env={**KEPT, **own, **environ},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        lines = [process.stdout.readline().split() for _ in range(2)]
        assert all(lines), log.read_text()[-3000:]
        endpoints = dict(lines)
        yield Worker(process, endpoints["grpc"], endpoints["http"], log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
