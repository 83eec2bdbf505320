import math

import pytest

from relora_core.schedules import cosine, jagged_cosine, linear

SHAPE = {"total_steps": 100, "warmup_steps": 10, "min_lr_ratio": 0.1}


def jagged(step: int, *, restart_every: int = 20, restart_warmup_steps: int = 4) -> float:
    return jagged_cosine(
        step,
        total_steps=100,
        warmup_steps=10,
        restart_every=restart_every,
        restart_warmup_steps=restart_warmup_steps,
        min_lr_ratio=0.1,
    )


def envelope(step: int) -> float:
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 10) / 90))


def test_the_warm_up_is_a_line_that_wastes_no_step_on_zero() -> None:
    assert [jagged(step) for step in range(10)] == [(step + 1) / 10 for step in range(10)]


def test_the_cosine_goes_from_one_after_the_warm_up_to_the_floor_at_the_end() -> None:
    assert jagged(10) == 1.0
    assert jagged(100, restart_every=30) == pytest.approx(0.1)
    assert jagged(15) == pytest.approx(envelope(15))


def test_each_restart_climbs_back_to_the_cosine() -> None:
    for restart in (20, 40, 60, 80):
        climb = [jagged(restart + taken) for taken in range(5)]
        target = envelope(restart + 4)
        assert climb == pytest.approx(
            [target / 4, target / 2, target * 3 / 4, target, envelope(restart + 4)]
        )


def test_no_step_has_a_rate_of_zero() -> None:
    assert min(jagged(step) for step in range(100)) > 0


def test_a_multiple_within_the_warm_up_is_no_restart() -> None:
    assert jagged(5, restart_every=5) == pytest.approx(0.6)
    assert jagged(12, restart_every=5) == pytest.approx(envelope(12))
    assert jagged(15, restart_every=5) == pytest.approx(envelope(19) / 4)


def test_the_steps_need_not_divide_into_cycles() -> None:
    assert jagged(99, restart_every=33) == pytest.approx(envelope(100) / 4)


def test_without_a_warm_up_the_cosine_begins_at_one() -> None:
    assert cosine(0, total_steps=10, warmup_steps=0, min_lr_ratio=0.0) == 1.0


def test_linear_goes_from_one_to_the_floor() -> None:
    assert linear(10, **SHAPE) == 1.0  # type: ignore[arg-type] # one float among ints
    assert linear(55, **SHAPE) == pytest.approx(0.55)  # type: ignore[arg-type]
    assert linear(100, **SHAPE) == pytest.approx(0.1)  # type: ignore[arg-type]
