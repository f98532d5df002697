"""The docs say what the code does: generated tables are up to date, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.conftest import ROOT

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [ROOT / "README.md", CONTRIBUTING, *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_generated_tables_are_what_the_code_says(page):
    text = page.read_text()
    assert generator().rendered(text) == text, "run `make docs-tables`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    for target, _ in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_contributing_names_every_target_of_make_and_no_other():
    rows = CONTRIBUTING.read_text().partition("\n## ")[0]
    named = {word for told in re.findall(r"`make ([a-z -]+)", rows) for word in told.split()}
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named == {*targets} - {"help"}


def test_every_picture_is_shown():
    shown = {
        target.rpartition("/")[2] for page in PAGES for target, _ in LINK.findall(page.read_text())
    }
    pictures = (ROOT / "docs" / "pictures").iterdir()
    assert {one.name for one in pictures if one.suffix in {".png", ".svg"}} <= shown
