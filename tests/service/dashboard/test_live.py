"""Live data comes over one stream that the tabs of a browser share."""

import re
import time
from typing import TYPE_CHECKING, Any

import httpx

from jobs.backends import Backends
from jobs.schemas.status import JobStatus
from tests.fixtures.reports import step_finished
from tests.service.dashboard.conftest import Pages
from tests.service.dashboard.scene import claim, spec_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

TABS = 10


def streams_of(url: str) -> int:
    found = re.search(r"^relora_event_streams (\d+)", httpx.get(f"{url}/metrics").text, re.M)
    assert found is not None
    return int(found[1])


def wait_for_streams(url: str, count: int) -> None:
    give_up_at = time.monotonic() + 20
    while streams_of(url) != count and time.monotonic() < give_up_at:
        time.sleep(0.1)
    assert streams_of(url) == count


def test_ten_tabs_are_live_over_one_stream_and_leave_nothing_on_the_server(
    pages: Pages, url: str, backends: Backends, document: dict[str, Any]
) -> None:
    job = claim(backends, spec_of("shared", document))
    backends.attempts.started(job.id, 1, resumed_from=None)
    backends.attempts.append(job.id, 1, [(1, step_finished(10, loss=4.5, total_steps=500))])
    with pages.open() as first:
        tabs: list[Page] = [first]
        for _ in range(TABS - 1):
            tab = first.context.new_page()
            tab.goto(f"/jobs/{job.id}" if len(tabs) % 2 else "/")
            tabs.append(tab)
        for tab in tabs:
            tab.wait_for_selector("text=4.500")
        wait_for_streams(url, 1)
        backends.attempts.append(job.id, 1, [(2, step_finished(20, loss=3.25, total_steps=500))])
        started = time.monotonic()
        for tab in tabs:
            tab.wait_for_selector("text=3.250")
        assert time.monotonic() - started < 10
        backends.attempts.finish(job.id, 1, JobStatus.SUCCEEDED)
        for tab in tabs:
            tab.wait_for_selector("text=Succeeded")
        for tab in tabs[1:]:
            tab.close()
        assert streams_of(url) == 1
    wait_for_streams(url, 0)
