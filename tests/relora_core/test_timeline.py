from typing import Any

import pytest

from relora_core.schedules import jagged_cosine
from relora_core.timeline import Timeline
from tests.relora_core.conftest import MakeSpec


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


def test_a_warm_start_between_multiples_shortens_the_first_cycle(timeline_of: Any) -> None:
    timeline = timeline_of({**RELORA, "warm_start_steps": 30})
    assert [step for step in range(101) if timeline.is_restart(step)] == [40, 60, 80]


def test_the_phase_changes_after_the_warm_start(timeline_of: Any) -> None:
    timeline = timeline_of(RELORA)
    assert (timeline.phase(19), timeline.phase(20)) == ("warm_start", "low_rank")


def test_the_rate_is_the_jagged_cosine_when_the_warm_start_is_one_cycle(timeline_of: Any) -> None:
    timeline = timeline_of(RELORA)
    for step in range(100):
        assert timeline.learning_rate_at(step) == pytest.approx(
            jagged_cosine(
                step,
                total_steps=100,
                warmup_steps=5,
                restart_every=20,
                restart_warmup_steps=4,
                min_lr_ratio=0.1,
            )
        )


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


def test_each_phase_has_its_own_peak(make_spec: MakeSpec) -> None:
    spec = make_spec(schedule={"name": "linear", "min_lr_ratio": 1.0})
    timeline = Timeline.of(spec)
    assert timeline.learning_rate_at(3) == pytest.approx(3e-3)
    assert timeline.learning_rate_at(4) == pytest.approx(6e-3)  # twice, unless the spec says


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
