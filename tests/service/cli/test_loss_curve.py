"""The loss in braille."""

from io import StringIO

from rich.console import Console

from service.cli.loss_curve import LossCurve


def lines(curve: LossCurve, width: int) -> list[str]:
    screen = Console(file=StringIO(), width=width, color_system=None)
    screen.print(curve)
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue().splitlines()


def test_a_falling_loss_is_a_falling_line() -> None:
    curve = LossCurve(total_steps=20, height=2)
    for step in range(20):
        curve.add(step, 10.0 - step / 10)
    top, bottom, _ = lines(curve, 18)
    assert top.startswith(" 10.000 ")
    assert bottom.startswith("  8.100 ")
    assert top[8] != "\u2800"
    assert top[-1] == "\u2800"
    assert bottom[8] == "\u2800"
    assert bottom[-1] != "\u2800"


def test_it_is_as_wide_as_the_terminal() -> None:
    curve = LossCurve(total_steps=100)
    for step in range(1, 101):
        curve.add(step, 3.0 + 1 / step)
    for width in (80, 120):
        assert {len(line) for line in lines(curve, width)} == {width}


def test_a_restart_is_marked_in_its_column() -> None:
    curve = LossCurve(total_steps=10, height=3)
    curve.add(0, 2.0)
    curve.add(9, 1.0)
    curve.mark_restart(5)
    top, middle, bottom, _ = lines(curve, 18)
    assert (top[13], bottom[13]) == ("┊", "┊")
    assert "┊" not in middle  # where the curve itself is


def test_the_steps_are_below_and_the_switch_to_low_rank_is_marked() -> None:
    curve = LossCurve(total_steps=1000, height=3, low_rank_from=500)
    curve.add(0, 2.0)
    curve.add(999, 1.0)
    top, _, _, steps = lines(curve, 28)
    assert top[18] == "│"
    assert steps == f"{'':8}0{'step 1,000':>19}"


def test_what_an_attempt_repeats_replaces_what_was() -> None:
    curve = LossCurve(total_steps=100)
    for step in (10, 20, 30, 40):
        curve.add(step, float(step))
    curve.mark_restart(35)
    curve.add(30, 1.0)
    assert (curve.steps, curve.losses, curve.restarts) == ([10, 20, 30], [10.0, 20.0, 1.0], [])


def test_a_loss_that_is_no_number_is_left_out_and_a_long_run_is_thinned() -> None:
    curve = LossCurve(total_steps=100_000)
    curve.add(1, float("nan"))
    assert lines(curve, 80) == []
    for step in range(10_000):
        curve.add(step, 1.0)
    assert len(curve.steps) <= 4000
