import math

import pytest

from relora_core.lowrank.cycle import MAX_WINDOW, Cycle


def after(losses: list[float], *, before: Cycle | None = None) -> Cycle:
    """The cycle after these losses."""
    cycle = before or Cycle()
    for loss in losses:
        cycle.record(loss)
    return cycle


def restarted(steps: int, loss: float = 4.0) -> Cycle:
    """A cycle that a restart begins after so many steps with this loss."""
    return after([loss] * steps).next(start=steps, restart=1)


def test_the_window_is_a_quarter_of_the_cycle_before_up_to_a_limit() -> None:
    assert [restarted(steps).window for steps in (1, 4, 6, 100, 5000)] == [1, 1, 2, 25, MAX_WINDOW]


def test_the_loss_before_is_the_mean_of_the_last_window() -> None:
    cycle = after([9.0] * 6 + [3.0, 5.0]).next(start=8, restart=1)
    assert (cycle.window, cycle.loss_before) == (2, 4.0)
    assert (cycle.start, cycle.restart, cycle.steps) == (8, 1, 0)


def test_a_loss_that_is_no_higher_after_the_restart_is_regained_at_once() -> None:
    cycle = after([4.5, 3.5], before=restarted(8))
    assert (cycle.loss_after, cycle.steps_to_regain) == (4.0, 0)


def test_the_steps_to_regain_are_those_before_the_window_that_regains() -> None:
    cycle = after([5.0, 5.0, 5.0, 3.0, 3.0], before=restarted(8))
    assert cycle.loss_after == 5.0
    assert cycle.steps_to_regain == 2  # 5.0 and 3.0, whose mean is 4.0, come after two steps
    assert cycle.loss == 3.0


def test_a_regained_loss_that_rises_again_stays_regained() -> None:
    assert after([4.0, 4.0, 9.0, 9.0], before=restarted(8)).steps_to_regain == 0


def test_a_loss_that_stays_above_is_not_regained() -> None:
    cycle = after([4.1] * 100, before=restarted(8))
    assert cycle.steps_to_regain is None
    assert cycle.loss_after == pytest.approx(4.1)


def test_a_cycle_shorter_than_the_window_tells_no_loss_after_it() -> None:
    cycle = after([3.0], before=restarted(8))
    assert (cycle.loss_after, cycle.steps_to_regain, cycle.loss) == (None, None, None)


def test_without_a_step_before_the_restart_there_is_nothing_to_regain() -> None:
    cycle = after([3.0], before=Cycle().next(start=0, restart=1))
    assert (cycle.loss_before, cycle.loss_after, cycle.steps_to_regain) == (None, 3.0, None)


def test_no_more_losses_are_kept_than_a_window_may_need() -> None:
    cycle = after([float(step) for step in range(1000)])
    assert len(cycle.losses) == MAX_WINDOW
    assert cycle.steps == 1000


def test_evaluations_count_for_the_cycle_in_which_they_came() -> None:
    cycle = Cycle(start=10, validation_loss_before=5.0)
    cycle.evaluated(10, 5.0)  # right before the restart
    assert cycle == Cycle(start=10, validation_loss_before=5.0)
    for step, loss in ((12, 4.5), (12, 4.5), (14, 4.0), (16, math.inf)):
        cycle.evaluated(step, loss)
    assert (cycle.validation_loss_after, cycle.validation_loss) == (4.5, 4.0)
    assert cycle.next(start=20, restart=2).validation_loss_before == 4.0


def test_a_cycle_that_goes_on_from_its_json_ends_alike() -> None:
    losses = [4.0 + math.sin(step) for step in range(60)]
    whole = after(losses, before=restarted(40, loss=3.9))
    half = after(losses[:23], before=restarted(40, loss=3.9))
    assert after(losses[23:], before=Cycle.model_validate_json(half.model_dump_json())) == whole
