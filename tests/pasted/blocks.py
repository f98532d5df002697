"""The shell and Python blocks of the docs, as a reader would paste them."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SHELL = {"bash", "sh", "console", "shell"}

# Pages whose blocks need a registry or a backend, and the test that runs them.
ELSEWHERE = {
    "README.md": "tests/backends/test_first_hour.py",
    "quickstart.md": "tests/backends/test_first_hour.py",
    "testing.md": "tests/test_testing.py",
    "bridge.md": "tests/backends/test_first_hour.py",
    "store.md": "tests/backends/test_first_hour.py",
    "scorers.md": "tests/backends/test_first_hour.py",
    "frameworks.md": "tests/backends/test_first_hour.py",
    "across-services.md": "tests/tracing/test_baggage.py",
    "privacy.md": "tests/export/test_privacy_docs.py",
}


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks(page):
    """Return a page's blocks that are run, in their order."""
    text = page.read_text()
    found = (
        Block(m[2], m[3], text[: m.start()].count("\n") + 1)
        for m in FENCE.finditer(text)
        if m[2] in SHELL | {"python"}
    )
    return list(found)
