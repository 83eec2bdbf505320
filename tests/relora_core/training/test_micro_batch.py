import pytest
import torch

from relora_core.training.micro_batch import (
    cpu_micro_batch,
    halved,
    largest_that_fits,
    largest_within,
)


def test_it_halves_until_it_fits() -> None:
    tried: list[int] = []

    def attempt(size: int) -> None:
        tried.append(size)
        if size > 7:
            raise torch.OutOfMemoryError

    assert largest_that_fits(48, attempt) == 6
    assert tried == [48, 24, 12, 6]


def test_what_it_finds_divides_the_batch() -> None:
    def attempt(size: int) -> None:
        if size > 8:
            raise torch.OutOfMemoryError

    assert largest_that_fits(18, attempt) == 3  # 18, 9, then the largest divisor up to 4


def test_one_sequence_too_many_is_out_of_memory() -> None:
    def attempt(_: int) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        largest_that_fits(8, attempt)


def test_on_the_cpu_the_size_of_an_example_sets_it() -> None:
    assert cpu_micro_batch(64, 4 * 128 * 4096) == 64
    assert cpu_micro_batch(64, 4 * 512 * 32100) == 8
    assert cpu_micro_batch(7, 4 * 4096 * 128_000) == 1


def test_half_of_a_size_still_divides_the_batch() -> None:
    assert [halved(size, 12) for size in (12, 6, 3, 2)] == [6, 3, 1, 1]


@pytest.mark.parametrize(("budget", "expected"), [(1000, 24), (130, 12), (65, 4), (12, 1)])
def test_a_budget_is_filled_without_going_over_it(budget: int, expected: int) -> None:
    tried: list[int] = []

    def memory_of(size: int) -> int:
        tried.append(size)
        return 5 + 10 * size

    assert largest_within(budget, 24, memory_of) == expected
    assert max(tried[1:], default=1) == expected
    assert all(5 + 10 * size <= budget for size in tried[1:])
