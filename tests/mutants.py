"""`make mutants`: changes the code at random places and tells which changes no test noticed.

mutmut makes the changes and runs the tests; this takes a random sample of them, since all would take hours.

    python -m tests.mutants [--sample 140] [--seed N] [--room mapping]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

# The tests of each room: those of the others take minutes and would notice by chance.
TESTS = {
    "mapping": ["tests/mapping"],
    "holding": ["tests/holding"],
    "otlp": ["tests/mapping", "tests/export"],
    "delivery": ["tests/delivery"],
    "tracing": ["tests/tracing"],
    "feedback": ["tests/feedback"],
}
UNNOTICED = {0, 5, 33, 34, None}  # the tests passed, or none of them reaches the changed line


def results() -> dict[str, int | None]:
    """Return each mutant's exit status, None before it was run."""
    found: dict[str, int | None] = {}
    for meta in Path("mutants").rglob("*.meta"):
        found |= json.loads(meta.read_text())["exit_code_by_key"]
    return found


def narrowed(room: str) -> str:
    """Return pytest's arguments that leave out the tests of other rooms; mutmut has no option for them."""
    wanted = TESTS.get(room)
    everything = {folder for folders in TESTS.values() for folder in folders} | {"tests/export"}
    return " ".join(
        f"--ignore={folder}" for folder in sorted(everything - set(wanted or everything))
    )


def run(*names: str) -> None:
    """Run mutmut on mutants, or make them only when none is named (mutmut then ends with an error)."""
    command = [sys.executable, "-m", "mutmut", "run", *(names or ["none-of-this-name"])]
    ended = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if names and ended.returncode:
        sys.exit(f"mutmut could not run the tests:\n{ended.stdout[-4000:]}")


def main() -> None:
    """Sample, run, print what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=140)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--room", default="", help="the folder to change, such as mapping")
    asked = parser.parse_args()
    os.environ["PYTEST_ADDOPTS"] = narrowed(asked.room)
    run()
    everything = sorted(n for n in results() if n.startswith(f"mlflow_otel.{asked.room}"))
    chosen = random.Random(asked.seed).sample(everything, min(asked.sample, len(everything)))
    run(*chosen)
    after = results()
    missed = sorted(name for name in chosen if after[name] in UNNOTICED)
    for name in missed:
        shown = subprocess.run(
            [sys.executable, "-m", "mutmut", "show", name],
            check=False,
            capture_output=True,
            text=True,
        )
        print(shown.stdout)
    share = 1 - len(missed) / len(chosen)
    print(
        f"{len(chosen) - len(missed)} of {len(chosen)} changes were noticed ({share:.0%}), seed {asked.seed}."
    )


if __name__ == "__main__":
    main()
