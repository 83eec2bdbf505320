"""When a run ends before its last step: after an evaluation or after a time."""

import pytest
import torch

from relora_core.distributed.world import World
from relora_core.spec.scores import StopWhenSpec
from relora_core.state import Counters
from relora_core.training.early_stop import EarlyStop

CPU = World(rank=0, size=1, device=torch.device("cpu"))


def reasons(scores: list[float], metric: str = "validation_loss", **when: float) -> list[str]:
    """Return the reason to stop after each evaluation, or "" for none."""
    stop = EarlyStop(StopWhenSpec.model_validate({"metric": metric, **when}), CPU)
    counters, told = Counters(), []
    for score in scores:
        counters.metrics = {metric: score}
        stop.after_evaluation(counters)
        told.append(counters.stop_reason or "")
    return told


def test_a_run_without_conditions_goes_on() -> None:
    assert reasons([3.0, 4.0, float("nan"), 0.0]) == [""] * 4


def test_it_ends_when_the_score_reaches_its_target() -> None:
    told = reasons([3.0, 2.5, 2.49], target=2.5)
    assert told[0] == ""
    assert told[1] == "validation_loss 2.5 reached its target, 2.5"


def test_it_ends_after_so_many_evaluations_without_a_better_score() -> None:
    told = reasons([3.0, 3.1, 2.9, 2.9, 3.0], patience=2)
    assert told[:4] == [""] * 4
    assert told[4] == "validation_loss was not better than 2.9 in 2 evaluations"


def test_a_tiny_gain_does_not_count() -> None:
    assert reasons([3.0, 2.99, 2.98], patience=2, min_improvement=0.05)[2]
    assert not reasons([3.0, 2.99, 2.9], patience=2, min_improvement=0.05)[2]


def test_of_an_accuracy_the_highest_is_best() -> None:
    told = reasons([0.1, 0.2, 0.15], "validation_accuracy", patience=1)
    assert [bool(reason) for reason in told] == [False, False, True]
    assert reasons([0.8], "validation_accuracy", target=0.75)[0]


def test_a_score_that_is_not_finite_is_never_better() -> None:
    nan = float("nan")
    assert reasons([nan, nan], patience=2)[1] == "validation_loss was not finite in 2 evaluations"
    assert reasons([nan, 3.0, 2.0], patience=2) == [""] * 3


@pytest.mark.parametrize(("before", "reason"), [(0.0, None), (100.0, "60 s of training are over")])
def test_the_time_of_earlier_attempts_counts(before: float, reason: str | None) -> None:
    counters = Counters()
    EarlyStop(StopWhenSpec(max_seconds=60), CPU, seconds_before=before).after_report(counters)
    assert counters.stop_reason == reason
