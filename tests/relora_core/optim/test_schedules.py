import itertools
import math
from collections.abc import Iterator
from functools import partial

import pytest

from relora_core.optim.schedules import cosine, linear, wsd
from relora_core.optim.timeline import Timeline
from relora_core.spec import Phases

SHAPE = {"total_steps": 100, "warmup_steps": 10, "min_lr_ratio": 0.1}


def jagged_clock(
    *, total: int, warmup: int, restart_every: int, restart_warmup: int, floor: float
) -> Timeline:
    """Low rank from the first step, with a peak of 1."""
    curve = partial(cosine, total_steps=total, warmup_steps=warmup, min_lr_ratio=floor)
    return Timeline(
        total_steps=total,
        phases=Phases("low_rank", 0, restart_every),
        warmup_steps=warmup,
        restart_warmup_steps=restart_warmup,
        envelope=curve,
        learning_rate=1.0,
        low_rank_learning_rate=1.0,
    )


def jagged(step: int, *, restart_every: int = 20) -> float:
    clock = jagged_clock(
        total=100, warmup=10, restart_every=restart_every, restart_warmup=4, floor=0.1
    )
    return clock.learning_rate_at(step)


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


def test_wsd_stays_at_one_and_comes_down_in_its_last_steps_alone() -> None:
    rates = [
        wsd(step, total_steps=100, warmup_steps=10, decay_steps=16, min_lr_ratio=0.2)
        for step in range(101)
    ]
    assert rates[:10] == [(step + 1) / 10 for step in range(10)]
    assert rates[10:85] == [1.0] * 75
    assert rates[88] == pytest.approx(1 - 0.8 * math.sqrt(4 / 16))
    assert rates[100] == pytest.approx(0.2)


Settings = tuple[int, int, int, int, float]


def settings() -> Iterator[Settings]:
    """Total steps, warm-up, restart every, restart warm-up, floor: ends that meet included."""
    for total, warmup, every, climb in itertools.product(
        (1, 2, 20, 61), (0, 1, 7, 20), (1, 3, 10, 19, 100), (0, 1, 4, 30)
    ):
        if warmup < total:
            yield from ((total, warmup, every, climb, floor) for floor in (0.0, 0.1, 1.0))


def jagged_by_the_words(step: int, setting: Settings) -> float:
    """As the paper's text has it, without a look at the code."""
    total, warmup, every, climb, floor = setting

    def on_the_cosine(at: int) -> float:
        done = min(1.0, (at - warmup) / (total - warmup))
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    if step < warmup:
        return (step + 1) / warmup
    later = [k for k in range(0, step + 1, every) if k > warmup]
    if later and step - later[-1] < climb:
        return (step - later[-1] + 1) / climb * on_the_cosine(later[-1] + climb)
    return on_the_cosine(step)


def rates_of(setting: Settings) -> list[float]:
    total, warmup, every, climb, floor = setting
    clock = jagged_clock(
        total=total, warmup=warmup, restart_every=every, restart_warmup=climb, floor=floor
    )
    return [clock.learning_rate_at(step) for step in range(total)]


def test_every_setting_follows_the_words() -> None:
    for setting in settings():
        for step, rate in enumerate(rates_of(setting)):
            if expected := jagged_by_the_words(step, setting):
                assert rate == pytest.approx(expected, abs=1e-12), (step, setting)


def test_no_setting_has_a_rate_of_zero_or_above_the_peak() -> None:
    for setting in settings():
        rates = rates_of(setting)
        assert min(rates) > 0, setting
        assert max(rates) <= 1, setting


def test_a_climb_that_the_end_cuts_short_still_climbs_to_something() -> None:
    rates = rates_of((100, 0, 98, 4, 0.0))  # the cosine is at zero where the climb would end
    assert rates[97] > rates[98] > 0
    assert rates[99] > 0


def test_the_other_curves_never_waste_a_step_either() -> None:
    for total, warmup, floor in itertools.product((1, 2, 20, 61), (0, 1, 7, 20), (0.0, 0.1)):
        if warmup < total:
            ends = {"total_steps": total, "warmup_steps": warmup}
            for step in range(total):
                decay = min(5, total - warmup)
                assert 0 < cosine(step, **ends, min_lr_ratio=floor) <= 1
                assert 0 < linear(step, **ends, min_lr_ratio=floor) <= 1
                assert 0 < wsd(step, **ends, decay_steps=decay, min_lr_ratio=floor) <= 1
