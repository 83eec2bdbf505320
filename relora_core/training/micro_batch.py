"""How many sequences go through the model at once."""

from collections.abc import Callable

import torch

# Memory of one micro-batch on the CPU, where running out of memory is no exception that could
# be caught.
_CPU_BYTES = 512 * 1024**2


def cpu_micro_batch(per_rank: int, example_bytes: int) -> int:
    """The largest divisor of `per_rank` that stays within half a GiB."""
    fits = _CPU_BYTES // example_bytes
    return max(divisor for divisor in _divisors(per_rank) if divisor <= max(1, fits))


def largest_that_fits(per_rank: int, attempt: Callable[[int], None]) -> int:
    """The largest divisor of `per_rank`, halving or more, with which `attempt` has the memory.

    Raises `torch.OutOfMemoryError` if one sequence is too many.
    """
    candidate = per_rank
    while True:
        try:
            attempt(candidate)
        except torch.OutOfMemoryError:
            if candidate == 1:
                raise
            candidate = halved(candidate, per_rank)
        else:
            return candidate


def largest_within(budget: int, per_rank: int, memory_of: Callable[[int], int]) -> int:
    """The largest divisor of `per_rank` whose memory is within the budget, without going over it.

    For ranks that wait for each other within an attempt: one that ran out of memory alone would
    leave the others waiting. `memory_of` tries a size; budget and result are the same on all
    ranks. Twice the size takes at most twice the memory.
    """
    fits, memory = 1, memory_of(1)
    for size in _divisors(per_rank)[1:]:
        if memory * size > budget * fits:
            break
        fits, memory = size, memory_of(size)
    return fits


def halved(size: int, per_rank: int) -> int:
    """The largest divisor of `per_rank` up to half of `size`, which is over 1."""
    return max(divisor for divisor in _divisors(per_rank) if divisor <= size // 2)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
