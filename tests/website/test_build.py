"""The site of the docs builds, and shows each page in its navigation."""

import re
import tomllib
from pathlib import Path

import pytest

from website.build import ROOT, build

NAVIGATION = tomllib.loads((ROOT / "website/zensical.toml").read_text())["project"]["nav"]
PAGES = [page for section in NAVIGATION for pages in section.values() for page in pages]


def test_each_page_of_docs_is_in_the_navigation_once() -> None:
    docs = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(page for page in PAGES if page.startswith("docs/")) == sorted(docs)


@pytest.mark.integration
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    site = build(tmp_path)
    made = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    assert {re.sub(r"README\.md$", "index.md", page) for page in PAGES} <= made
