"""What `make mutants` reads: mutmut itself says nothing about a path that is not there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.mutants import LISTS, TESTS, listed, missed_alone, narrowed

SECTION = (ROOT / "pyproject.toml").read_text().partition("[tool.mutmut]")[2]
NAMED = re.findall(r'"((?:mlflow_otel|tests|docs|examples)[^"]*)"', SECTION)


@pytest.mark.parametrize(
    "path", [*NAMED, *(folder for folders in TESTS.values() for folder in folders)]
)
def test_a_path_that_the_mutation_tester_is_given_is_there(path):
    assert list(ROOT.glob(path))


def test_every_module_beside_the_package_is_copied_for_the_mutation_tester():
    assert {file.name for file in ROOT.glob("*.py")} <= set(NAMED)


def test_every_room_that_is_changed_has_its_tests():
    changed = {path.split("/")[1] for path in NAMED if path.startswith("mlflow_otel/")}
    assert changed == set(TESTS)


@pytest.mark.parametrize("room", TESTS)
def test_the_mutation_tester_is_given_a_rooms_code_and_its_tests_alone(room):
    text = narrowed((ROOT / "pyproject.toml").read_text(), room)
    changed, tests = (listed(text, name) for name in LISTS)
    assert changed
    assert all(path.startswith(f"mlflow_otel/{room}/") for path in changed)
    assert tests == TESTS[room]


def test_what_runs_at_an_import_is_changed_before_it(tmp_path):
    (tmp_path / "pyproject.toml").write_text(f'{LISTS[1]} = ["test_import.py"]\n')
    (tmp_path / "mutants").mkdir()
    (tmp_path / "mutants" / "test_import.py").write_text(
        "import os\nNAME = os.environ['MUTANT_UNDER_TEST']\ndef test_name(): assert NAME != 'noticed'\n"
    )
    assert missed_alone(tmp_path, ["noticed", "unnoticed"]) == ["unnoticed"]
