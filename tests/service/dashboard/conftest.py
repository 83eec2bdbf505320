"""A real Chromium in front of a real server.

A page of these tests fails its test if the browser reports an error or asks another host.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.dashboard.browser import ARGUMENTS
from service.http.dashboard import FOLDER
from tests.fixtures.tiers import missing, program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    path = program("chromium", install="apt-get install chromium")
    if not (FOLDER / "index.html").exists():
        missing("the dashboard was not built: make dashboard")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is missing; install it: make test-system")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Pages:
    """Opens pages of one browser, and keeps what went wrong in them."""

    def __init__(self, browser: "Browser", url: str) -> None:
        self._browser = browser
        self._url = url
        self.errors: list[str] = []
        self.foreign: list[str] = []

    @contextmanager
    def open(self, path: str = "/", *, theme: str = "light", width: int = 1440) -> Iterator["Page"]:
        context = self._browser.new_context(
            base_url=self._url,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if theme == "dark" else "light",
        )
        context.on("request", self._look_at)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self._listen(line.type, line.text))
        page.goto(path)
        yield page
        context.close()

    def _look_at(self, request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith((self._url, "blob:", "data:")):
            self.foreign.append(url)

    def _listen(self, kind: str, text: str) -> None:
        # The browser itself writes a line for each answer that is an error.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.errors.append(text)


@pytest.fixture
def pages(chromium: "Browser", url: str) -> Iterator[Pages]:
    pages = Pages(chromium, url)
    yield pages
    assert pages.errors == []
    assert pages.foreign == []


def wait_for_count(page: "Page", selector: str, count: int) -> None:
    """Wait until so many elements match."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_count(count, timeout=20_000)
