"""A sweep with its grid and its curves, in a browser."""

from typing import Any

import httpx

from jobs.backends import Backends
from jobs.store.jobs import JobStore
from tests.service.dashboard.conftest import Pages, wait_for_count
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import events_of


def test_a_sweep_is_its_grid_and_a_comparison_of_its_jobs(
    pages: Pages,
    http: httpx.Client,
    backends: Backends,
    document: dict[str, Any],
) -> None:
    base = {
        **document,
        "training": {"steps": 500, "global_batch_size": 10, "log_every": 2},
        "method": {"name": "relora", "warm_start_steps": 100, "reset_every": 100},
    }
    grid = {"rank": [8, 16], "seed": [1, 2]}
    sweep = http.post("/v1/sweeps", json={"name": "ranks", "base": base, "grid": grid}).json()
    for place, one in enumerate(sweep["jobs"]):
        train(backends, backends.store, one["job_id"], until=200 + 50 * place)
    with pages.open("/compare") as page:
        page.get_by_role("link", name="ranks").click()
        page.wait_for_url("**/sweeps/*")
        page.wait_for_selector("[aria-label='Training loss of 4 jobs by step']")
        wait_for_count(page, "table[aria-label=Grid] tbody tr", 4)
        table = page.locator("table[aria-label=Grid]")
        assert table.locator("th").first.inner_text() == "rank"
        assert "best" in table.locator("tbody tr").last.inner_text()
        look(page, "sweep")


def train(backends: Backends, store: JobStore, job_id: str, *, until: int) -> None:
    assert backends.attempts.claim(job_id, worker="w1", lease_seconds=3600)
    backends.attempts.started(job_id, 1, resumed_from=None)
    reports = list(enumerate(events_of(store.get(job_id).spec, until), 1))
    backends.attempts.append(job_id, 1, reports)
