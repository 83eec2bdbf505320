"""Statistics with values of the literature.

Student's own example: the hours of sleep that ten people gained, one drug less the other (Student
1908, "The probable error of a mean", table I). R has it as `sleep`, and gives for
`t.test(extra ~ group, data = sleep, paired = TRUE)` t = -4.0621, df = 9, p = 0.002833 and the
interval -2.4598858 to -0.7001142.
"""

import math

import pytest

from benchmarks.lab.paired import Paired, holm, t_cdf, t_quantile

SLEEP = Paired((-1.2, -2.4, -1.3, -1.3, 0.0, -1.0, -1.8, -0.8, -4.6, -1.4))


@pytest.mark.parametrize(
    ("probability", "degrees", "t"),
    # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: critical values of Student's t
    [(0.975, 1, 12.706), (0.95, 4, 2.132), (0.975, 4, 2.776), (0.99, 9, 2.821), (0.975, 30, 2.042)],
)
def test_quantiles_are_those_of_the_table(probability: float, degrees: int, t: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(t, abs=5e-4)
    assert t_cdf(t, degrees) == pytest.approx(probability, abs=5e-5)
    assert t_cdf(-t, degrees) == pytest.approx(1 - probability, abs=5e-5)


def test_students_example_has_the_interval_and_the_p_value_that_r_gives() -> None:
    assert SLEEP.mean == pytest.approx(-1.58)
    assert SLEEP.interval() == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)
    assert 2 * SLEEP.p_below() == pytest.approx(0.002833, abs=5e-7)


def test_equivalence_is_shown_exactly_if_the_90_percent_interval_is_inside_the_margin() -> None:
    low, high = SLEEP.interval(0.90)
    margin = max(-low, high)
    assert SLEEP.p_within(margin) == pytest.approx(0.05)
    assert SLEEP.p_within(1.01 * margin) < 0.05 < SLEEP.p_within(0.99 * margin)


def test_equal_differences_leave_no_doubt() -> None:
    same = Paired((-0.25, -0.25, -0.25))
    assert (same.p_below(), same.p_within(0.5), same.p_within(0.125)) == (0.0, 0.0, 1.0)


def test_the_p_value_of_no_difference_is_a_half() -> None:
    assert Paired((-1.0, 1.0)).p_below() == 0.5
    # one degree of freedom is Cauchy's distribution: 1/2 + arctan(t) / pi
    assert Paired((0.0, 2.0)).p_below() == pytest.approx(0.5 + math.atan(1) / math.pi)


def test_holm_adjusts_as_by_hand() -> None:
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and none below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
