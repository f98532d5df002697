"""`make mutants`: changes the code at random places and tells which changes no test noticed.

mutmut makes the changes and runs the tests; this takes a random sample of them, since all would take hours.

    python -m tests.mutants [--sample 140] [--seed N] [--room mapping]
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The tests of each room: those of the others take minutes and would notice by chance. `--ignore` would not leave
# them out, since pytest collects what it is given by name.
TESTS = {
    "mapping": [
        "tests/mapping",
        "tests/measuring/test_measures.py",
        "tests/measuring/test_versions.py",
    ],
    "holding": ["tests/holding"],
    "otlp": ["tests/otlp", "tests/export/test_exporter.py"],
    # Those with servers that misbehave are left out: they take minutes, and what they notice by the way is chance.
    "delivery": [
        "tests/delivery/test_retry.py",
        "tests/delivery/test_spool_folder.py",
        "tests/delivery/test_spool_shared.py",
    ],
    "tracing": [
        "tests/tracing/test_recent.py",
        "tests/tracing/test_sampler.py",
        "tests/tracing/test_baggage.py",
    ],
    "feedback": ["tests/feedback"],
}
UNNOTICED = {0, 5, 33, 34, None}  # the tests passed, or none of them reaches the changed line
LISTS = ("only_mutate", "pytest_add_cli_args_test_selection")


def results(place: Path) -> dict[str, int | None]:
    """Return each mutant's exit status, None before it was run."""
    found: dict[str, int | None] = {}
    for meta in (place / "mutants").rglob("*.meta"):
        found |= json.loads(meta.read_text())["exit_code_by_key"]
    return found


CODECS = {"utf-8", "ascii"}


class Wordless(ast.NodeTransformer):
    """Leaves the words of sentences out of code, and the capital letters of codecs."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        """Empty a text with a blank in it. Python knows a codec in capital letters, too."""
        text = node.value if isinstance(node.value, str) else ""
        if text.lower() in CODECS:
            return ast.Constant(text.lower())
        return ast.Constant("") if " " in text else node


def wordless(function: ast.AST) -> str:
    """Return what a function does, whatever it is called and says."""
    without = Wordless().visit(function)
    without.name = ""
    return ast.dump(without)


def rewordings(place: Path) -> set[str]:
    """Return the mutants that change the words of a sentence alone, or the capital letters of a codec.

    They show nothing about tests: a test that notices them repeats a message word for word.
    """
    found = set()
    for meta in (place / "mutants").rglob("*.meta"):
        code = ast.parse(meta.with_suffix("").read_text())
        made = {f.name: wordless(f) for f in ast.walk(code) if isinstance(f, ast.FunctionDef)}
        for key in json.loads(meta.read_text())["exit_code_by_key"]:
            name = key.rpartition(".")[2]
            original = f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"
            if made[name] == made[original]:
                found.add(key)
    return found


def list_of(name: str) -> re.Pattern[str]:
    """Return a pattern of a list in ``pyproject.toml``; Python 3.10 has no reader of TOML."""
    return re.compile(rf"^{name} = (\[.*?\])$", re.DOTALL | re.MULTILINE)


def listed(text: str, name: str) -> list[str]:
    """Return what a list in ``pyproject.toml`` holds."""
    return ast.literal_eval(list_of(name).search(text)[1])


def narrowed(text: str, room: str) -> str:
    """Return ``pyproject.toml`` with the room's code and its tests alone; mutmut has no option for them."""
    if room not in TESTS:
        return text
    changed, tests = LISTS
    its_own = [path for path in listed(text, changed) if path.startswith(f"mlflow_otel/{room}/")]
    for name, paths in ((changed, its_own), (tests, TESTS[room])):
        text = list_of(name).sub(f"{name} = {json.dumps(paths)}", text)
    return text


def copied(room: str) -> Path:
    """Return a fresh copy of all that mutmut reads, since it takes its settings from where it runs."""
    place = Path("mutants") / (room or "everything")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    text = Path("pyproject.toml").read_text()
    for name in ["mlflow_otel", *listed(text, "also_copy")]:
        if Path(name).is_dir():
            shutil.copytree(name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(name, place / name)
    (place / "pyproject.toml").write_text(narrowed(text, room))
    return place


def run(place: Path, *names: str) -> None:
    """Run mutmut on mutants, or make them only when none is named (mutmut then ends with an error)."""
    command = [sys.executable, "-m", "mutmut", "run", *(names or ["none-of-this-name"])]
    ended = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=place
    )
    if names and ended.returncode:
        sys.exit(f"mutmut could not run the tests:\n{ended.stdout[-4000:]}")


def passes_alone(place: Path, name: str) -> bool:
    """Tell whether the tests pass with a change that is there before anything is imported.

    mutmut changes a process that has the modules and has run the tests: what runs at the import of a
    module, and what is remembered from one call to the next, stays as it was.
    """
    tests = listed((place / "pyproject.toml").read_text(), LISTS[1])
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir=.",
            *tests,
        ],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=place / "mutants",
        env={**os.environ, "MUTANT_UNDER_TEST": name},
    )
    if not name and ended.returncode:
        sys.exit(f"The tests fail without any change:\n{ended.stdout[-4000:]}")
    return ended.returncode == 0


def missed_alone(place: Path, names: list[str]) -> list[str]:
    """Return those changes that the tests do not notice in a process of their own either."""
    if not names:
        return []
    with ThreadPoolExecutor(os.cpu_count()) as several:
        passed = list(several.map(lambda name: passes_alone(place, name), ["", *names]))
    return [name for name, unnoticed in zip(names, passed[1:], strict=True) if unnoticed]


def main() -> None:
    """Sample, run, print what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=140)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--room", default="", help="the folder to change, such as mapping")
    asked = parser.parse_args()
    place = copied(asked.room)
    run(place)
    of_room = {n for n in results(place) if n.startswith(f"mlflow_otel.{asked.room}")}
    everything = sorted(of_room - rewordings(place))
    chosen = random.Random(asked.seed).sample(everything, min(asked.sample, len(everything)))
    run(place, *chosen)
    after = results(place)
    missed = missed_alone(place, sorted(name for name in chosen if after[name] in UNNOTICED))
    for name in missed:
        shown = subprocess.run(
            [sys.executable, "-m", "mutmut", "show", name],
            check=False,
            capture_output=True,
            text=True,
            cwd=place,
        )
        print(shown.stdout)
    share = 1 - len(missed) / len(chosen)
    print(
        f"{len(chosen) - len(missed)} of {len(chosen)} changes were noticed ({share:.0%}), seed {asked.seed}."
    )


if __name__ == "__main__":
    main()
