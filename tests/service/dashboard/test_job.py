"""The page of one job, in a browser."""

import re
from typing import Any

import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus, RequestedAction
from tests.fixtures.reports import step_finished
from tests.service.dashboard.conftest import Pages, wait_for_count
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import events_of, spec_of, train
from tests.service.files import AddFile


@pytest.fixture
def trained(backends: Backends, document: dict[str, Any]) -> Job:
    """A job of 500 steps that has reported 420 and restarted three times."""
    return train(backends, spec_of("llama-relora", document), until=420)


def test_the_charts_show_the_restarts_and_what_each_did(pages: Pages, trained: Job) -> None:
    with pages.open(f"/jobs/{trained.id}") as page:
        wait_for_count(page, ".track canvas", 4)
        assert page.locator("h3").all_inner_texts() == [
            "Loss nats",
            "Learning rate",
            "Gradient norm before clipping",
            "Pace tokens/s",
        ]
        look(page, "job")
        page.get_by_role("button", name="Restart 2, step 300").hover()
        card = page.locator(".restart-card").inner_text()
        assert "1.60" in card  # the norm of the merged update
        assert "10.0%" in card  # of the state was kept
        assert "+9.0" in card  # the effective rank that was gained
        look(page, "job-restart")


def test_a_profile_of_the_next_steps_is_asked_for(
    pages: Pages, backends: Backends, trained: Job
) -> None:
    with pages.open(f"/jobs/{trained.id}") as page:
        page.get_by_role("button", name="Profile").click()
        dialog = page.locator("dialog")
        assert "The numbers of the run stay the same" in dialog.inner_text()
        dialog.get_by_role("button", name="Profile").click()
        wait_for_count(page, "dialog", 0)
    asked = backends.attempts.renew(trained.id, 1, lease_seconds=60).profile
    assert asked is not None
    assert asked.steps == 5


def test_new_reports_and_restarts_appear_without_a_reload(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    spec = spec_of("live", document)
    job = train(backends, spec, until=200)
    known = len(list(events_of(spec, 200)))
    with pages.open(f"/jobs/{job.id}") as page:
        wait_for_count(page, "button.flag", 0)
        reports = list(enumerate(events_of(spec, 260), 1))[known:]
        backends.attempts.append(job.id, 1, reports)
        wait_for_count(page, "button.flag", 1)
        page.wait_for_selector(".figure:has-text('260')")
        backends.attempts.finish(job.id, 1, JobStatus.SUCCEEDED)
        page.wait_for_selector(".title .status.succeeded")


def test_a_zoom_is_part_of_the_address(pages: Pages, trained: Job) -> None:
    with pages.open(f"/jobs/{trained.id}") as page:
        box = page.locator(".track .u-over").first.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 60, steps=5)
        page.mouse.up()
        page.wait_for_url(re.compile("range=(199|200|201)-(399|400|401)$"))
        assert page.locator("button.flag").count() == 2
        page.keyboard.press("0")
        page.wait_for_url(lambda url: "range" not in url)


def test_the_axis_is_steps_tokens_or_time(pages: Pages, trained: Job) -> None:
    with pages.open(f"/jobs/{trained.id}?axis=tokens") as page:
        page.wait_for_selector("[aria-label='Loss by tokens']")
        page.get_by_role("button", name="Time", exact=True).click()
        page.wait_for_selector("[aria-label='Loss by time']")


def test_a_pause_says_what_it_does_and_is_done(
    pages: Pages, backends: Backends, trained: Job
) -> None:
    with pages.open(f"/jobs/{trained.id}", theme="dark") as page:
        page.click("text=Pause")
        dialog = page.locator("dialog")
        assert "saves a checkpoint" in dialog.inner_text()
        assert page.evaluate("document.activeElement.textContent") == "Keep as it is"
        look(page, "job-pause")
        page.keyboard.press("Escape")
        wait_for_count(page, "dialog", 0)
        assert backends.store.get(trained.id).requested_action is None
        page.keyboard.press("p")
        dialog.get_by_role("button", name="Pause").click()
        page.wait_for_selector("text=Pausing, after this step")
    assert backends.store.get(trained.id).requested_action is RequestedAction.PAUSE


def test_a_deleted_job_is_gone(pages: Pages, backends: Backends, trained: Job) -> None:
    backends.attempts.finish(trained.id, 1, JobStatus.SUCCEEDED)
    with pages.open(f"/jobs/{trained.id}") as page:
        page.click("text=Delete")
        page.locator("dialog").get_by_role("button", name="Delete").click()
        page.wait_for_selector("text=Nothing has been trained here yet")
    assert backends.store.list() == []


@pytest.mark.parametrize("tab", ["events", "log", "files", "spec", "attempts", "estimate"])
def test_each_tab_shows_its_part(
    pages: Pages, backends: Backends, running: Job, add_file: AddFile, tab: str
) -> None:
    backends.attempts.append(running.id, 1, [(2, step_finished(2))])
    backends.logs.append(running.id, 1, 0, b"step 1 loss 4.0\nrestart 1\n")
    add_file("final/config.json", b"{}")
    shown = {
        "events": "Claimed by w1",
        "log": "step 1 loss 4.0",
        "files": "final/config.json",
        "spec": "preset: llama_9m",
        "attempts": "w1",
        "estimate": "Peak memory of a GPU",
    }
    with pages.open(f"/jobs/{running.id}?tab={tab}") as page:
        page.wait_for_selector(f".page >> text={shown[tab]}")
        look(page, f"job-{tab}")


def test_a_file_is_downloaded(pages: Pages, running: Job, add_file: AddFile) -> None:
    add_file("final/config.json", b'{"a": 1}')
    with pages.open(f"/jobs/{running.id}?tab=files") as page, page.expect_download() as started:
        page.get_by_role("button", name="Download final/config.json").click()
        assert started.value.path().read_bytes() == b'{"a": 1}'


def test_an_unknown_job_says_so(pages: Pages) -> None:
    with pages.open("/jobs/job_06c47j38fnjz6besfkfpgrk2wv") as page:
        page.wait_for_selector("text=The job did not come")
        assert "job_not_found" in page.inner_text(".notice")
