"""The one clock of a run: phases, restarts and the learning rate, all read from the step."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from relora_core.events import Phase
from relora_core.schedules import Curve, cosine, linear, rewarmed
from relora_core.spec import Phases, TrainSpec


@dataclass(frozen=True)
class Timeline:
    """What happens before the step of a number; steps count from 0."""

    total_steps: int
    phases: Phases
    warmup_steps: int
    restart_warmup_steps: int
    schedule: Literal["jagged_cosine", "cosine", "linear"]
    min_lr_ratio: float
    learning_rate: float
    low_rank_learning_rate: float

    @classmethod
    def of(cls, spec: TrainSpec) -> Self:
        return cls(
            total_steps=spec.total_steps,
            phases=spec.phases,
            warmup_steps=spec.warmup_steps,
            restart_warmup_steps=spec.restart_warmup_steps,
            schedule=spec.schedule.name,
            min_lr_ratio=spec.schedule.min_lr_ratio,
            learning_rate=spec.optimizer.learning_rate,
            low_rank_learning_rate=spec.low_rank_learning_rate,
        )

    def phase(self, step: int) -> Phase:
        return self.phases.at(step)

    def is_restart(self, step: int) -> bool:
        """Whether a merge comes before this step: at each later multiple of `reset_every`."""
        reset_every = self.phases.reset_every
        if reset_every is None or not self.phases.first_steps < step < self.total_steps:
            return False
        return step % reset_every == 0

    def learning_rate_at(self, step: int) -> float:
        low_rank = self.phase(step) == "low_rank"
        peak = self.low_rank_learning_rate if low_rank else self.learning_rate
        return peak * self._multiplier(step)

    def _multiplier(self, step: int) -> float:
        if self.schedule == "linear":
            return self._curve(linear, step)
        envelope = partial(self._curve, cosine)
        since = self._last_start(step)
        if self.schedule == "cosine" or since <= self.warmup_steps:
            return envelope(step)
        return rewarmed(envelope, step, since=since, warmup_steps=self.restart_warmup_steps)

    def _curve(self, curve: Curve, step: int) -> float:
        return curve(
            step,
            total_steps=self.total_steps,
            warmup_steps=self.warmup_steps,
            min_lr_ratio=self.min_lr_ratio,
        )

    def _last_start(self, step: int) -> int:
        """The last step at or before `step` with fresh factors: the switch, or a restart."""
        if self.phase(step) != "low_rank":
            return 0
        switch, reset_every = self.phases.first_steps, self.phases.reset_every
        return switch if reset_every is None else max(switch, step // reset_every * reset_every)
