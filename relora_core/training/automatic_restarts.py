"""Decide when a cycle ends, for `method.reset_every: auto`.

After the warm-up of a cycle, its steps are divided into blocks: `WINDOW` + 1 of them take the
shortest cycle. At the end of a block, the mean of its losses and the visible rank of the update
(`lowrank.update_directions`) are recorded. A restart comes, at the earliest after the shortest
cycle, at the end of the first block where one of these holds:

- the update stopped gaining rank: over the last `WINDOW` blocks, it gained less than `RANK_GAIN`;
- the loss falls more slowly: in the last `WINDOW` blocks, the slope of a line through their losses
  is less than `SLOPE` times that of the first `WINDOW` blocks of the cycle;
- the cycle has the longest length, which need not be the end of a block.

No restart comes in the last steps of a run, as many as the shortest cycle has. The decision is made
before a checkpoint of its step is saved. All that it depends on is in the counters of the
checkpoint, so a resumed run decides in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from relora_core.distributed.world import World
from relora_core.events import RestartDecided, RestartReason
from relora_core.lowrank.update_directions import visible_rank
from relora_core.optim.timeline import Timeline
from relora_core.state import Counters, TrainState

WINDOW = 4  # blocks
RANK_GAIN = 0.01  # as a share of the rank that the update had
SLOPE = 0.25

_REASONS: tuple[RestartReason, ...] = get_args(RestartReason)


@dataclass(frozen=True)
class AutomaticRestarts:
    """Decide on the restarts of one run. It does nothing for a run whose restarts are planned."""

    timeline: Timeline
    world: World

    def is_check(self, step: int) -> bool:
        """Return whether all losses have to be known after `step` steps."""
        if not self._is_in_a_cycle(step):
            return False
        return self._ends_block(step) or self._is_longest(step)

    def after_step(self, state: TrainState) -> RestartDecided | None:
        """Record a block that ends here. Return the decision for a restart before the next step."""
        counters = state.counters
        step = counters.step
        if not self.is_check(step):
            return None
        if self._ends_block(step):
            self._record(state)
        reason = self._agreed(self._reason(counters))
        if reason is None:
            return None
        decided = RestartDecided(
            step=step,
            restart=counters.restarts + 1,
            reason=reason,
            cycle_steps=step - self.timeline.last_start(step),
            rank=counters.cycle_ranks[-1] if counters.cycle_ranks else None,
        )
        counters.decided_restarts.append(step)
        counters.cycle_losses, counters.cycle_ranks = [], []
        self.timeline.follow(counters.decided_restarts)
        return decided

    def _is_in_a_cycle(self, step: int) -> bool:
        automatic = self.timeline.phases.is_automatic
        return automatic and self.timeline.phase(step) == "low_rank"

    @property
    def _shortest(self) -> int:
        shortest = self.timeline.phases.reset_every
        assert shortest is not None
        return shortest

    def _steps_of_blocks(self, step: int) -> int:
        """Return the steps of the cycle without its warm-up."""
        return step - self.timeline.last_start(step) - self.timeline.restart_warmup_steps

    def _ends_block(self, step: int) -> bool:
        """Return whether a block ends here, or the warm-up before the first one."""
        steps, block = self._steps_of_blocks(step), max(1, self._shortest // (WINDOW + 1))
        return steps >= 0 and steps % block == 0

    def _is_longest(self, step: int) -> bool:
        longest = self.timeline.phases.longest_cycle
        assert longest is not None
        return step - self.timeline.last_start(step) == longest

    def _record(self, state: TrainState) -> None:
        counters = state.counters
        if self._steps_of_blocks(counters.step) > 0 and counters.block_loss_count:
            counters.cycle_losses.append(counters.block_loss_sum / counters.block_loss_count)
            counters.cycle_ranks.append(visible_rank(state.model))
        counters.block_loss_sum, counters.block_loss_count = 0.0, 0

    def _reason(self, counters: Counters) -> RestartReason | None:
        step = counters.step
        if step + self._shortest > self.timeline.total_steps:
            return None
        if self._is_longest(step):
            return "longest"
        if step - self.timeline.last_start(step) < self._shortest:
            return None
        return reason_to_restart(counters.cycle_losses, counters.cycle_ranks)

    def _agreed(self, reason: RestartReason | None) -> RestartReason | None:
        """Return the main rank's reason, on every rank: its factors may round in another way."""
        number = self.world.broadcast(-1 if reason is None else _REASONS.index(reason))
        return None if number < 0 else _REASONS[number]


def reason_to_restart(losses: Sequence[float], ranks: Sequence[float]) -> RestartReason | None:
    """Return why a cycle with these blocks should end, or None."""
    if len(ranks) <= WINDOW:
        return None
    if ranks[-1] - ranks[-1 - WINDOW] < RANK_GAIN * ranks[-1 - WINDOW]:
        return "rank"
    if _slope(losses[-WINDOW:]) > SLOPE * min(0.0, _slope(losses[:WINDOW])):
        return "loss"
    return None


def _slope(losses: Sequence[float]) -> float:
    """Return the slope of the line of least squares through losses at 0, 1, 2, ..."""
    middle = (len(losses) - 1) / 2
    weights = [place - middle for place in range(len(losses))]
    return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(
        w * w for w in weights
    )
