"""Requests to the bridge that Atheris makes up, guided by the lines that they reach (``make fuzz``).

    python -m tests.fuzz.bridge_requests FOLDER tests/fuzz/corpus -max_total_time=60

An input that fails is written to a file; the same command with that file in the place of the folders runs it alone.
``--seeds FOLDER`` writes the inputs to begin with.
"""

from __future__ import annotations

import logging
import sys
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mlflow_otel"]):
    from tests.fuzz.application import Bridge, seeds


def main():
    """Write the seeds, or fuzz."""
    if sys.argv[1:2] == ["--seeds"]:
        for seed in seeds():
            Path(sys.argv[2], sha256(seed).hexdigest()[:16]).write_bytes(seed)
        return
    logging.getLogger("mlflow_otel").setLevel(logging.CRITICAL)
    bridge = Bridge()
    atheris.Setup(sys.argv, lambda data: bridge.check(data) if data else None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
