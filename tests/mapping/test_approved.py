"""What leaves for every payload is what a person read and approved: see ``approved``."""

from __future__ import annotations

import json

import pytest

from tests.mapping.approved import FOLDER, files, now


def test_every_file_of_payloads_is_approved():
    assert {file.stem for file in FOLDER.glob("*.json")} == set(files())


@pytest.mark.parametrize("file", files())
def test_what_leaves_was_approved(file):
    """When the change is meant, run `make approve` and read the diff."""
    approved = json.loads((FOLDER / f"{file}.json").read_text())
    found = json.loads(json.dumps(now(file)))  # through JSON: it knows no tuples
    assert set(found) == set(approved)
    for payload, left in approved.items():
        assert found[payload] == left, payload
