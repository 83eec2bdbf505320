import pytest

from relora_core.training.micro_batch import cpu_micro_batch, halved, largest_within


def test_on_the_cpu_the_size_of_an_example_sets_it() -> None:
    assert cpu_micro_batch(64, 4 * 128 * 4096) == 64
    assert cpu_micro_batch(64, 4 * 512 * 32100) == 8
    assert cpu_micro_batch(7, 4 * 4096 * 128_000) == 1


def test_half_of_a_size_still_divides_the_batch() -> None:
    assert [halved(size, 12) for size in (12, 6, 3, 2)] == [6, 3, 1, 1]


class Device:
    """Notes the sizes that it is tried with; each takes 5 bytes and 10 a sequence."""

    def __init__(self) -> None:
        self.tried: list[int] = []

    def memory_of(self, size: int) -> int:
        self.tried.append(size)
        return 5 + 10 * size


@pytest.mark.parametrize(("budget", "expected"), [(1000, 24), (130, 12), (65, 4), (12, 1)])
def test_from_one_sequence_a_budget_is_filled_without_going_over_it(
    budget: int, expected: int
) -> None:
    device = Device()
    assert largest_within(budget, 24, 24, device.memory_of) == expected
    assert device.tried[-1] == expected
    assert all(5 + 10 * size <= budget for size in device.tried[1:])


def test_a_start_that_fits_is_tried_once() -> None:
    device = Device()
    assert largest_within(245, 24, 24, device.memory_of, start=24) == 24
    assert device.tried == [24]


def test_from_a_start_over_the_budget_it_halves() -> None:
    device = Device()
    assert largest_within(70, 48, 48, device.memory_of, start=48) == 6
    assert device.tried == [48, 24, 12, 6]


def test_what_it_finds_divides_the_batch() -> None:
    assert largest_within(85, 18, 18, Device().memory_of, start=18) == 6
    assert largest_within(45, 18, 18, Device().memory_of, start=18) == 3


def test_from_a_cautious_start_it_goes_up_once_to_what_surely_fits() -> None:
    device = Device()
    assert largest_within(1000, 64, 64, device.memory_of, start=2) == 64
    assert device.tried == [2, 64]


def test_nothing_over_the_limit_is_tried() -> None:
    device = Device()
    assert largest_within(1000, 16, 64, device.memory_of, start=2) == 16
    assert device.tried == [2, 16]


def test_a_size_whose_memory_grows_faster_is_not_tried_again() -> None:
    tried: list[int] = []

    def memory_of(size: int) -> int:
        tried.append(size)
        return 10 * size if size < 8 else 1000

    assert largest_within(100, 16, 16, memory_of, start=4) == 4
    assert tried == [4, 8]
