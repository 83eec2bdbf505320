"""The project, in a browser: what it used, its keys, webhooks and secrets."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import update

from jobs.backends import Backends
from jobs.database.tables.jobs import jobs
from jobs.schemas.keys import Scope
from jobs.schemas.projects import ProjectChanges, Quotas
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.service.dashboard.conftest import Pages, wait_for_count
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import WORKER, spec_of
from tests.service.keys import bearing, make_key
from tests.service.receiver import SIGNING_SECRET, Receiver
from tests.service.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def url(backends: Backends, settings: Settings) -> Any:
    """A service that wants keys."""
    changes = {"authentication": "required", "webhook_allow_private": True}
    required = settings.model_copy(update=changes)
    with serving(replace(backends, settings=required)) as address:
        yield address


def sign_in(page: "Page", key: str) -> None:
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('Quotas')")


def test_what_the_project_used_is_shown_beside_its_quotas(
    pages: Pages,
    backends: Backends,
    document: dict[str, Any],
) -> None:
    backends.projects.change("default", ProjectChanges(quotas=Quotas(gpus=8, queued_jobs=50)))
    job = backends.store.create(spec_of("hungry", document, resources={"gpus": 2}))
    assert backends.attempts.claim(job.id, worker=WORKER, lease_seconds=60, gpus=4)
    backends.attempts.started(job.id, 1, resumed_from=None)
    with backends.engine.begin() as connection:
        connection.execute(update(jobs).values(counted_at=jobs.c.counted_at - 3600))
    backends.attempts.finish(job.id, 1, JobStatus.SUCCEEDED)
    with pages.open("/project") as page:
        sign_in(page, make_key(backends, Scope.OPERATOR).key)
        page.wait_for_selector("text=hungry")
        row = page.locator("tr", has_text="hungry").inner_text().split()
        assert row == ["hungry", "1", "2.00", "100%"]
        assert page.locator("tr", has_text="GPUs").first.inner_text().split() == ["GPUs", "0", "8"]
        look(page, "project")


def test_a_key_is_made_shown_once_and_revoked(pages: Pages, backends: Backends, url: str) -> None:
    with pages.open("/project", theme="dark") as page:
        sign_in(page, make_key(backends, Scope.ADMIN).key)
        page.fill("input[name=name] >> nth=0", "nightly")
        page.click("text=Make a key")
        made = page.locator("[role=status] code").inner_text()
        session = httpx.get(f"{url}/v1/session", headers={"Authorization": f"Bearer {made}"})
        assert session.json()["scope"] == "write"
        assert page.locator("select[name=scope] option").all_inner_texts() == [
            "read",
            "write",
            "admin",
        ]
        page.click("button[aria-label='Revoke nightly']")
        page.click("dialog >> text=Revoke >> nth=-1")
        wait_for_count(page, "button[aria-label='Revoke nightly']", 0)
    refused = httpx.get(f"{url}/v1/session", headers={"Authorization": f"Bearer {made}"})
    assert refused.json()["code"] == "key_revoked"


def test_a_secret_is_stored_and_signs_a_webhook(
    pages: Pages, backends: Backends, receiver: Receiver
) -> None:
    with pages.open("/project") as page:
        sign_in(page, make_key(backends).key)
        secrets = page.get_by_role("region", name="Secrets")
        secrets.locator("input[name=name]").fill("signing")
        secrets.locator("input[name=value]").fill(SIGNING_SECRET)
        secrets.get_by_text("Store", exact=True).click()
        secrets.get_by_text("signing", exact=True).wait_for()
        assert SIGNING_SECRET not in page.content()
        webhooks = page.get_by_role("region", name="Webhooks")
        webhooks.locator("input[name=url]").fill("https://example.com/hook")
        webhooks.locator("input[name=secret]").fill("missing")
        webhooks.get_by_text("Add", exact=True).click()
        webhooks.get_by_text("has no secret of this name").wait_for()
        webhooks.locator("input[name=url]").fill(receiver.url)
        webhooks.locator("input[name=secret]").fill("signing")
        webhooks.get_by_text("Add", exact=True).click()
        webhooks.get_by_text(receiver.url).wait_for()
        webhooks.get_by_text("Test", exact=True).click()
        webhooks.get_by_text("Sent", exact=True).wait_for()
        webhooks.get_by_text("Deliveries", exact=True).click()
        row = page.locator("table.dense tbody tr")
        row.get_by_text("Delivered").wait_for()
        row.get_by_text("Send again").click()
        row.locator("td:nth-child(4):text-is('2')").wait_for()
        row.get_by_text("Delivered").wait_for()
        assert len(receiver.requests) == 2
        look(page, "project-webhooks")


def test_an_operator_changes_quotas_and_makes_a_project(
    pages: Pages, backends: Backends, url: str
) -> None:
    with pages.open("/project") as page:
        sign_in(page, make_key(backends, Scope.OPERATOR).key)
        page.select_option("select[name=quota]", "storage_bytes")
        page.fill("input[name=limit]", "2.5")
        page.get_by_role("button", name="Change the quota").click()
        page.locator("tr", has_text="Storage").first.get_by_text("2.50 GB").wait_for()
        others = page.get_by_role("region", name="Other projects")
        others.locator("input[name=name]").fill("Speech Team")
        others.get_by_text("Make a project", exact=True).click()
        others.locator("[role=alert]:not(:empty)").wait_for()
        others.locator("input[name=name]").fill("speech-team")
        others.get_by_text("Make a project", exact=True).click()
        others.get_by_role("cell", name="speech-team").wait_for()
        look(page, "project-operator")
    report = httpx.get(f"{url}/v1/projects/default", headers=bearing(make_key(backends)))
    assert report.json()["quotas"]["storage_bytes"] == 2_500_000_000


def test_no_one_else_is_offered_that(pages: Pages, backends: Backends) -> None:
    with pages.open("/project") as page:
        sign_in(page, make_key(backends, Scope.ADMIN).key)
        page.wait_for_selector("h2:has-text('API keys')")
        wait_for_count(page, "select[name=quota]", 0)
        wait_for_count(page, "h2:has-text('Other projects')", 0)


def test_a_key_that_only_reads_changes_nothing(pages: Pages, backends: Backends, url: str) -> None:
    writer = bearing(make_key(backends))
    httpx.put(f"{url}/v1/secrets/token", headers=writer, json={"value": "long enough"})
    with pages.open("/project") as page:
        sign_in(page, make_key(backends, Scope.READ).key)
        page.wait_for_selector("text=token")
        wait_for_count(page, "form.add", 0)
        wait_for_count(page, ".button.danger", 0)
        wait_for_count(page, "h2:has-text('API keys')", 0)
