"""The page on quality: what it says follows from the stored results, and from all of them."""

import math
from collections.abc import Callable, Mapping

import pytest

from benchmarks.lab.__main__ import QUALITY, quality_part
from benchmarks.lab.declared import EXPERIMENTS
from benchmarks.lab.experiments import Experiment, Run
from benchmarks.lab.plan import next_runs
from benchmarks.lab.quality import gaps, quality
from benchmarks.lab.records import Record, Results
from benchmarks.report import with_measured
from tests.benchmarks.lab.made_up import record

Loss = Callable[[Run], float | None]
NONE: Mapping[str, Results] = {name: {} for name in EXPERIMENTS}


def run_all(experiment: Experiment, loss: Loss) -> dict[Run, Record]:
    """Return a result of each run of an experiment, as if its grids did not grow."""
    results: dict[Run, Record] = {}
    while runs := next_runs(experiment, results):
        results |= {run: record(run, loss(run), experiment=experiment) for run in runs}
    return results


def of_s(losses: Mapping[str, float], *, diverged: int | None = None) -> Mapping[str, Results]:
    """Return results of experiment s with these losses. `diverged`: a seed of `relora_4`."""

    def loss(run: Run) -> float | None:
        if run.stage == "rates":
            return abs(math.log(run.rate / (run.base_rate or 1e-3) / 4))  # the optimum is inside
        if run.arm == "relora_4" and run.seed == diverged:
            return None
        return losses[run.arm] + 0.001 * run.seed + 0.0001 * (run.seed % 2) * len(run.arm)

    return {**NONE, "s": run_all(EXPERIMENTS["s"], loss)}


HALF = {"full": 3.0, "lora_4": 3.2, "relora_4": 3.1, "lora_16": 3.1, "relora_16": 3.1}


def test_the_page_shows_the_committed_results() -> None:
    shown = QUALITY.read_text()
    part, _ = quality_part()
    assert shown == with_measured(shown, part, "quality")


def test_without_results_nothing_is_claimed() -> None:
    lines = "\n".join(quality(NONE))
    assert "shown" not in lines
    assert "| S, 1/16 | 0 of 5 | not run yet |" in lines


def test_restarts_that_halve_the_distance_to_full_rank_close_half_of_the_gap() -> None:
    small, ample, _ = gaps(of_s(HALF))
    assert (small.share_of_width, ample.share_of_width) == (1 / 16, 1 / 4)
    assert small.closed.mean == pytest.approx(0.5, abs=0.01)
    assert ample.closed.mean == pytest.approx(0.0, abs=0.01)
    row = next(line for line in quality(of_s(HALF)) if line.startswith("| S, 1/16 |"))
    assert "| 5 of 5 |" in row
    assert "| 50% (" in row


def test_a_difference_is_shown_only_where_there_is_one() -> None:
    lines = [line for line in quality(of_s(HALF)) if line.startswith("- ")]
    assert lines[0].startswith("- `relora_4` has a lower perplexity than `lora_4`: **shown**")
    assert lines[1].startswith("- `relora_16` has a lower perplexity than `lora_16`: **not shown**")
    assert lines[2].startswith("- `relora_4` is within 1% of `full`: **not shown**")


def test_a_seed_of_which_a_run_diverged_is_left_out_and_shows_nothing() -> None:
    results = of_s(HALF, diverged=3)
    assert [len(gap.full) for gap in gaps(results)] == [4, 5, 0]
    first = next(line for line in quality(results) if line.startswith("- "))
    assert "**not shown**" in first


def test_a_screening_puts_the_best_arm_first_and_compares_it_with_the_others() -> None:
    experiment = EXPERIMENTS["restarts"]
    losses = {"full": 3.0, "cycle_4_4": 3.05, "lora_4": 3.1}

    def loss(run: Run) -> float:
        return losses.get(run.arm, 3.2) + abs(math.log(run.rate / (run.base_rate or 1e-3) / 4))

    results = {**NONE, "restarts": run_all(experiment, loss)}
    lines = list(quality(results))
    start = lines.index("### The number of restarts and the length of a cycle")
    header, _, *rows = [line for line in lines[start:] if line.startswith("|")]
    assert header == "| arm | perplexity | against `full` | against `lora_4` | against `relora_4` |"
    assert [row.split(" | ")[1] for row in rows[:3]] == ["20.09", "21.12", "22.20"]
    assert rows[1].endswith("| +5.13% | -4.88% | -13.93% |")
