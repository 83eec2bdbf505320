"""The dashboard without a mouse, in a browser."""

from typing import TYPE_CHECKING, Any

import pytest

from jobs.backends import Backends
from tests.service.dashboard.conftest import Pages, wait_for_count
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import make_scene, spec_of, train

if TYPE_CHECKING:
    from playwright.sync_api import Page

# What a mouse can reach: of the radio buttons of a group, Tab reaches one, and arrows the others.
OPERABLE = (
    ":is(a[href], button, input:not([type=radio], [type=file]), select, textarea, summary)"
    ":not(:disabled)"
)
# The element that has the focus, marked, and whether a reader can see that it has.
FOCUSED = """
() => {
    const focused = document.activeElement;
    if (focused === document.body) return null;
    focused.dataset.reached = "";
    const shown = [focused, focused.parentElement].some(one => {
        const {outlineStyle, outlineWidth} = getComputedStyle(one);
        return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    });
    return {name: focused.outerHTML.slice(0, 120), shown};
}
"""
MOST = 300


@pytest.mark.parametrize(
    "path", ["/jobs", "/jobs/{job}", "/compare?jobs={job}", "/new", "/project"]
)
def test_all_that_a_mouse_reaches_tab_reaches_and_the_focus_is_seen(
    pages: Pages, backends: Backends, document: dict[str, Any], path: str
) -> None:
    job = make_scene(backends, document)["running"]
    with pages.open(path.format(job=job.id)) as page:
        page.wait_for_selector("h1")
        page.wait_for_timeout(1000)
        unseen = [one["name"] for one in focused_by_tab(page) if not one["shown"]]
        assert unseen == []
        missed = page.locator(f"{OPERABLE}:visible:not([data-reached])")
        assert [one.evaluate("one => one.outerHTML") for one in missed.all()] == []


def focused_by_tab(page: "Page") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(MOST):
        page.keyboard.press("Tab")
        if (one := page.evaluate(FOCUSED)) is None:
            return found
        found.append(one)
    raise AssertionError(f"the page has more than {MOST} stops")


def test_the_palette_opens_a_job_a_page_and_what_can_be_done(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    job = make_scene(backends, document)["running"]
    with pages.open() as page:
        page.wait_for_selector("tbody tr")
        page.keyboard.press("Control+k")
        page.keyboard.type("r64")
        wait_for_count(page, "[role=option]", 1)
        look(page, "palette")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/jobs/{job.id}")
        page.wait_for_selector("h1:has-text('r64')")
        page.keyboard.press("Control+k")
        page.keyboard.type("pause")
        page.wait_for_selector("[role=option][aria-selected=true]:has-text('Pause')")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog:has-text('saves a checkpoint')")
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.keyboard.type("workers")
        page.keyboard.press("Enter")
        page.wait_for_url("**/workers")


def test_the_list_of_keys_gives_the_focus_back(pages: Pages) -> None:
    with pages.open() as page:
        page.get_by_role("link", name="New job").first.focus()
        page.keyboard.press("?")
        page.wait_for_selector("dialog:has-text('cursor by a report')")
        look(page, "keys")
        page.keyboard.press("Escape")
        wait_for_count(page, "dialog", 0)
        assert page.evaluate("document.activeElement.textContent").endswith("New job")


def test_letters_go_to_pages_and_not_while_a_field_has_the_focus(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    make_scene(backends, document)
    with pages.open() as page:
        page.wait_for_selector("tbody tr")
        page.keyboard.press("/")
        page.keyboard.type("gw?")
        assert page.url.endswith("/?search=gw%3F")
        page.get_by_role("heading", name="Jobs").click()
        page.keyboard.press("g")
        page.keyboard.press("w")
        page.wait_for_url("**/workers")
        page.keyboard.press("g")
        page.keyboard.press("j")
        page.wait_for_url("**/jobs")


def test_arrows_move_the_cursor_of_the_charts(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    job = train(backends, spec_of("llama", document), until=420)
    with pages.open(f"/jobs/{job.id}") as page:
        wait_for_count(page, ".track canvas", 4)
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("text=step 2")
        page.keyboard.press("Shift+ArrowRight")
        page.wait_for_selector("text=Restart 1")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector("text=step 198")
