"""A run is made longer or shorter where the steps that are taken would have been the same."""

from pathlib import Path
from typing import Any

import pytest

from relora_core.checkpoint.compatibility import Identity
from relora_core.errors import CheckpointError
from relora_core.events import StepFinished, TrainFinished, TrainStarted
from relora_core.spec import TrainSpec
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder
from tests.relora_core.processes import assert_same_tensors

STABLE = {"name": "wsd", "warmup_steps": 1, "decay_steps": 2}


def make(make_spec: MakeSpec, steps: int, **schedule: Any) -> TrainSpec:
    return make_spec(
        training={"steps": steps}, schedule={**STABLE, **schedule}, checkpoint={"every": 2}
    )


def run(spec: TrainSpec, workdir: Path, cache: Path, *, stop_after: int = 1000) -> Recorder:
    recorder = Recorder()

    def stop_requested() -> bool:
        return any(event.step >= stop_after for event in recorder.of(StepFinished))

    train(spec, workdir, recorder, stop_requested, cache=cache)
    return recorder


@pytest.mark.slow
def test_a_run_that_is_made_longer_before_its_decay_ends_as_one_that_was_so_long_from_the_start(
    make_spec: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    run(make(make_spec, 12), tmp_path / "whole", cache)
    run(make(make_spec, 9), tmp_path / "run", cache, stop_after=5)
    recorder = run(make(make_spec, 12), tmp_path / "run", cache)
    assert 5 <= recorder.of(TrainStarted)[0].step <= 7
    assert recorder.of(TrainFinished)[0].step == 12
    assert_same_tensors(tmp_path / "whole" / "final", tmp_path / "run" / "final")


@pytest.mark.slow
def test_a_finished_run_under_a_constant_rate_goes_on(
    make_spec: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    constant = {"name": "cosine", "decay_steps": None, "min_lr_ratio": 1.0}
    run(make(make_spec, 12, **constant), tmp_path / "whole", cache)
    run(make(make_spec, 9, **constant), tmp_path / "run", cache)
    assert run(make(make_spec, 12, **constant), tmp_path / "run", cache).of(TrainFinished)
    assert_same_tensors(tmp_path / "whole" / "final", tmp_path / "run" / "final")


def check(saved: TrainSpec, now: TrainSpec, *, step: int) -> None:
    Identity(now).check(Identity(saved).document(), step=step)


def test_after_its_decay_began_the_length_is_fixed(make_spec: MakeSpec) -> None:
    check(make(make_spec, 20), make(make_spec, 40), step=19)  # the rate of step 18 is still whole
    with pytest.raises(
        CheckpointError,
        match=r"training\.steps: 20 in the checkpoint, 40 now, but the learning rates up to "
        r"step 20 depend on it under schedule\.name wsd\. .* as a fork of the job",
    ):
        check(make(make_spec, 20), make(make_spec, 40), step=20)


@pytest.mark.parametrize("name", ["cosine", "jagged_cosine", "linear"])
def test_a_schedule_that_looks_at_the_end_all_along_has_a_fixed_length(
    name: str, make_spec: MakeSpec
) -> None:
    schedule = {"name": name, "decay_steps": None}
    with pytest.raises(CheckpointError, match="A run under wsd can be made longer"):
        check(make(make_spec, 20, **schedule), make(make_spec, 40, **schedule), step=5)


def test_a_run_is_not_shorter_than_it_is(make_spec: MakeSpec) -> None:
    check(make(make_spec, 40), make(make_spec, 20), step=18)
    with pytest.raises(CheckpointError, match="40 in the checkpoint, 20 now, and 21 are taken"):
        check(make(make_spec, 40), make(make_spec, 20), step=21)


def test_a_default_that_followed_from_the_length_is_named_and_may_be_written_out(
    make_spec: MakeSpec,
) -> None:
    saved = make(make_spec, 80, warmup_steps=None)
    with pytest.raises(CheckpointError, match=r"schedule\.warmup_steps: 2 in .*, 4 now\. Use"):
        check(saved, make(make_spec, 160, warmup_steps=None), step=10)
    check(saved, make(make_spec, 160, warmup_steps=2), step=10)
