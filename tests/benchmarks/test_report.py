from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchmarks.figures import FIGURES, medians
from benchmarks.goals import AtLeast, AtMost
from benchmarks.machine import describe_machine
from benchmarks.packing import Packing
from benchmarks.pauses import Pauses
from benchmarks.report import PAGE, measured_part, read_results, with_measured
from benchmarks.results import Comparison, Counts, Measured, Results
from benchmarks.whole_run import WholeRun, WholeRuns
from benchmarks.workloads import RESET_EVERY


def results() -> Results:
    contenders = {
        "full": Measured(
            tokens_per_second=[100.0, 50.0, 80.0],
            peak_bytes=4000,
            counts=Counts(executed_flops=500.0, tensor_bytes=2000),
        ),
        "relora": Measured(
            tokens_per_second=[110.0, 75.0, 96.0],
            peak_bytes=3000,
            counts=Counts(executed_flops=400.0, tensor_bytes=1200),
        ),
    }
    comparison = Comparison(
        model="tiny",
        rank=4,
        sequences=2,
        sequence_length=24,
        precision="fp32",
        steps=1,
        contenders=contenders,
    )
    return Results(
        machine=describe_machine(),
        measured_at=datetime(2026, 11, 24, tzinfo=UTC),
        quick=True,
        seconds=1.0,
        load_average_after=0.0,
        comparisons={"speed": comparison, "memory": comparison},
        pauses=Pauses(
            model="tiny", restarts=[2.0], checkpoint_pauses=[0.1, 0.3], blocking_saves=[1.0, 1.0]
        ),
        whole_runs=WholeRuns(
            model="tiny",
            steps=8,
            runs={
                "full": [WholeRun(seconds=10.0, peak_bytes=4000)],
                "relora": [WholeRun(seconds=9.0, peak_bytes=4000)],
            },
        ),
        packing=Packing(megabytes=1.0, processes=2, ours=[6.0], datasets_map=[2.0]),
    )


def test_the_page_shows_what_the_committed_results_say() -> None:
    page = PAGE.read_text()
    assert page == with_measured(page, measured_part(read_results()))


@pytest.mark.integration
def test_figures_are_medians_of_the_ratios_of_each_round() -> None:
    step = 48 / 96  # seconds, at relora's median
    found = medians(results(), "cpu")
    assert found["relora_over_full"] == pytest.approx(1.2)  # of 1.1, 1.5 and 1.2
    assert found["relora_share_of_limit"] == pytest.approx(1.2 / 1.25)
    assert found["memory_over_full"] == 0.75
    assert found["memory_share_of_limit"] == pytest.approx(0.6 / 0.75)
    assert (found["whole_run_time"], found["whole_run_memory"]) == (0.9, 1.0)
    assert found["restart_share"] == pytest.approx(2 / (2 + RESET_EVERY * step))
    assert found["checkpoint_pause"] == pytest.approx(0.2)
    assert found["pack_over_datasets_map"] == 3.0
    assert found["relora_over_peft_trainer"] is None


@pytest.mark.integration
def test_what_is_not_measured_says_so() -> None:
    part = measured_part({"cpu": results(), "cuda": None})
    rows = [line for line in part.splitlines() if line.startswith("| GPU |")]
    assert len(rows) == sum(figure.device == "cuda" for figure in FIGURES)
    assert all("| not measured |" in row for row in rows)


@pytest.mark.integration
def test_each_figure_says_whether_its_median_meets_the_goal() -> None:
    rows = measured_part({"cpu": results(), "cuda": None}).splitlines()
    speed = "relora / full rank compiled, tokens/s | none | 1.20 | 1.10 to 1.50 | "
    assert f"| CPU | {speed} |" in rows
    share = "the same, as a share of what the counted arithmetic allows | 95% or more | 96.0%"
    assert f"| CPU | {share} | 88.0% to 120.0% | met |" in rows
    memory = "what the counted tensors take, as a share of that | 95% or more | 80.0% |  | missed"
    assert f"| CPU | {memory} |" in rows


@pytest.mark.parametrize(
    ("goal", "form", "written", "met", "missed"),
    [
        (AtLeast(1.25), ".2f", "1.25 or more", 1.25, 1.24),
        (AtLeast(550_000), ",.0f", "550,000 or more", 550_001, 549_999),
        (AtMost(0.005), ".3%", "0.5% or less", 0.005, 0.0051),
    ],
)
def test_a_goal_is_met_from_its_number_on(
    goal: AtLeast | AtMost, form: str, written: str, met: float, missed: float
) -> None:
    assert goal.written(form) == written
    assert (goal.met_by(met), goal.met_by(missed)) == (True, False)


@pytest.mark.integration
def test_a_figure_without_goal_or_results_has_no_verdict() -> None:
    [figure] = [figure for figure in FIGURES if figure.key == "relora_share_of_limit"]
    assert figure.verdict(results()) == "met"
    assert figure.verdict(None) == ""
    assert replace(figure, goal=None).verdict(results()) == ""


@pytest.mark.integration
def test_one_contest_joins_those_that_were_measured_before() -> None:
    before = results()
    again = before.model_copy(
        update={
            "comparisons": {"memory": before.comparisons["memory"].model_copy(update={"steps": 7})},
            "pauses": None,
        }
    )
    joined = again.beside(before)
    assert {name: each.steps for name, each in joined.comparisons.items()} == {
        "speed": 1,
        "memory": 7,
    }
    assert joined.pauses == before.pauses
    assert again.beside(None) == again


@pytest.mark.integration
def test_numbers_of_another_commit_are_not_mixed_in() -> None:
    before = results()
    other = before.machine.model_copy(update={"commit": "a newer one"})
    now = before.model_copy(update={"machine": other, "comparisons": {}})
    assert now.beside(before) == now
