"""The phases of a run, and the steps of its restarts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from relora_core.events import Phase


@dataclass(frozen=True)
class Phases:
    """One phase for the whole run, or a full-rank warm start before the low-rank phase."""

    first: Phase
    first_steps: int  # the steps after these are low rank
    reset_every: int | None = None  # steps of the first cycle; None: there are no restarts
    reset_growth: float = 1.0  # each later cycle is this many times as long as the one before
    # the restarts that renew the factors once: 1, or the rank if each renews one component
    restarts_per_cycle: int = 1
    # the run decides on its restarts: after `reset_every` steps or more, up to these
    longest_cycle: int | None = None

    def at(self, step: int) -> Phase:
        return self.first if step < self.first_steps else "low_rank"

    @property
    def is_rolling(self) -> bool:
        """Whether a restart renews one component of the factors, and not all of them."""
        return self.restarts_per_cycle > 1

    @property
    def is_automatic(self) -> bool:
        """Whether the run decides on its restarts, each after a cycle of at least `reset_every`."""
        return self.longest_cycle is not None

    def first_restart(self) -> int | None:
        """Return the first multiple of the distance of restarts after the first low-rank step.

        The distance is `reset_every` / `restarts_per_cycle`. Its multiples are rounded up. Return
        the earliest possible restart if the run decides.
        """
        if self.reset_every is None:
            return None
        if self.is_automatic:
            return self.first_steps + self.reset_every
        return self._multiple(self._multiples_up_to(self.first_steps) + 1)

    def restarts(self, total_steps: int) -> Sequence[int]:
        """Return the steps before which a restart comes, in a run of `total_steps`.

        Return none if the run decides.
        """
        first = self.first_restart()
        if first is None or self.is_automatic:
            return ()
        if self.reset_growth != 1:
            return tuple(takewhile(lambda step: step < total_steps, self._growing(first)))
        numbers = range(
            self._multiples_up_to(self.first_steps) + 1, self._multiples_up_to(total_steps - 1) + 1
        )
        return tuple(self._multiple(number) for number in numbers)

    def most_renewals(self, total_steps: int) -> int:
        """Return how often, at most, all factors are renewed in a run of `total_steps`."""
        if self.is_automatic:
            assert self.reset_every is not None
            return max(0, (total_steps - self.first_steps) // self.reset_every - 1)
        return len(self.restarts(total_steps)) // self.restarts_per_cycle

    def _multiple(self, number: int) -> int:
        assert self.reset_every is not None
        return -(-number * self.reset_every // self.restarts_per_cycle)

    def _multiples_up_to(self, step: int) -> int:
        assert self.reset_every is not None
        return step * self.restarts_per_cycle // self.reset_every

    def _growing(self, restart: int) -> Iterator[int]:
        """Yield the restarts from the first one on. A cycle is rounded to the nearest step."""
        assert self.reset_every is not None
        length = float(self.reset_every)
        while True:
            yield restart
            length *= self.reset_growth
            restart += round(length)


def default_restart_warmup(reset_every: int) -> int:
    """Return the default number of warm-up steps after a restart."""
    return min(100, reset_every // 10)
