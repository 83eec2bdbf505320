"""`method.reset_every: auto`: a run decides when a cycle ends."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from relora_core.distributed.world import SINGLE_PROCESS
from relora_core.estimate import estimate
from relora_core.events import (
    LearningRateRestarted,
    Merged,
    RestartDecided,
    SpectrumMeasured,
    StepFinished,
)
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.training.automatic_restarts import AutomaticRestarts, reason_to_restart
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder
from tests.relora_core.processes import assert_same_tensors

FALLING = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
GROWING = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("losses", "ranks", "reason"),
    [
        (FALLING, GROWING, None),
        (FALLING, [1.0, 2.0, 3.0, 3.0, 3.0, 2.0], "rank"),
        (FALLING, [1.0, 2.0, 3.0, 3.0, 3.0, 2.021], None),  # over 1% in the last four blocks
        ([8.0, 4.0, 2.0, 1.0, 0.9, 0.8, 0.7, 0.6], [*GROWING, 7, 8], "loss"),
        ([8.0, 7.0, 6.0, 5.0, 4.6, 4.2, 3.8, 3.4], [*GROWING, 7, 8], None),  # 0.4 of the slope
        ([8.0, 7.0, 6.0, 5.0, 4.8, 4.6, 4.4, 4.2], [*GROWING, 7, 8], "loss"),  # 0.2 of it
        ([1.0, 1.0, 2.0, 2.0, 3.0], GROWING[:5], "loss"),  # it never fell
        ([1.0, 2.0, 3.0, 4.0, 2.0, 1.0, 0.5, 0.0], [*GROWING, 7, 8], None),  # it falls by now
        ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], None),  # four blocks have no earlier one
        ([], [], None),
    ],
)
def test_a_cycle_ends_when_its_rank_or_its_loss_says_so(
    losses: list[float], ranks: list[float], reason: str | None
) -> None:
    assert reason_to_restart(losses, ranks) == reason


def automatic(make_spec: MakeSpec, **changes: Any) -> TrainSpec:
    method = {"reset_every": "auto", "shortest_cycle": 10, "longest_cycle": 25}
    return make_spec(
        method={**method, **changes.pop("method", {})},
        training={"steps": 60, **changes.pop("training", {})},
        schedule={"restart_warmup_steps": 3},
        **changes,
    )


def test_losses_are_known_at_the_ends_of_blocks_and_of_the_longest_cycle(
    make_spec: MakeSpec,
) -> None:
    timeline = Timeline.of(automatic(make_spec))
    restarts = AutomaticRestarts(timeline, SINGLE_PROCESS)
    # the switch is at 4, the warm-up ends at 7, and a block has 10 // 5 steps
    assert [step for step in range(60) if restarts.is_check(step)] == sorted({29, *range(7, 60, 2)})
    timeline.follow([20])
    assert [step for step in range(20, 60) if restarts.is_check(step)] == sorted(
        {45, *range(23, 60, 2)}
    )


def test_a_planned_run_has_no_checks(make_spec: MakeSpec) -> None:
    restarts = AutomaticRestarts(Timeline.of(make_spec()), SINGLE_PROCESS)
    assert not any(restarts.is_check(step) for step in range(12))


def test_the_rate_climbs_again_after_the_restarts_that_were_decided(make_spec: MakeSpec) -> None:
    timeline = Timeline.of(automatic(make_spec))
    timeline.follow([20, 41])
    assert [step for step in range(60) if timeline.is_restart(step)] == [20, 41]
    rates = [timeline.learning_rate_at(step) for step in range(60)]
    assert [k for k in range(2, 60) if rates[k] < 0.7 * rates[k - 1]] == [4, 20, 41]


def test_cycles_have_the_bounds_of_the_defaults(make_spec: MakeSpec) -> None:
    def bounds(steps: int, **method: Any) -> tuple[int | None, int | None]:
        phases = make_spec(
            method={"reset_every": "auto", **method}, training={"steps": steps}
        ).phases
        return phases.reset_every, phases.longest_cycle

    assert bounds(1600) == (100, 800)
    assert bounds(100_000) == (1250, 10_000)
    assert bounds(1600, shortest_cycle=1000) == (1000, 1000)
    assert bounds(1600, longest_cycle=50) == (50, 50)


def test_the_estimate_of_a_run_that_decides_is_that_of_one_with_planned_restarts(
    make_spec: MakeSpec,
) -> None:
    planned = make_spec(training={"steps": 60})
    assert estimate(automatic(make_spec)).run == estimate(planned).run


def run(spec: TrainSpec, workdir: Path, cache: Path, *, until: int | None = None) -> Recorder:
    recorder = Recorder()

    def reached() -> bool:
        return until is not None and any(e.step >= until for e in recorder.of(StepFinished))

    train(spec, workdir, recorder, reached, cache=cache)
    return recorder


@pytest.fixture(scope="module")
def spec(make_spec: MakeSpec) -> TrainSpec:
    return automatic(make_spec, spectrum={"enabled": True})


@pytest.fixture(scope="module")
def whole(
    spec: TrainSpec, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Recorder]:
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, run(spec, workdir, cache)


@pytest.mark.slow
def test_a_run_restarts_where_it_decides_within_the_bounds(whole: tuple[Path, Recorder]) -> None:
    _, recorder = whole
    decided = recorder.of(RestartDecided)
    steps = [event.step for event in decided]
    assert len(steps) >= 2
    assert steps == [event.step for event in recorder.of(Merged)]
    assert steps == [event.step for event in recorder.of(LearningRateRestarted)]
    assert [*steps, 60] == [event.step for event in recorder.of(SpectrumMeasured)]
    lengths = [later - earlier for earlier, later in pairwise([4, *steps])]
    assert lengths == [event.cycle_steps for event in decided]
    assert all(10 <= length <= 25 for length in lengths)
    assert steps[-1] <= 50  # the last cycle is no shorter than the others
    assert [event.restart for event in decided] == [1, *range(2, len(steps) + 1)]
    assert all(event.rank is not None and 0 < event.rank <= 4 for event in decided)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["in a block", "at a decision", "after it"])
def test_a_resumed_run_decides_as_one_that_was_never_stopped(
    place: str,
    spec: TrainSpec,
    whole: tuple[Path, Recorder],
    tmp_path: Path,
    cache: Path,
) -> None:
    workdir, expected = whole
    first = expected.of(RestartDecided)[0].step
    stop = first + {"in a block": -3, "at a decision": 0, "after it": 1}[place]
    both = [run(spec, tmp_path, cache, until=stop), run(spec, tmp_path, cache)]

    def told(kind: type[Any], field: str) -> list[Any]:
        return [getattr(event, field) for each in both for event in each.of(kind)]

    for kind, fields in ((StepFinished, ("loss",)), (RestartDecided, ("step", "reason", "rank"))):
        for field in fields:
            assert told(kind, field) == [getattr(event, field) for event in expected.of(kind)]
    assert len(told(Merged, "step")) == len(expected.of(Merged))
    assert_same_tensors(workdir / "final", tmp_path / "final")
