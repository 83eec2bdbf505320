"""The page of all jobs, in a browser."""

from typing import Any

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from tests.fixtures.reports import step_finished
from tests.service.dashboard.conftest import Pages, wait_for_count
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import claim, make_scene, spec_of


def test_each_status_has_its_row(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    jobs = make_scene(backends, document)
    with pages.open() as page:
        page.wait_for_selector("table.jobs .spark path")
        rows = page.locator("tbody tr")
        assert rows.count() == len(jobs)
        first, last = rows.first.inner_text(), rows.last.inner_text()
        assert "Running" in first
        assert "84.0%" in first
        assert "Succeeded" in last
        assert "First in the queue" in page.inner_text("tbody")
        assert "diverged after 3 rewinds" in page.inner_text("tbody")
        assert page.locator("tr:has-text('llama-relora-r64') .progress i").count() == 5
        look(page, "jobs")


def test_a_row_changes_by_itself(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    job = claim(backends, spec_of("live", document))
    backends.attempts.started(job.id, 1, resumed_from=None)
    with pages.open() as page:
        page.wait_for_selector("text=Starting the trainer")
        backends.attempts.append(job.id, 1, [(1, step_finished(50, loss=3.25, total_steps=500))])
        page.wait_for_selector("text=3.250")
        assert "10.0%" in page.inner_text("tbody tr")


def test_filters_are_part_of_the_address(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    make_scene(backends, document)
    with pages.open("/jobs?status=failed") as page:
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 1
        page.click("text=All")
        wait_for_count(page, "tbody tr", 7)
        page.keyboard.press("/")
        page.keyboard.type("galore")
        wait_for_count(page, "tbody tr", 1)
        assert page.url.endswith("/jobs?search=galore")
        page.reload()
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 1


def test_an_empty_server_runs_the_demo_by_one_click(pages: Pages, backends: Backends) -> None:
    with pages.open() as page:
        page.wait_for_selector("text=Nothing has been trained here yet")
        look(page, "jobs-empty")
        page.click("text=Run the demo job")
        page.wait_for_url("**/jobs/job_*")
    (job,) = backends.store.list()
    assert job.spec.method.name == "relora"


def test_a_phone_shows_cards(pages: Pages, backends: Backends, document: dict[str, Any]) -> None:
    make_scene(backends, document)
    with pages.open(width=390, theme="dark") as page:
        page.wait_for_selector(".cards .spark path")
        assert page.locator(".cards li").count() == 7
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        look(page, "jobs-phone")


def test_an_outage_is_told_and_ends_by_itself(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    backends.store.create(JobSpec.model_validate(document))
    with pages.open() as page:
        page.wait_for_selector("tbody tr")
        page.context.set_offline(True)
        page.wait_for_selector(".offline")
        assert page.locator("tbody tr").count() == 1  # what was known stays
        look(page, "jobs-offline")
        page.context.set_offline(False)
        page.wait_for_selector(".offline", state="detached")
