"""The page of an experiment: made from the stored results, with every seed on it."""

import math
import re
from dataclasses import replace

import pytest

from benchmarks.lab.__main__ import PAGE, PICTURES, page_part, picture_name
from benchmarks.lab.declared import EXPERIMENTS
from benchmarks.lab.experiments import Experiment, Run
from benchmarks.lab.page import outcomes, page
from benchmarks.lab.picture import picture
from benchmarks.lab.plan import next_runs
from benchmarks.lab.records import Record
from benchmarks.report import with_measured
from tests.benchmarks.lab.made_up import EXPERIMENT, record

LOSSES: dict[tuple[str, int], float | None] = {
    ("full", 1): 3.00,
    ("full", 2): 3.02,
    ("relora", 1): 2.95,
    ("relora", 2): 2.96,
}


def complete(losses: dict[tuple[str, int], float | None]) -> dict[Run, Record]:
    """Return the results of all runs, with the first rates as the best ones."""
    results: dict[Run, Record] = {}
    while runs := next_runs(EXPERIMENT, results):
        for run in runs:
            seed_loss = losses.get((run.arm, run.seed))
            results[run] = record(run, seed_loss if run.stage == "seeds" else abs(run.rate - 1.0))
    return results


def rows(lines: list[str], header: str) -> list[list[str]]:
    """Return the cells of the table whose header begins so."""
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {header} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_the_page_shows_the_committed_results(experiment: Experiment) -> None:
    shown = PAGE.read_text()
    part, _ = page_part(experiment)
    assert shown == with_measured(shown, part, experiment.name)
    assert (PICTURES / picture_name(experiment)).read_text().startswith("<?xml")


def test_a_page_without_results_says_so() -> None:
    lines = list(page(EXPERIMENT, {}))
    assert [row[1] for row in rows(lines, "arm | trained at the end")] == ["not run yet"] * 2
    assert [row[1] for row in rows(lines, "hypothesis")] == ["not run yet"] * 2


def test_a_part_of_the_runs_is_no_finding() -> None:
    results = complete(LOSSES)
    part = dict(list(results.items())[:-1])
    assert "**Complete**: 10 runs." in "\n".join(page(EXPERIMENT, results))
    assert "9 runs are there, 1 are left" in "\n".join(page(EXPERIMENT, part))


def test_a_screening_shows_the_best_rate_of_each_arm() -> None:
    screening = replace(EXPERIMENT, seeds=(), hypotheses=())
    results = {run: result for run, result in complete(LOSSES).items() if run.stage == "rates"}
    full, _ = rows(list(page(screening, results)), "arm | trained at the end")
    assert full[2:5] == ["1.00", "", "1.00"]


def test_every_try_of_a_rate_is_shown_with_the_best_one() -> None:
    lines = list(page(EXPERIMENT, complete(LOSSES)))
    full, relora = rows(lines, "arm | rate that is tried")
    # 0.5 was tried because the best rate was at the edge of the grid
    assert full[2:] == ["3", "0.5: 1.65, 1: 1.00, 2: 2.72", "1"]
    assert relora[:3] == ["restarts", "`optimizer.factor_learning_rate`", "3"]


def test_every_seed_is_shown_with_the_mean_and_its_interval() -> None:
    lines = list(page(EXPERIMENT, complete(LOSSES)))
    full, _ = rows(lines, "arm | trained at the end")
    mean, half = 3.01, 12.7062 * 0.01  # the t of one degree of freedom, times the standard error
    assert full[2] == f"{math.exp(mean):.2f}"
    assert full[3] == f"{math.exp(mean - half):.2f} to {math.exp(mean + half):.2f}"
    assert full[4] == f"{math.exp(3.0):.2f}, {math.exp(3.02):.2f}"


def test_hypotheses_are_tested_on_the_differences_by_seed() -> None:
    lower, equivalent = outcomes(EXPERIMENT, complete(LOSSES))
    assert lower.differences == pytest.approx((-0.05, -0.06))
    t = -0.055 / 0.005  # one degree of freedom is Cauchy's distribution
    assert lower.p_value == pytest.approx(0.5 + math.atan(t) / math.pi)
    assert equivalent.p_value > 0.5


def test_a_run_that_diverged_is_shown_and_proves_nothing() -> None:
    results = complete(LOSSES | {("relora", 2): None})
    lower, _ = outcomes(EXPERIMENT, results)
    assert (lower.lost, lower.p_value) == (1, 1.0)
    _, relora = rows(list(page(EXPERIMENT, results)), "arm | trained at the end")
    assert relora[4] == f"{math.exp(2.95):.2f}, diverged"


def test_the_picture_has_each_arm_and_is_the_same_each_time() -> None:
    results = complete(LOSSES)
    drawn = picture(EXPERIMENT, results)
    assert drawn == picture(EXPERIMENT, results)
    assert {"full", "relora"} <= set(re.findall(r">([a-z]+)</text>", drawn))
