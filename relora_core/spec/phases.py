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

    def at(self, step: int) -> Phase:
        return self.first if step < self.first_steps else "low_rank"

    def first_restart(self) -> int | None:
        """Return the first multiple of `reset_every` after the first low-rank step."""
        if self.reset_every is None:
            return None
        return (self.first_steps // self.reset_every + 1) * self.reset_every

    def restarts(self, total_steps: int) -> Sequence[int]:
        """Return the steps before which a restart comes, in a run of `total_steps`."""
        first = self.first_restart()
        if first is None or self.reset_every is None:
            return ()
        if self.reset_growth == 1:
            return range(first, total_steps, self.reset_every)
        return tuple(takewhile(lambda step: step < total_steps, self._growing(first)))

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
