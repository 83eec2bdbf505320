"""A cycle of low-rank training: what the report of its restart needs. No torch needed."""

import math
from statistics import fmean
from typing import Self

from pydantic import BaseModel

from relora_core.events import RestartReport

MAX_WINDOW = 50  # steps
_SHARE = 4  # the window is a quarter of the cycle before the restart


class Cycle(BaseModel):
    """What the report of a restart needs of the cycle that it began. A checkpoint holds it.

    Steps that were skipped are not counted.
    """

    start: int = 0  # the step before which the cycle began
    restart: int = 0  # the number of the restart that began it; 0 for another beginning
    steps: int = 0  # taken so far
    losses: list[float] = []  # of the last steps, at most `MAX_WINDOW`
    window: int = 1  # steps that each mean of losses is over
    loss_before: float | None = None
    loss_after: float | None = None
    steps_to_regain: int | None = None
    validation_loss_before: float | None = None
    validation_loss_after: float | None = None  # of the first evaluation
    validation_loss: float | None = None  # of the last evaluation

    @property
    def loss(self) -> float | None:
        """The mean loss of the last `window` steps."""
        return fmean(self.losses[-self.window :]) if self.steps >= self.window else None

    def record(self, loss: float) -> None:
        """Count a step that was taken."""
        self.losses = [*self.losses, loss][-MAX_WINDOW:]
        self.steps += 1
        if self.steps == self.window:
            self.loss_after = self.loss
        if self.steps_to_regain is None and self._is_regained():
            self.steps_to_regain = self.steps - self.window

    def _is_regained(self) -> bool:
        before, now = self.loss_before, self.loss
        return before is not None and now is not None and now <= before

    def evaluated(self, step: int, loss: float) -> None:
        """Note the last evaluation. It may be noted before, or be of an earlier cycle."""
        if step > self.start and math.isfinite(loss):
            self.validation_loss = loss
            if self.validation_loss_after is None:
                self.validation_loss_after = loss

    def next(self, *, start: int, restart: int) -> Self:
        """Return the cycle that begins where this one ends."""
        window = max(1, min(MAX_WINDOW, math.ceil(self.steps / _SHARE)))
        return type(self)(
            start=start,
            restart=restart,
            window=window,
            loss_before=fmean(self.losses[-window:]) if self.losses else None,
            validation_loss_before=self.validation_loss,
        )


def kept_directions(rank: int, d_in: int) -> int:
    """Return how many directions of the earlier cycles are kept of a layer, at most.

    They are those of the last cycles that fill up to half of the dimensions, and of one at least.
    """
    return rank * max(1, d_in // (2 * rank))


class RestartHistory(BaseModel):
    """The cycle that runs, and the reports of the restarts before it."""

    cycle: Cycle = Cycle()
    reports: list[RestartReport] = []
