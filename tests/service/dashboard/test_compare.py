"""Several jobs beside each other, in a browser."""

from typing import Any

from jobs.backends import Backends
from tests.service.dashboard.conftest import Pages, wait_for_count
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import spec_of, train


def test_jobs_that_are_chosen_share_a_chart_and_a_table(
    pages: Pages,
    backends: Backends,
    document: dict[str, Any],
) -> None:
    methods = {"full": {"name": "full"}, "lora": {"name": "lora", "rank": 8}}
    for name, method in methods.items():
        train(backends, spec_of(f"tiny-{name}", document, method=method), until=300)
    train(backends, spec_of("tiny-relora", document), until=400)
    with pages.open() as page:
        wait_for_count(page, "tbody tr", 3)
        for name in ("tiny-full", "tiny-lora", "tiny-relora"):
            page.get_by_label(f"Select {name}").check()
        page.keyboard.press("c")
        page.wait_for_selector("[aria-label='Training loss of 3 jobs by step']")
        wait_for_count(page, ".compared canvas", 1)
        results, scores, differing = (table.inner_text() for table in page.locator("table").all())
        assert "Tokens" in scores
        assert "*" in scores  # the longer run is read off before its end
        assert "best" in results
        assert "method.rank" in differing
        assert "method.reset_every" in differing
        assert "training.steps" not in differing
        page.get_by_label("Gap to").select_option("tiny-full")
        page.wait_for_selector("[aria-label='What the losses are above that of tiny-full']")
        wait_for_count(page, ".compared canvas", 2)
        look(page, "compare")
        page.get_by_role("button", name="Tokens").click()
        page.reload()
        page.wait_for_selector("[aria-label='Training loss of 3 jobs by tokens']")
