"""The site of the docs has every page, in a place where a reader finds it."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

CONFIGURED = (ROOT / "mkdocs.yml").read_text()
IN_NAV = set(re.findall(r"^ +- (\S+\.md)$", CONFIGURED, re.MULTILINE))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_page_has_a_place(page):
    assert page.name in IN_NAV, f"put {page.name} into `nav` of mkdocs.yml, and into README's table"


def test_the_readme_leads_to_every_page():
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in readme, page.name


def test_the_readme_is_a_screen_and_a_half():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 76
