"""The order of the runs: rates first, grids that grow, then the seeds; nothing is run again."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.lab.experiments import Run
from benchmarks.lab.plan import Left, Tuned, batches, left, next_runs, tuned
from benchmarks.lab.records import Record
from tests.benchmarks.lab.made_up import EXPERIMENT, record

FULL, RELORA = EXPERIMENT.arms
Loss = Callable[[float], float | None]
Results = dict[Run, Record]


def rate_run(arm: str, rate: float, base: float | None = None) -> Run:
    return Run(arm, "rates", rate, base, EXPERIMENT.tuning_seed)


def tried(loss: Loss, results: Results) -> Tuned:
    """Return what is known of full rank once no rate is left to try."""
    while (found := tuned(EXPERIMENT, FULL, results)).best is None:
        missing = [run for run in found.tries if run not in results]
        if not missing:
            break
        results |= {run: record(run, loss(run.rate)) for run in missing}
    return found


def rates(found: Tuned) -> list[float]:
    return [run.rate for run in found.tries]


def test_first_the_rates_of_the_arms_that_need_no_other_arm() -> None:
    assert next_runs(EXPERIMENT, {}) == [rate_run("full", 1.0), rate_run("full", 2.0)]


def test_an_arm_with_a_base_tries_multiples_of_the_best_rate_of_the_base() -> None:
    results: Results = {}
    best = tried(lambda rate: abs(rate - 1.0), results).best
    assert best == rate_run("full", 1.0)
    assert next_runs(EXPERIMENT, results) == [
        rate_run("relora", 1.0, 1.0),
        rate_run("relora", 2.0, 1.0),
    ]


def test_a_grid_with_its_best_rate_inside_does_not_grow() -> None:
    found = tried(lambda rate: abs(rate - 2.0), {})
    assert (rates(found), found.best, found.at_edge) == (
        [1.0, 2.0, 4.0],  # 2 was at the edge until 4 was tried
        rate_run("full", 2.0),
        False,
    )


def test_a_grid_grows_twice_at_most_and_a_best_rate_at_the_edge_is_marked() -> None:
    found = tried(lambda rate: -rate, {})
    assert (rates(found), found.at_edge) == ([1.0, 2.0, 4.0, 8.0], True)
    found = tried(lambda rate: rate, {})
    assert (rates(found), found.at_edge) == ([0.25, 0.5, 1.0, 2.0], True)


def test_of_rates_within_three_thousandths_the_smallest_is_the_best() -> None:
    found = tried(lambda rate: {1.0: 3.002, 0.5: 3.1, 2.0: 3.0}[rate], {})
    assert found.best == rate_run("full", 1.0)


def test_a_grid_that_diverged_grows_downwards_and_may_have_no_best_rate() -> None:
    found = tried(lambda rate: None if rate > 0.3 else 3.0, {})
    assert found.best == rate_run("full", 0.25)
    found = tried(lambda _: None, {})
    assert (rates(found), found.best) == ([0.25, 0.5, 1.0, 2.0], None)


def test_the_seeds_follow_one_by_one_with_the_best_rates_and_no_run_is_repeated() -> None:
    results: Results = {}
    while runs := [run for run in next_runs(EXPERIMENT, results) if run.stage == "rates"]:
        results |= {run: record(run, abs(run.rate - 1.0)) for run in runs}
    assert left(EXPERIMENT, results) == Left(tries=(0, 0), seeds=4)
    for seed in EXPERIMENT.seeds:
        full, relora = next_runs(EXPERIMENT, results)
        assert full == Run("full", "seeds", 1.0, None, seed)
        assert relora == Run("relora", "seeds", 1.0, 1.0, seed)
        results[full] = record(full, 3.0)
        assert next_runs(EXPERIMENT, results) == [relora]
        results[relora] = record(relora, 3.0)
    assert next_runs(EXPERIMENT, results) == []


def test_all_runs_are_counted_before_the_first() -> None:
    # two rates of each arm, of which each grid may grow twice, and two seeds of each arm
    all_of_it = left(EXPERIMENT, {})
    assert all_of_it == Left(tries=(4, 8), seeds=4)
    assert all_of_it.runs == (8, 12)
    assert all_of_it.steps(EXPERIMENT) == (4 * 50 + 4 * 100, 8 * 50 + 4 * 100)


def test_without_seeds_an_experiment_ends_with_the_rates() -> None:
    screening = replace(EXPERIMENT, seeds=(), hypotheses=())
    results: Results = {}
    while runs := next_runs(screening, results):
        results |= {run: record(run, abs(run.rate - 1.0)) for run in runs}
    assert {run.stage for run in results} == {"rates"}
    assert left(screening, results).runs == (0, 0)


def test_a_batch_has_the_runs_of_one_arm_and_stage() -> None:
    one, two, other = rate_run("full", 1.0), rate_run("full", 2.0), rate_run("relora", 1.0, 1.0)
    assert batches([one, other, two]) == [[one, two], [other]]
