import math
import random
from collections.abc import Iterable
from typing import Any

import pytest

from relora_core.events import LossSpiked
from relora_core.spec import TrainingSpec
from relora_core.state import Counters
from relora_core.training.loss_spikes import find_spike
from relora_core.training.step_result import StepResult


def result(step: int, loss: float) -> StepResult:
    return StepResult(step, loss, grad_norm=1.0, asked_to_stop=False)


def spikes(losses: Iterable[float], counters: Counters | None = None, **spec: Any) -> list[int]:
    """The steps that are reported."""
    counters = counters or Counters()
    training = TrainingSpec.model_validate({"steps": 1, **spec})
    found = []
    for loss in losses:
        counters.step += 1
        if find_spike(result(counters.step, loss), counters, training):
            found.append(counters.step)
    return found


def noisy(count: int, level: float = 3.0) -> list[float]:
    generator = random.Random(0)  # noqa: S311 - noise, no secret
    return [generator.gauss(level, 0.05) for _ in range(count)]


def test_a_loss_far_above_the_window_is_reported_with_its_numbers() -> None:
    counters = Counters(recent_losses=[1.0, 3.0])
    spec = TrainingSpec(steps=9, spike_window=2, spike_z_score=6)
    assert find_spike(result(5, 8.0), counters, spec) is None  # 6 deviations, not more
    counters.recent_losses = [1.0, 3.0]
    spike = find_spike(result(5, 8.5), counters, spec)
    assert spike is not None
    assert (spike.step, spike.loss, spike.mean, spike.deviation) == (5, 8.5, 2.0, 1.0)
    assert spike.z_score == 6.5
    assert str(spike) == (
        "step 5: loss 8.5000 is a spike, 6.5 standard deviations above the mean of 2.0000"
    )


def test_noise_and_a_falling_loss_are_no_spikes() -> None:
    assert spikes(noisy(5000)) == []
    assert spikes(10 * math.exp(-step / 50) + 3 for step in range(1000)) == []
    assert spikes([*noisy(100), 0.1]) == []  # far below is good news


def test_nothing_is_a_spike_before_the_window_is_full() -> None:
    assert spikes([*noisy(99), 9.0]) == []
    assert spikes([*noisy(100), 9.0]) == [101]


@pytest.mark.parametrize("spike", [[9.0] * 60, [9.0, 3.0] * 30, [20.0, 15.0, 9.0, 5.0]])
def test_a_spike_is_one_event_however_long_or_ragged(spike: list[float]) -> None:
    assert spikes([*noisy(200), *spike, *noisy(300)]) == [201]


def test_a_new_level_is_what_later_losses_are_measured_against() -> None:
    assert spikes([*noisy(200), *noisy(400, level=5.0), 9.0]) == [201, 601]


def test_a_loss_that_does_not_vary_needs_a_rise_of_more_than_rounding() -> None:
    assert spikes([2.0] * 100 + [2.0 + 1e-6]) == []
    assert spikes([2.0] * 100 + [2.013]) == [101]


def test_null_turns_it_off() -> None:
    assert spikes([*noisy(200), 99.0], spike_z_score=None) == []


def test_the_window_in_the_counters_is_all_there_is_to_resume() -> None:
    losses = [*noisy(150), 9.0, *noisy(150), 9.0]
    counters = Counters()
    first = spikes(losses[:120], counters)
    resumed = Counters(step=counters.step, recent_losses=list(counters.recent_losses))
    assert first + spikes(losses[120:], resumed) == spikes(losses) == [151, 302]


def test_a_smaller_window_takes_the_newest() -> None:
    counters = Counters(recent_losses=[9.0, 9.0, 1.0, 1.5])
    spec = TrainingSpec(steps=9, spike_window=2)
    assert find_spike(result(1, 1.0), counters, spec) is None
    assert counters.recent_losses == [1.5, 1.0]
    assert isinstance(find_spike(result(2, 9.0), counters, spec), LossSpiked)
