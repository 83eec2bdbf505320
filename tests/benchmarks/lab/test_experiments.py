"""The declared experiments: every run is a valid spec, and a fair one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab.declared import EXPERIMENTS
from benchmarks.lab.experiments import Experiment, Run, Stage
from benchmarks.lab.records import spec_hash
from relora_core.estimate import estimate
from tests.benchmarks.lab.made_up import EXPERIMENT

declared = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)


def runs(experiment: Experiment) -> list[Run]:
    """Return a run of each arm."""
    return [Run(arm.name, "seeds", 1e-3, None, 1) for arm in experiment.arms]


@declared
def test_each_arm_is_a_valid_spec_of_the_declared_steps(experiment: Experiment) -> None:
    for run in runs(experiment):
        spec = experiment.spec(run, Path("/text"))
        planned = estimate(spec).run
        assert sum(phase.steps for phase in planned.phases) == experiment.steps
        assert planned.tokens == experiment.steps * experiment.model.tokens_per_step


@declared
def test_arms_differ_in_the_method_and_the_rates_alone(experiment: Experiment) -> None:
    def shared(run: Run) -> dict[str, Any]:
        document = experiment.spec(run, Path("/text")).model_dump()
        document["schedule"].pop("restart_warmup_steps")  # a part of the method that is ablated
        return {key: value for key, value in document.items() if key not in {"method", "optimizer"}}

    first, *others = runs(experiment)
    assert [shared(other) for other in others] == [shared(first)] * len(others)


@declared
def test_hypotheses_name_arms(experiment: Experiment) -> None:
    names = {arm.name for arm in experiment.arms}
    for hypothesis in experiment.hypotheses:
        assert {hypothesis.arm, hypothesis.baseline} <= names


def test_model_s_sees_twenty_tokens_for_each_parameter() -> None:
    experiment = EXPERIMENTS["s"]
    full = estimate(experiment.spec(runs(experiment)[0], Path("/text"))).run
    assert full.phases[0].parameters == pytest.approx(0.33e6, rel=0.02)
    assert full.tokens / full.phases[0].parameters == pytest.approx(20, rel=0.02)


def test_model_m_sees_five_tokens_for_each_parameter() -> None:
    experiment = EXPERIMENTS["m"]
    full = estimate(experiment.spec(runs(experiment)[0], Path("/text"))).run
    assert full.tokens / full.phases[0].parameters == pytest.approx(5, rel=0.04)


def test_the_experiment_on_restarts_has_the_restarts_that_it_names() -> None:
    experiment = EXPERIMENTS["restarts"]
    stages: tuple[Stage, ...] = ("rates", "seeds")
    for stage in stages:
        counts = []
        for arm in experiment.arms[1:]:
            spec = experiment.spec(Run(arm.name, stage, 2, 1e-3, 1), Path("/text"))
            counts.append(len(spec.phases.restarts(spec.total_steps)))
        assert counts == [0, 1, 3, 8, 17, 28]


def test_a_shorter_run_keeps_the_shares_of_the_warm_start_and_the_cycles() -> None:
    arm = EXPERIMENTS["s"].arm("relora_4")
    assert arm.method_at(3200)["warm_start_steps"] == 2 * arm.method_at(1600)["warm_start_steps"]
    assert arm.method_at(3200)["reset_every"] == 2 * arm.method_at(1600)["reset_every"] == 320


def test_the_tuning_seed_is_not_used_again() -> None:
    with pytest.raises(AssertionError, match="not used again"):
        replace(EXPERIMENT, seeds=(1, EXPERIMENT.tuning_seed))


def test_each_arm_has_as_many_tries() -> None:
    full, relora = EXPERIMENT.arms
    more = replace(full, rates=replace(full.rates, values=(1.0, 2.0, 4.0)))
    with pytest.raises(AssertionError, match="equal tries"):
        replace(EXPERIMENT, arms=(more, relora))


def test_what_a_run_is_depends_on_its_experiment_and_not_on_the_place_of_the_text() -> None:
    run = runs(EXPERIMENT)[0]
    assert spec_hash(EXPERIMENT, run) == spec_hash(replace(EXPERIMENT, name="other"), run)
    assert spec_hash(EXPERIMENT, run) != spec_hash(replace(EXPERIMENT, steps=200), run)
