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


def halved(size: int, per_rank: int) -> int:
    """The largest divisor of `per_rank` up to half of `size`, which is over 1."""
    return max(divisor for divisor in _divisors(per_rank) if divisor <= size // 2)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
