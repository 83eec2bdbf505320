from pathlib import Path
from typing import Any

import pytest
import torch

from relora_core.events import (
    LearningRateRestarted,
    Merged,
    OptimizerReset,
    StepFinished,
    TrainFinished,
    Warned,
)
from relora_core.optim.timeline import Timeline
from relora_core.tasks.causal_lm import CausalLM
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder


@pytest.fixture
def timeline_of(make_spec: MakeSpec) -> Any:
    def make(method: dict[str, Any], **schedule: Any) -> Timeline:
        return Timeline.of(
            make_spec(
                method=method,
                training={"steps": 100},
                optimizer={"learning_rate": 1.0, "low_rank_learning_rate": 1.0},
                schedule={"warmup_steps": 5, "restart_warmup_steps": 4, **schedule},
            )
        )

    return make


RELORA = {"name": "relora", "rank": 4, "warm_start_steps": 20, "reset_every": 20}


def test_restarts_come_at_each_later_multiple_of_reset_every(timeline_of: Any) -> None:
    timeline = timeline_of(RELORA)
    assert [step for step in range(101) if timeline.is_restart(step)] == [40, 60, 80]
    assert [step for step in range(101) if timeline.is_change(step)] == [20, 40, 60, 80]


def test_a_warm_start_between_multiples_shortens_the_first_cycle(timeline_of: Any) -> None:
    timeline = timeline_of({**RELORA, "warm_start_steps": 30})
    assert [step for step in range(101) if timeline.is_restart(step)] == [40, 60, 80]


def test_growing_cycles_move_restarts_and_climbs_together(timeline_of: Any) -> None:
    timeline = timeline_of({**RELORA, "reset_growth": 1.5, "reset_every": 15})
    assert [step for step in range(101) if timeline.is_restart(step)] == [30, 52, 86]
    assert [step for step in range(101) if timeline.is_change(step)] == [20, 30, 52, 86]
    rates = [timeline.learning_rate_at(step) for step in range(100)]
    assert [k for k in range(6, 100) if rates[k] < rates[k - 1] / 2] == [20, 30, 52, 86]


def test_rolling_restarts_move_no_rate_but_that_of_the_switch(timeline_of: Any) -> None:
    timeline = timeline_of({**RELORA, "reset": "rolling", "warm_start_steps": 22})
    restarts = [step for step in range(101) if timeline.is_restart(step)]
    assert restarts == list(range(25, 100, 5))
    assert [step for step in restarts if timeline.ends_cycle(step)] == [40, 60, 80]
    lora = timeline_of({"name": "lora", "rank": 4, "warm_start_steps": 22})
    rates = [timeline.learning_rate_at(step) for step in range(100)]
    assert rates == [lora.learning_rate_at(step) for step in range(100)]


def test_each_whole_restart_ends_a_cycle(timeline_of: Any) -> None:
    timeline = timeline_of({**RELORA, "reset_growth": 1.5, "reset_every": 15})
    assert [step for step in range(101) if timeline.ends_cycle(step)] == [30, 52, 86]


def test_a_warm_up_after_a_restart_takes_a_share_of_the_schedule(timeline_of: Any) -> None:
    timeline = timeline_of(RELORA, min_lr_ratio=1.0)
    shares = [timeline.share_of_schedule(step) for step in (2, 39, 40, 41, 42, 43, 44)]
    assert shares == [1, 1, 0.25, 0.5, 0.75, 1, 1]


def test_the_phase_changes_after_the_warm_start(timeline_of: Any) -> None:
    timeline = timeline_of(RELORA)
    assert (timeline.phase(19), timeline.phase(20)) == ("warm_start", "low_rank")


def test_the_rate_climbs_where_the_factors_are_fresh_and_nowhere_else(timeline_of: Any) -> None:
    timeline = timeline_of({**RELORA, "warm_start_steps": 25})  # 20 is no restart, 25 is the switch
    rates = [timeline.learning_rate_at(step) for step in range(100)]
    dips = [step for step in range(6, 100) if rates[step] < rates[step - 1] / 2]
    assert dips == [25, 40, 60, 80] == [step for step in range(100) if timeline.is_change(step)]


def test_the_rate_stays_smooth_in_a_long_warm_start(timeline_of: Any) -> None:
    timeline = timeline_of({**RELORA, "warm_start_steps": 60})
    rates = [timeline.learning_rate_at(step) for step in range(5, 60)]
    assert rates == sorted(rates, reverse=True)
    assert timeline.learning_rate_at(60) < timeline.learning_rate_at(59) / 2


def test_lora_warms_up_again_at_its_switch_alone(timeline_of: Any) -> None:
    timeline = timeline_of({"name": "lora", "rank": 4, "warm_start_steps": 30})
    dips = [
        step
        for step in range(6, 100)
        if timeline.learning_rate_at(step) < timeline.learning_rate_at(step - 1) / 2
    ]
    assert dips == [30]
    assert not any(timeline.is_restart(step) for step in range(100))


def test_a_plain_cosine_has_no_teeth(timeline_of: Any) -> None:
    timeline = timeline_of(RELORA, name="cosine")
    rates = [timeline.learning_rate_at(step) for step in range(5, 100)]
    assert rates == sorted(rates, reverse=True)


