"""Sign in with an API key, in a browser."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from jobs.settings import Settings
from tests.service.dashboard.conftest import Pages
from tests.service.keys import make_key
from tests.service.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page


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
    picture: Callable[["Page", str], None],
) -> None:
    mine, other = make_key(backends), make_key(backends, project="other")
    backends.store.create(JobSpec.model_validate({**document, "name": "mine"}))
    backends.store.create(JobSpec.model_validate({**document, "name": "theirs"}), project="other")
    with pages.open(theme="dark") as page:
        page.wait_for_selector("text=Sign in")
        page.fill("#key", "rlk_wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector(".refusal:not(:empty)")
        picture(page, "sign-in-refused-dark")
        for key, shown, hidden in ((mine, "mine", "theirs"), (other, "theirs", "mine")):
            page.fill("#key", key.key)
            page.click("button:has-text('Sign in')")
            page.wait_for_selector(f"tbody >> text={shown}")
            assert hidden not in page.inner_text("tbody")
            page.click("text=Sign out")
            page.wait_for_selector("#key")


def test_a_key_is_kept_for_its_tab_alone(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    key = make_key(backends)
    backends.store.create(JobSpec.model_validate(document))
    with pages.open() as page:
        page.fill("#key", key.key)
        page.keyboard.press("Enter")
        page.wait_for_selector("tbody tr")
        page.reload()
        page.wait_for_selector("tbody tr")
        other = page.context.new_page()
        other.goto("/")
        other.wait_for_selector("#key")
