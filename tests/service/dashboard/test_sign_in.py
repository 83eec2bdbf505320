"""Sign in with an API key, in a browser."""

from dataclasses import replace
from typing import Any

import pytest

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from jobs.schemas.keys import Scope
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.service.dashboard.conftest import Pages
from tests.service.dashboard.looks import look
from tests.service.keys import make_key
from tests.service.receiver import Receiver
from tests.service.serving import serving


@pytest.fixture
def url(backends: Backends, settings: Settings) -> Any:
    """A service that wants keys."""
    required = settings.model_copy(update={"authentication": "required"})
    with serving(replace(backends, settings=required)) as address:
        yield address


def test_a_key_opens_its_project_alone(
    pages: Pages,
    backends: Backends,
    document: dict[str, Any],
) -> None:
    mine, other = make_key(backends), make_key(backends, project="other")
    backends.store.create(JobSpec.model_validate({**document, "name": "mine"}))
    backends.store.create(JobSpec.model_validate({**document, "name": "theirs"}), project="other")
    with pages.open(theme="dark") as page:
        page.wait_for_selector("text=Sign in")
        page.fill("#key", "rlk_wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector(".refusal:not(:empty)")
        look(page, "sign-in-refused")
        for key, shown, hidden in ((mine, "mine", "theirs"), (other, "theirs", "mine")):
            page.fill("#key", key.key)
            page.click("button:has-text('Sign in')")
            page.wait_for_selector(f"tbody >> text={shown}")
            assert hidden not in page.inner_text("tbody")
            page.click("text=Sign out")
            page.wait_for_selector("#key")


def test_a_key_is_kept_for_all_tabs_where_no_script_can_read_it(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    key = make_key(backends, scope=Scope.READ)
    job = backends.store.create(JobSpec.model_validate(document))
    with pages.open() as page:
        page.fill("#key", key.key)
        page.keyboard.press("Enter")
        page.wait_for_selector("tbody tr")
        page.reload()
        page.wait_for_selector("tbody tr")
        kept = "[document.cookie, ...Object.values(sessionStorage), ...Object.values(localStorage)]"
        assert key.key not in str(page.evaluate(kept))
        (cookie,) = page.context.cookies(f"{page.url}v1/jobs")
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert cookie["expires"] == -1  # with the browser
        other = page.context.new_page()
        other.goto(f"/jobs/{job.id}")
        other.wait_for_selector("text=tiny")
        other.click("text=Sign out")
        other.wait_for_selector("#key")
        page.wait_for_selector("#key")
        assert page.context.cookies(f"{page.url}v1/jobs") == []


def test_another_site_cannot_use_the_key_of_a_browser(
    pages: Pages, backends: Backends, document: dict[str, Any], receiver: Receiver
) -> None:
    """A page of another port of this machine is of the same site: its requests have the cookie."""
    key = make_key(backends)
    job = backends.store.create(JobSpec.model_validate(document))
    with pages.open() as page:
        page.fill("#key", key.key)
        page.keyboard.press("Enter")
        page.wait_for_selector("tbody tr")
        server = page.url
        page.goto(receiver.url)
        page.evaluate(
            "url => fetch(url, {method: 'POST', credentials: 'include', mode: 'no-cors'})",
            f"{server}v1/jobs/{job.id}/cancel",
        )
        assert backends.store.get(job.id).status is JobStatus.QUEUED
        pages.foreign.clear()
        page.goto(server)
        status = page.evaluate(
            "url => fetch(url, {method: 'POST'}).then((response) => response.status)",
            f"{server}v1/jobs/{job.id}/cancel",
        )
        assert status == 202


def test_a_job_of_another_project_is_not_there(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    key = make_key(backends, project="other")
    job = backends.store.create(JobSpec.model_validate(document))
    with pages.open(f"/jobs/{job.id}") as page:
        page.fill("#key", key.key)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"text=There is no job '{job.id}'.")


def test_a_revoked_key_is_refused_in_the_servers_words(pages: Pages, backends: Backends) -> None:
    key = make_key(backends)
    with pages.open() as page:
        page.fill("#key", key.key)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Sign out")
        backends.keys.revoke(key.id)
        page.wait_for_selector("text=was revoked")