def test_wsd_holds_the_peak_until_its_last_steps(timeline_of: Any) -> None:
    timeline = timeline_of(RELORA, name="wsd", decay_steps=20, min_lr_ratio=0.0)
    rates = [timeline.learning_rate_at(step) for step in range(100)]
    assert rates[5:81] == [1.0] * 76  # without teeth at the switch and the restarts
    assert rates[85] == pytest.approx(0.5)
    assert rates[99] > 0


def test_merge_and_climb_come_at_one_step_whatever_divides(make_spec: MakeSpec) -> None:
    for steps, warm, every in [(100, 20, 20), (101, 17, 13), (60, 0, 7), (61, 30, 30)]:
        timeline = Timeline.of(
            make_spec(
                method={"warm_start_steps": warm, "reset_every": every},
                training={"steps": steps},
                schedule={"warmup_steps": 5, "restart_warmup_steps": 4},
            )
        )
        restarts = [step for step in range(steps) if timeline.is_restart(step)]
        assert restarts == [k for k in range(0, steps, every) if k > warm]
        for k in restarts:
            first, second = (timeline.learning_rate_at(k + taken) for taken in (0, 1))
            assert second == pytest.approx(2 * first)
            if k + 4 <= steps:
                assert first == pytest.approx(timeline.learning_rate_at(k + 4) / 4)


def run_with_faults(
    spec: Any, workdir: Path, cache: Path, *, skipped: set[int], monkeypatch: pytest.MonkeyPatch
) -> Recorder:
    """Train; the loss of the steps in `skipped` is not finite."""
    recorder, finite = Recorder(), CausalLM.sum_of_losses

    def sum_of_losses(*arguments: Any) -> torch.Tensor:
        taken = sum(1 for event in recorder.events if isinstance(event, StepFinished | Warned))
        return finite(*arguments) * (float("inf") if taken in skipped else 1.0)

    monkeypatch.setattr(CausalLM, "sum_of_losses", sum_of_losses)
    train(spec, workdir, recorder, lambda: False, cache=cache)
    return recorder


@pytest.mark.slow
@pytest.mark.parametrize("skipped", [set(), {3}, {7}, {8}, {7, 8, 9}])
def test_a_skipped_step_moves_neither_merge_nor_reset_nor_rate(
    skipped: set[int],
    make_spec: MakeSpec,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_spec(schedule={"restart_warmup_steps": 2})
    recorder = run_with_faults(spec, tmp_path, cache, skipped=skipped, monkeypatch=monkeypatch)
    timeline = Timeline.of(spec)
    assert recorder.of(TrainFinished)[0].skipped_steps == len(skipped)
    assert [event.step for event in recorder.of(Merged)] == [8]
    assert [event.step for event in recorder.of(OptimizerReset)] == [8]
    [climb] = recorder.of(LearningRateRestarted)
    assert climb.step == 8
    assert climb.learning_rate == pytest.approx(climb.learning_rate_target / 2)
    rates = {event.step - 1: event.learning_rate for event in recorder.of(StepFinished)}
    assert rates == {
        step: timeline.learning_rate_at(step) for step in range(12) if step not in skipped
    }


@pytest.mark.slow
def test_a_merge_comes_before_the_step_of_its_number(
    make_spec: MakeSpec, tmp_path: Path, cache: Path, recorder: Recorder
) -> None:
    train(make_spec(), tmp_path, recorder, lambda: False, cache=cache)
    kinds = [
        (type(event).__name__, event.step)
        for event in recorder.events
        if isinstance(event, StepFinished | Merged)
    ]
    merged = kinds.index(("Merged", 8))
    assert kinds[merged - 1] == ("StepFinished", 8)  # eight were taken: 0 to 7
    assert kinds[merged + 1] == ("StepFinished", 9)  # the next is step 8, counted from 0


def test_each_phase_has_its_own_peak(make_spec: MakeSpec) -> None:
    spec = make_spec(schedule={"name": "linear", "min_lr_ratio": 1.0})
    timeline = Timeline.of(spec)
    assert timeline.learning_rate_at(3) == pytest.approx(3e-3)
    assert timeline.learning_rate_at(4) == pytest.approx(6e-3)  # twice, unless the spec says


@pytest.mark.parametrize("rate", [0.25, "auto"])
def test_with_a_rate_for_the_factors_all_else_keeps_the_peak_of_full_rank(
    rate: float | str, make_spec: MakeSpec
) -> None:
    timeline = Timeline.of(
        make_spec(
            optimizer={"learning_rate": 3e-3, "factor_learning_rate": rate},
            schedule={"name": "linear", "min_lr_ratio": 1.0},
        )
    )
    assert [timeline.learning_rate_at(step) for step in (3, 4, 11)] == [3e-3, 3e-3, 3e-3]


@pytest.mark.parametrize("name", ["full", "control"])
def test_a_full_rank_method_has_one_phase_and_its_own_rate(name: str, timeline_of: Any) -> None:
    timeline = timeline_of({"name": name, "rank": 4})
    assert {timeline.phase(step) for step in range(100)} == {"full_rank"}
    assert not any(timeline.is_restart(step) for step in range(100))


def test_low_rank_from_scratch_has_one_phase_and_one_warm_up(timeline_of: Any) -> None:
    timeline = timeline_of({"name": "lowrank", "rank": 4})
    assert {timeline.phase(step) for step in range(100)} == {"low_rank"}
    assert not any(timeline.is_restart(step) for step in range(100))
    rates = [timeline.learning_rate_at(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
