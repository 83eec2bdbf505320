"""Choose the micro-batch size: the number of sequences that go through the model at once."""

from collections.abc import Callable

from relora_core.estimate.planned_run import divisors

# Memory of one micro-batch on the CPU. There, running out of memory raises no exception that
# could be caught.
_CPU_BYTES = 512 * 1024**2


def cpu_micro_batch(per_rank: int, example_bytes: int) -> int:
    """Return the largest divisor of `per_rank` whose micro-batch takes at most half a GiB."""
    fits = _CPU_BYTES // example_bytes
    return max(divisor for divisor in divisors(per_rank) if divisor <= max(1, fits))


def largest_within(
    budget: int, at_most: int, per_rank: int, memory_of: Callable[[int], int], *, start: int = 1
) -> int:
    """Return the largest divisor of `per_rank` up to `at_most` whose memory is within the budget.

    `memory_of` tries a size and returns its memory. First go down from `start`, at least by half
    each time. Then go up to sizes that are within the budget if n times the size takes at most n
    times the memory. So from a start of 1, no attempt goes over the budget: use that where ranks
    wait for each other within an attempt, because if one rank ran out of memory, the others would
    wait forever. The budget, the memory and the result are the same on all ranks. The result is 1
    even if one sequence is over the budget.
    """
    fits, memory = start, memory_of(start)
    while memory > budget and fits > 1:
        fits, at_most = halved(fits, per_rank), fits - 1
        memory = memory_of(fits)
    while larger := _larger_within(budget, at_most, per_rank, fits, memory):
        needed = memory_of(larger)
        if needed > budget:
            at_most = larger - 1
        else:
            fits, memory = larger, needed
    return fits


def _larger_within(budget: int, at_most: int, per_rank: int, fits: int, memory: int) -> int | None:
    """Return the largest size above `fits`, if its memory grows at most in proportion."""
    sizes = (size for size in divisors(per_rank) if fits < size <= at_most)
    return max((size for size in sizes if size * memory <= budget * fits), default=None)


def halved(size: int, per_rank: int) -> int:
    """Return the largest divisor of `per_rank` that is at most half of `size`; `size` is over 1."""
    return max(divisor for divisor in divisors(per_rank) if divisor <= size // 2)
