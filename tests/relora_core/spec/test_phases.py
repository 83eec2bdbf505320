from itertools import pairwise

import pytest

from relora_core.spec import Phases


def restarts(warm: int, every: int, growth: float = 1.0, total: int = 1000) -> list[int]:
    return list(Phases("warm_start", warm, every, growth).restarts(total))


def test_equal_cycles_restart_at_each_later_multiple() -> None:
    assert restarts(200, 200) == [400, 600, 800]
    assert restarts(250, 200) == [400, 600, 800]
    assert restarts(0, 300) == [300, 600, 900]


def test_each_cycle_is_longer_by_the_factor() -> None:
    found = restarts(0, 100, 1.2, total=2000)
    assert found == [100, 220, 364, 537, 744, 993, 1292, 1650]
    lengths = [later - earlier for earlier, later in pairwise([0, *found])]
    assert lengths == [100, 120, 144, 173, 207, 249, 299, 358]  # 100 x 1.2^n, to the nearest step


def test_growth_leaves_the_first_restart_where_it_is() -> None:
    for warm in (0, 250, 399, 400):
        assert restarts(warm, 200, 1.5)[0] == restarts(warm, 200)[0]


def test_no_restart_comes_after_the_last_step() -> None:
    assert restarts(0, 100, 1.2, total=220) == [100]
    assert restarts(0, 100, 1.2, total=221) == [100, 220]
    assert restarts(0, 100, total=200) == [100]


def test_cycles_of_one_step_grow_too() -> None:
    assert restarts(0, 1, 1.5, total=20) == [1, 3, 5, 8, 13]  # 1.5 and 2.25 are both 2


def test_a_method_without_restarts_has_none() -> None:
    assert list(Phases("warm_start", 10).restarts(1000)) == []


@pytest.mark.parametrize("growth", [1.0, 1.2])
def test_a_run_of_a_billion_steps_is_asked_for_its_first_restart_at_once(growth: float) -> None:
    assert Phases("warm_start", 0, 1, growth).first_restart() == 1


def rolling(warm: int, every: int, rank: int, total: int) -> list[int]:
    phases = Phases("warm_start", warm, every, restarts_per_cycle=rank)
    found = list(phases.restarts(total))
    assert phases.first_restart() == found[0]
    return found


def test_rolling_restarts_come_at_each_later_part_of_a_cycle() -> None:
    assert rolling(0, 8, 4, total=12) == [2, 4, 6, 8, 10]
    assert rolling(5, 8, 4, total=12) == [6, 8, 10]
    assert rolling(4, 8, 8, total=10) == [5, 6, 7, 8, 9]


def test_rolling_restarts_between_two_steps_come_before_the_next_and_keep_their_number() -> None:
    found = rolling(0, 10, 4, total=41)
    assert found == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30, 33, 35, 38, 40]
    assert rolling(13, 10, 4, total=41) == found[5:]


def test_a_run_of_a_billion_steps_is_asked_for_its_first_rolling_restart_at_once() -> None:
    assert Phases("warm_start", 7, 8, restarts_per_cycle=4).first_restart() == 8


def test_all_factors_are_renewed_once_a_cycle_however_many_restarts_that_takes() -> None:
    assert Phases("warm_start", 100, 100).most_renewals(900) == 7
    assert Phases("warm_start", 100, 100, restarts_per_cycle=4).most_renewals(900) == 7
    decided = Phases("warm_start", 100, 100, longest_cycle=400)
    assert decided.most_renewals(900) == 7  # each as early as it may be
    assert Phases("full_rank", 900).most_renewals(900) == 0
