"""Rewind a run that diverged: go back to a checkpoint and continue with other data.

A rewind is due after too many steps in a row whose loss or gradient was not finite. It undoes
all steps since the checkpoint and skips the data of these steps for good. The target of a rewind
depends only on the step, the data and the scheduled checkpoints. So a run that is killed after a
rewind and resumed does the same rewind again, and ends with the same bits, under the conditions of
any resume (docs/method.md).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from relora_core.checkpoint.checkpointer import Checkpoint, Checkpoints
from relora_core.counted import counted
from relora_core.distributed.world import World
from relora_core.errors import Diverged
from relora_core.events import Rewound
from relora_core.spec import TrainingSpec
from relora_core.state import Counters, TrainState
from relora_core.training.step_result import StepResult

ADVICE = (
    "lower optimizer.learning_rate, low_rank_learning_rate or factor_learning_rate, or lengthen "
    "schedule.restart_warmup_steps"
)


@dataclass(frozen=True)
class Rewinder:
    """Decide whether a run has to rewind, choose the checkpoint and load it."""

    spec: TrainingSpec
    checkpoints: Checkpoints
    world: World
    build: Callable[[Checkpoint], TrainState]  # loads a new model; leaves the old state alone

    def is_due(self, counters: Counters) -> bool:
        return counters.skipped_in_a_row >= self.spec.max_skipped_steps

    def target(self, counters: Counters, result: StepResult) -> Checkpoint:
        """Return the checkpoint to go back to. Raise `Diverged` if the run has to fail instead."""
        reason = (
            "the loss or the gradient was not finite for "
            f"{counted(counters.skipped_in_a_row, 'step')} in a row, up to step "
            f"{counters.step} (loss {result.loss}, gradient norm {result.grad_norm})"
        )
        if self.spec.on_divergence == "fail":
            raise Diverged(f"{reason}; {ADVICE}, or set training.on_divergence to rewind")
        if counters.rewinds >= self.spec.max_rewinds:
            raise Diverged(f"{reason}, after {counters.rewinds} rewinds; {ADVICE}")
        checkpoint = self._find(counters)
        if checkpoint is None:
            raise Diverged(f"{reason}, and there is no checkpoint to go back to; {ADVICE}")
        return checkpoint

    def rewound(self, checkpoint: Checkpoint, counters: Counters) -> tuple[TrainState, Rewound]:
        """Return the checkpoint's state, set to read the data after that of the failed steps."""
        state = self.build(checkpoint)
        step = checkpoint.counters.step
        state.counters = replace(
            checkpoint.counters,
            data_offset=counters.step + counters.data_offset - step,
            rewinds=counters.rewinds + 1,
            skipped_steps=counters.skipped_steps,
            skipped_in_a_row=0,
        )
        event = Rewound(
            from_step=counters.step,
            to_step=step,
            passed_over_steps=counters.step - step,
            number=counters.rewinds + 1,
        )
        if self.world.is_main:
            self.checkpoints.delete_after(step)
        return state, event

    def _find(self, counters: Counters) -> Checkpoint | None:
        self.checkpoints.wait()
        trouble = counters.step - counters.skipped_in_a_row
        return main_rank_choice(
            self.world, self.checkpoints, lambda: self.checkpoints.before(trouble)
        )


def main_rank_choice(
    world: World, checkpoints: Checkpoints, choose: Callable[[], Checkpoint | None]
) -> Checkpoint | None:
    """Return the main rank's choice on every rank.

    Only the main rank verifies checkpoints, so that the other ranks need no files of the run and
    cannot choose another checkpoint.
    """
    return checkpoints.from_main(choose() if world.is_main else None)
