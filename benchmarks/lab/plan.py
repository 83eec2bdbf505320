"""Which runs come next, from the results so far. So a lab that was stopped goes on where it was.

First the rates are tried, each arm's on the tuning seed. A grid whose best rate is at its edge
grows there. Then the best rate of each arm is used with the other seeds, if there are any. The
seeds come one after the other, so that a lab that was stopped has all arms of some seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.lab.experiments import Arm, Experiment, Run
from benchmarks.lab.records import Results

GROWTH = 2.0  # a new rate of a grid is this many times the one at its edge
TIE = 0.003  # of ln(perplexity); of rates this close, the smallest is the best


@dataclass(frozen=True)
class Tuned:
    """The rates that were tried for an arm, and the best one."""

    tries: Sequence[Run]
    best: Run | None  # None: not all were run yet, or all diverged
    at_edge: bool = False


def next_runs(experiment: Experiment, results: Results) -> list[Run]:
    """Return the runs that can start now; none when the experiment is complete."""
    tries = [run for arm in experiment.arms for run in tuned(experiment, arm, results).tries]
    seeds = [run for arm in experiment.arms for run in seed_runs(experiment, arm, results)]
    missing = _missing(seeds, results)
    first = min((run.seed for run in missing), default=None)
    return _missing(tries, results) or [run for run in missing if run.seed == first]


def seed_runs(experiment: Experiment, arm: Arm, results: Results) -> list[Run]:
    """Return the runs of an arm with its best rate; none if that is not known yet."""
    best = tuned(experiment, arm, results).best
    if best is None:
        return []
    return [replace(best, stage="seeds", seed=seed) for seed in experiment.seeds]


def tuned(experiment: Experiment, arm: Arm, results: Results) -> Tuned:
    base: float | None = None
    if arm.rates.base is not None:
        best_of_base = tuned(experiment, experiment.arm(arm.rates.base), results).best
        if best_of_base is None:
            return Tuned((), None)
        base = best_of_base.rate
    rates = [value * (base or 1) for value in arm.rates.values]
    if len(rates) == 1 and not experiment.growths and experiment.seeds:  # nothing to choose
        return Tuned((), Run(arm.name, "rates", rates[0], base, experiment.tuning_seed))
    for growths_left in range(experiment.growths, -1, -1):
        tries = [Run(arm.name, "rates", rate, base, experiment.tuning_seed) for rate in rates]
        if _missing(tries, results):
            break
        beyond = _beyond_the_edge(tries, results)
        if beyond is None or not growths_left:
            return Tuned(tries, _best(tries, results), at_edge=beyond is not None)
        rates = sorted([*rates, beyond])
    return Tuned(tries, None)


@dataclass(frozen=True)
class Left:
    """What is left of an experiment: if no grid grows any more, and if all grow to the end."""

    tries: tuple[int, int]  # runs of the first stage
    seeds: int  # runs of the second stage

    @property
    def runs(self) -> tuple[int, int]:
        return self.tries[0] + self.seeds, self.tries[1] + self.seeds

    def steps(self, experiment: Experiment) -> tuple[int, int]:
        seeds = self.seeds * experiment.steps_of("seeds")
        fewest, most = (tries * experiment.steps_of("rates") + seeds for tries in self.tries)
        return fewest, most


def left(experiment: Experiment, results: Results) -> Left:
    fewest = most = seeds_left = 0
    for arm in experiment.arms:
        found = tuned(experiment, arm, results)
        tries = len(found.tries) if found.best else max(len(found.tries), len(arm.rates.values))
        missing = tries - len(found.tries) + len(_missing(found.tries, results))
        seeds = seed_runs(experiment, arm, results)
        seeds_left += len(_missing(seeds, results)) if seeds else len(experiment.seeds)
        growths = 0 if found.best else len(arm.rates.values) + experiment.growths - tries
        fewest, most = fewest + missing, most + missing + growths
    return Left((fewest, most), seeds_left)


def _missing(runs: Sequence[Run], results: Results) -> list[Run]:
    return [run for run in runs if run not in results]


def _best(tries: Sequence[Run], results: Results) -> Run | None:
    lowest = min(results[run].loss for run in tries)
    good = (run for run in tries if results[run].loss <= lowest + TIE)
    return None if all(results[run].diverged for run in tries) else next(good)


def _beyond_the_edge(tries: Sequence[Run], results: Results) -> float | None:
    """Return the next rate beyond the edge where the best one is, or None if it is inside."""
    best = _best(tries, results)
    if best is None or best == tries[0]:
        return tries[0].rate / GROWTH
    return best.rate * GROWTH if best == tries[-1] else None


def batches(runs: Sequence[Run]) -> list[list[Run]]:
    """Group the runs so that those of a group differ in one field: the rate or the seed."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.arm, run.stage), []).append(run)
    return list(groups.values())
