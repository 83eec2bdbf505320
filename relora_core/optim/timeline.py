"""The timeline of a run: phases, restarts and the learning rate as functions of the step."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Self, assert_never

from relora_core.events import Phase
from relora_core.optim.schedules import cosine, linear, rewarmed, wsd
from relora_core.spec import Phases, TrainSpec


@dataclass(frozen=True)
class Timeline:
    """The events before each step, and the step's learning rate. Steps count from 0."""

    total_steps: int
    phases: Phases
    warmup_steps: int
    restart_warmup_steps: int  # 0 for a schedule without a warm-up after restarts
    envelope: Callable[[int], float]  # the multiplier without the warm-up after restarts
    learning_rate: float
    low_rank_learning_rate: float
    decided: list[int] = field(default_factory=list)  # the restarts that the run decided on

    @classmethod
    def of(cls, spec: TrainSpec) -> Self:
        jagged = spec.schedule.name == "jagged_cosine"
        return cls(
            total_steps=spec.total_steps,
            phases=spec.phases,
            warmup_steps=spec.warmup_steps,
            restart_warmup_steps=spec.restart_warmup_steps if jagged else 0,
            envelope=_envelope(spec),
            learning_rate=spec.optimizer.learning_rate,
            low_rank_learning_rate=spec.low_rank_learning_rate,
        )

    def follow(self, decided: Sequence[int]) -> None:
        """Take these steps, in order, for the restarts of a run that decides on them."""
        self.decided[:] = decided

    def phase(self, step: int) -> Phase:
        return self.phases.at(step)

    def is_restart(self, step: int) -> bool:
        """Return whether a restart comes before this step."""
        place = bisect_left(self._restarts, step)
        return place < len(self._restarts) and self._restarts[place] == step

    def ends_cycle(self, step: int) -> bool:
        """Return whether a restart before this step completes a cycle.

        A whole restart does. Rolling restarts do at multiples of `reset_every`.
        """
        whole = not self.phases.is_rolling or step % (self.phases.reset_every or 1) == 0
        return whole and self.is_restart(step)

    def is_change(self, step: int) -> bool:
        """Return whether a phase switch or a restart comes before this step."""
        return self.is_restart(step) or (step > 0 and self.phase(step) != self.phase(step - 1))

    def learning_rate_at(self, step: int) -> float:
        low_rank = self.phase(step) == "low_rank"
        peak = self.low_rank_learning_rate if low_rank else self.learning_rate
        return peak * self._multiplier(step)

    def share_of_schedule(self, step: int) -> float:
        """Return the step's learning rate as a share of that without warm-ups after restarts."""
        whole = self.envelope(step)
        return self._multiplier(step) / whole if whole else 1.0

    def _multiplier(self, step: int) -> float:
        since = self.last_start(step)
        if since <= self.warmup_steps:
            return self.envelope(step)
        return rewarmed(self.envelope, step, since=since, warmup_steps=self.restart_warmup_steps)

    def last_start(self, step: int) -> int:
        """Return the last step up to `step` that began with all factors new, or 0.

        It is the switch to low rank or a restart. Rolling restarts never renew all at once.
        """
        if self.phase(step) != "low_rank":
            return 0
        if self.phases.is_rolling:
            return self.phases.first_steps
        before = bisect_right(self._restarts, step)
        return self._restarts[before - 1] if before else self.phases.first_steps

    @property
    def _restarts(self) -> Sequence[int]:
        return self.decided if self.phases.is_automatic else self._planned

    @cached_property
    def _planned(self) -> Sequence[int]:
        return self.phases.restarts(self.total_steps)


def _envelope(spec: TrainSpec) -> Callable[[int], float]:
    curve: Callable[..., float]
    match spec.schedule.name:
        case "jagged_cosine" | "cosine":
            curve = cosine
        case "linear":
            curve = linear
        case "wsd":
            curve = partial(wsd, decay_steps=spec.decay_steps)
        case _:
            assert_never(spec.schedule.name)
    return partial(
        curve,
        total_steps=spec.total_steps,
        warmup_steps=spec.warmup_steps,
        min_lr_ratio=spec.schedule.min_lr_ratio,
    )
