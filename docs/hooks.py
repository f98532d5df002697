"""What MkDocs is told: pages that stand outside docs/, and where links out of docs/ lead.

The Markdown files are written for the repository, where README.md and collector-config/README.md
have their places. The site has them as pages, and any other file that a page links to as a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "collector-config/README.md": "collector.md",
}
"""Pages of the site that stand elsewhere in the repository."""
PLACES: Final = {page: file for file, page in PAGES.items()}
LINK: Final = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs/, and the files that any page links to."""
    for file, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / file).read_text()))
    for page in list(files.documentation_pages()):
        for _, target, _ in LINK.findall(page.content_string):
            there = _place(page.src_uri, target)
            if there is not None and (ROOT / there).is_file():
                name = _in_site(there)
                if name not in files.src_uris:
                    files.append(File.generated(config, name, abs_src_path=str(ROOT / there)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Return a page with the links out of docs/ as they are in the site."""

    def moved(found: re.Match[str]) -> str:
        there = _place(page.file.src_uri, found[2])
        return found[0] if there is None else f"{found[1]}{_in_site(there)}{found[3]}"

    return LINK.sub(moved, markdown)


def _place(page: str, target: str) -> str | None:
    """Return where a link leads, from the repository's root; None when it stays in docs/."""
    source = ROOT / PLACES.get(page, f"docs/{page}")
    there = (source.parent / target).resolve()
    if not there.is_relative_to(ROOT):
        return None
    stays = source.parent == ROOT / "docs" and there.is_relative_to(ROOT / "docs")
    return None if stays else there.relative_to(ROOT).as_posix()


def _in_site(there: str) -> str:
    folder = f"{there}/README.md".removeprefix("./")
    if there in PAGES or folder in PAGES:
        return PAGES.get(there) or PAGES[folder]
    if there.startswith("docs/"):
        return there.removeprefix("docs/")
    return f"files/{there}"
