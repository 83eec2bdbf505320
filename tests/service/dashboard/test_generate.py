"""Text from a checkpoint of a job, in a browser, with a generator that the test plays."""

import time

from jobs.backends import Backends
from jobs.generations import Claim
from jobs.schemas.generations import GeneratedText
from jobs.schemas.job import Job
from jobs.schemas.status import JobError
from tests.service.dashboard.conftest import Pages
from tests.service.dashboard.looks import look
from tests.service.files import AddFile


def claim(backends: Backends) -> Claim:
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        if found := backends.generations.claim(worker="g", seconds=60):
            return found
        time.sleep(0.05)
    raise AssertionError("nothing was asked")


def test_a_text_appears_as_it_comes(
    pages: Pages, backends: Backends, running: Job, add_file: AddFile
) -> None:
    add_file("final/config.json", b"{}")
    with pages.open(f"/jobs/{running.id}?tab=generate") as page:
        page.get_by_label("Prompt").fill("In the beginning")
        page.get_by_label("New tokens").fill("8")
        page.get_by_role("button", name="Generate").click()
        claimed = claim(backends)
        assert claimed.generation.request.max_new_tokens == 8
        page.wait_for_selector("text=waits for the generator")
        backends.generations.tell(claimed, " was the")
        page.wait_for_selector(".text:has-text('In the beginning was the')")
        look(page, "job-generate")
        text = GeneratedText(
            text=" was the word", prompt_tokens=3, new_tokens=3, finish_reason="end_of_text"
        )
        backends.generations.succeed(claimed, text)
        page.wait_for_selector("text=3 tokens in")
        assert "was the word" in page.inner_text(".text")
        page.get_by_role("button", name="Generate").click()
        reason = JobError(code="generation_too_slow", message="Ask for fewer tokens.")
        backends.generations.fail(claim(backends), reason)
        page.wait_for_selector("text=generation_too_slow: Ask for fewer tokens.")
        page.wait_for_selector("td >> text=was the word")


def test_a_text_that_is_no_longer_followed_is_among_the_earlier_ones_when_it_is_done(
    pages: Pages, backends: Backends, running: Job, add_file: AddFile
) -> None:
    add_file("final/config.json", b"{}")
    with pages.open(f"/jobs/{running.id}?tab=generate") as page:
        generate = page.get_by_role("button", name="Generate")
        generate.click()
        claimed = claim(backends)
        backends.generations.tell(claimed, " was the")
        page.wait_for_selector(".text:has-text(' was the')")
        assert generate.is_disabled()
        page.get_by_role("button", name="Stop").click()
        page.wait_for_selector("text=no longer followed")
        assert " was the" in page.inner_text(".text")
        assert generate.is_enabled()
        text = GeneratedText(
            text=" was the word", prompt_tokens=3, new_tokens=3, finish_reason="end_of_text"
        )
        backends.generations.succeed(claimed, text)
        page.click("td >> text=was the word")
        page.wait_for_selector("text=3 tokens in")
