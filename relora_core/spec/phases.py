"""The phases of a run, and the steps between its restarts."""

from dataclasses import dataclass

from relora_core.events import Phase


@dataclass(frozen=True)
class Phases:
    """One phase for the whole run, or a full-rank warm start before the low-rank phase."""

    first: Phase
    first_steps: int  # the steps after these are low rank
    reset_every: int | None = None  # steps between restarts; None: there are none

    def at(self, step: int) -> Phase:
        return self.first if step < self.first_steps else "low_rank"


def default_restart_warmup(reset_every: int) -> int:
    """Return the default number of warm-up steps after a restart."""
    return min(100, reset_every // 10)
