"""A Chromium, and a page in it that notes when it draws and how long its tasks take."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Chromium asks hosts of its own for updates, unless it is told not to. Root needs --no-sandbox;
# the pages are our own.
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
    "--disable-gpu",
)
_PATIENCE_MILLISECONDS = 60_000
_NOTE = """
window.noted = {drawn: [], answered: [], released: 0, longest: 0};
new PerformanceObserver(list => {
    for (const one of list.getEntries()) {
        if (one.name === "loss-drawn") noted.drawn.push(one.startTime);
        else if (one.entryType === "longtask")
            noted.longest = Math.max(noted.longest, one.duration);
        else if (one.name.includes("from_step=")) noted.answered.push(one.responseEnd);
    }
}).observe({entryTypes: ["mark", "longtask", "resource"]});
addEventListener("mouseup", event => noted.released = event.timeStamp, true);
"""
# The first drawing of the points that were asked for when the mouse button was released.
_REDRAWN = """
() => {
    const answered = noted.answered.find(time => time > noted.released);
    return answered && noted.drawn.find(time => time > answered) - noted.released;
}
"""
_TRANSFERRED = """
() => performance.getEntriesByType("resource")
    .filter(({name}) => name.includes("/assets/"))
    .map(({name, transferSize}) => [name, transferSize])
"""


def find_chromium() -> str | None:
    return shutil.which("chromium")


@contextmanager
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        yield browser
        browser.close()


class Visit:
    """A page with nothing in the cache of its browser."""

    def __init__(self, page: "Page") -> None:
        self._page = page

    def milliseconds_until_drawn(self) -> float:
        """From the navigation until the loss was first drawn."""
        drawn = self._page.wait_for_function("() => noted.drawn[0]").json_value()
        return float(drawn)

    def transferred(self) -> dict[str, int]:
        """The bytes of each file of the page that the browser has loaded, with its headers."""
        return dict(self._page.evaluate(_TRANSFERRED))

    def busy_while(self, work: Callable[[], None]) -> tuple[float, float]:
        """Return the share of time that the main thread is busy, and its longest task in ms.

        The browser tells of tasks from 50 ms on; 0: there was none.
        """
        metrics = self._page.context.new_cdp_session(self._page)
        metrics.send("Performance.enable")
        self._page.evaluate("() => { noted.longest = 0; }")
        before, began = self._task_seconds(metrics.send), time.perf_counter()
        work()
        passed = time.perf_counter() - began
        busy = self._task_seconds(metrics.send) - before
        return busy / passed, float(self._page.evaluate("() => noted.longest"))

    def milliseconds_of_zoom(self, first: float, last: float) -> float:
        """Zoom from one share of the width of the plot to another, and back to the whole run.

        Return the time from the end of the zoom until its own points were drawn.
        """
        page = self._page
        box = page.locator(".track .u-over").first.bounding_box()
        assert box is not None
        y = box["y"] + 50
        page.mouse.move(box["x"] + first * box["width"], y)
        page.mouse.down()
        page.mouse.move(box["x"] + last * box["width"], y, steps=5)
        page.mouse.up()
        milliseconds = page.wait_for_function(_REDRAWN).json_value()
        page.keyboard.press("0")
        page.wait_for_url(lambda url: "range" not in url)
        page.wait_for_timeout(500)  # what it draws now is not the next zoom's
        return float(milliseconds)

    def _task_seconds(self, send: Callable[[str], dict[str, list[dict[str, float]]]]) -> float:
        told = send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in told if str(one["name"]) == "TaskDuration")


@contextmanager
def visit(browser: "Browser", address: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(_PATIENCE_MILLISECONDS)
    context.add_init_script(_NOTE)
    page = context.new_page()
    page.goto(address)
    yield Visit(page)
    context.close()
