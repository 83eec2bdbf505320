"""Choose the micro-batch size: the number of sequences that go through the model at once."""

from collections.abc import Callable

import torch

# Memory of one micro-batch on the CPU. There, running out of memory raises no exception that
# could be caught.
_CPU_BYTES = 512 * 1024**2


def cpu_micro_batch(per_rank: int, example_bytes: int) -> int:
    """Return the largest divisor of `per_rank` whose micro-batch takes at most half a GiB."""
    fits = _CPU_BYTES // example_bytes
    return max(divisor for divisor in _divisors(per_rank) if divisor <= max(1, fits))


def largest_that_fits(per_rank: int, attempt: Callable[[int], None]) -> int:
    """Return a divisor of `per_rank` with which `attempt` does not run out of memory.

    Start from `per_rank` and at least halve the size after each `torch.OutOfMemoryError`. Raise
    that error if one sequence is too many.
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
    """Return the largest divisor of `per_rank` whose memory is within the budget.

    Never try a size that could go over the budget. Use it where ranks wait for each other within
    an attempt: if one rank alone ran out of memory, the others would wait forever. `memory_of`
    tries a size and returns its memory. The budget and the result are the same on all ranks.
    Assume that twice the size takes at most twice the memory.
    """
    fits, memory = 1, memory_of(1)
    for size in _divisors(per_rank)[1:]:
        if memory * size > budget * fits:
            break
        fits, memory = size, memory_of(size)
    return fits


def halved(size: int, per_rank: int) -> int:
    """Return the largest divisor of `per_rank` that is at most half of `size`; `size` is over 1."""
    return max(divisor for divisor in _divisors(per_rank) if divisor <= size // 2)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
