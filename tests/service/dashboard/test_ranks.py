"""The ranks of a job's update, in a browser."""

import json
from typing import Any

from jobs.schemas.job import Job
from tests.service.dashboard.conftest import Pages, wait_for_count
from tests.service.dashboard.looks import look
from tests.service.files import AddFile

PROJECTIONS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
BLOCKS, RANK, SIZE = 8, 16, 64


def layer(restart: int, block: int) -> dict[str, Any]:
    """The spectrum of a layer after so many restarts, each of rank 16."""
    rank = RANK * restart
    values = [10.0 * 0.9**n if n < rank else 1e-9 for n in range(SIZE)]
    return {
        "shape": [SIZE, SIZE],
        "singular_values": values,
        "exact": True,
        "norm": 1.0,
        "effective_rank": rank * 0.6 + block,
        "stable_rank": 3.5,
        "numerical_rank": rank,
    }


def report() -> dict[str, Any]:
    names = [(f"model.layers.{b}.{one}", b) for b in range(BLOCKS) for one in PROJECTIONS]
    return {
        "method": "relora",
        "rank": RANK,
        "since_step": 100,
        "spectra": [
            {
                "step": 100 + 100 * restart,
                "restart": restart,
                "layers": {name: layer(restart, block) for name, block in names},
            }
            for restart in (1, 2, 3)
        ],
    }


def test_each_restart_has_a_map_of_all_layers_and_a_line_of_singular_values(
    pages: Pages, running: Job, add_file: AddFile
) -> None:
    add_file("reports/spectrum.json", json.dumps(report()).encode())
    with pages.open(f"/jobs/{running.id}?tab=ranks") as page:
        wait_for_count(page, ".map", 3)
        assert page.locator(".map").first.locator("tbody td").count() == BLOCKS * len(PROJECTIONS)
        means = page.locator("section table").inner_text()
        assert "13.1" in means  # 0.6 of 16, and the mean of the blocks' numbers
        assert "+9.6" in means
        page.locator(".map").last.locator("tr:has(th:text-is('5')) td").nth(1).click()
        name = "model.layers.5.self_attn.v_proj"
        page.wait_for_selector(f"[aria-label='Singular values of the update of {name}']")
        assert page.get_by_label("Layer", exact=True).input_value() == name
        look(page, "job-ranks")


def test_a_job_without_a_report_says_when_it_comes(pages: Pages, running: Job) -> None:
    with pages.open(f"/jobs/{running.id}?tab=ranks") as page:
        page.wait_for_selector("text=No rank was measured yet")
