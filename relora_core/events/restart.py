"""The events of a restart, in their order. A rolling restart has no `LearningRateRestarted`."""

from typing import Literal

from pydantic import Field

from relora_core.counted import counted
from relora_core.events.event import Event
from relora_core.events.json_float import JsonFloat

_SEEN = 0.02  # a smaller drop, as a share, is the decay of the schedule itself


RestartReason = Literal["rank", "loss", "longest"]
_REASONS: dict[RestartReason, str] = {
    "rank": "the update gains no rank",
    "loss": "the loss falls more slowly",
    "longest": "no cycle may be longer",
}


class RestartDecided(Event):
    """With `reset_every: auto`: the run decided on a restart before this step."""

    type: Literal["train.restart_decided"] = "train.restart_decided"
    step: int
    restart: int = Field(description="1 for the first.")
    reason: RestartReason = Field(description="What ends the cycle: its rank, loss or length.")
    cycle_steps: int = Field(description="Steps of the cycle that ends.")
    rank: JsonFloat | None = Field(
        default=None, description="In how many directions its update changes W visibly, at the end."
    )

    def __str__(self) -> str:
        return (
            f"restart {self.restart} after a cycle of {counted(self.cycle_steps, 'step')}: "
            f"{_REASONS[self.reason]}"
        )


class Merged(Event):
    """B A, or a component of it, was merged into W before this step. First part of a restart."""

    type: Literal["train.merge"] = "train.merge"
    step: int
    restart: int = Field(description="1 for the first.")
    layers: int
    update_norm: JsonFloat = Field(description="Frobenius norm of the merged update, all layers.")
    weight_norm: JsonFloat = Field(description="Frobenius norm of the weights after it.")
    residual_norm: JsonFloat = Field(description="Norm of what the frozen type could not hold.")
    component: int | None = Field(
        default=None, description="Which one, from 0, if restarts are rolling."
    )

    def __str__(self) -> str:
        return (
            f"restart {self.restart} before step {self.step}: "
            f"merged {_component_of(self.component)}{counted(self.layers, 'layer')}, "
            f"|BA| {self.update_norm:.3g} into |W| {self.weight_norm:.3g}"
        )


class Reinitialized(Event):
    """A was drawn again, and B is zero; or a component of them. Second part of a restart."""

    type: Literal["train.reinit"] = "train.reinit"
    step: int
    restart: int
    factors_norm: JsonFloat
    factors_hash: str = Field(description="sha256 of all A; the same on every rank.")
    component: int | None = Field(
        default=None, description="Which one, from 0, if restarts are rolling."
    )

    def __str__(self) -> str:
        if self.component is not None:
            return f"  component {self.component} drawn anew: |A| {self.factors_norm:.3g}"
        return f"  factors drawn anew: |A| {self.factors_norm:.3g}, B = 0"


class OptimizerReset(Event):
    """The optimizer state of A and B was pruned. Third part of a restart."""

    type: Literal["train.optimizer_reset"] = "train.optimizer_reset"
    step: int
    restart: int
    mode: Literal["magnitude", "random", "zero", "keep", "rotate"]
    kept: float = Field(description="Share of the entries that kept their state.")

    def __str__(self) -> str:
        return f"  optimizer: {self.kept:.0%} of the factors' state kept, by {self.mode}"


class LearningRateRestarted(Event):
    """The learning rate warms up again. Last part of a restart that is not rolling."""

    type: Literal["train.lr_restart"] = "train.lr_restart"
    step: int
    restart: int
    warmup_steps: int
    learning_rate_before: float
    learning_rate: float = Field(description="Of the step about to be taken.")
    learning_rate_target: float = Field(description="Reached after `warmup_steps`.")
    factor_learning_rate_target: float | None = Field(
        default=None,
        description="The same for A and B, if they have their own rate; the highest of all layers.",
    )

    def __str__(self) -> str:
        lowest_drop = (1 - _SEEN) * self.learning_rate_before
        if self.learning_rate > lowest_drop:  # in the first warm-up, or with a re-warm-up of a step
            return f"  learning rate: {self.learning_rate:.2e}, which the restart does not lower"
        return (
            f"  learning rate: {self.learning_rate_before:.2e} -> {self.learning_rate:.2e}, "
            f"up to {self.learning_rate_target:.2e}{self._of_factors()} in "
            f"{counted(self.warmup_steps, 'step')}"
        )

    def _of_factors(self) -> str:
        target = self.factor_learning_rate_target
        return "" if target is None else f" (A and B {target:.2e})"


def _component_of(component: int | None) -> str:
    return "" if component is None else f"component {component} of "
