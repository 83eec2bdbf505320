"""What a restart cost, and what the cycle that it began bought."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from relora_core.counted import counted
from relora_core.events.event import Event, Unit


class RestartReport(BaseModel):
    """A restart and the cycle that it began, seen from the end of this cycle."""

    model_config = ConfigDict(frozen=True)

    restart: int = Field(description="1 for the first.")
    restart_step: int = Field(description="The restart came before this step.")
    step: int = Field(description="Its cycle ended before this step, by a restart or with the run.")
    window: int = Field(description="Steps that each training loss below is the mean of.")
    loss_before: float | None = Field(
        default=None, description="Training loss right before the restart."
    )
    loss_after: float | None = Field(
        default=None,
        description="Right after it; null if the cycle took fewer steps than `window`.",
    )
    loss_at_end: float | None = Field(
        default=None, description="At the end of the cycle; null as `loss_after`."
    )
    steps_to_regain: int | None = Field(
        default=None,
        description="Steps until `window` steps have a mean loss of at most `loss_before`: 0 if "
        "the first ones have; null if the cycle has none.",
    )
    tokens_lost: int = Field(
        description="Tokens that the warm-up after the restart lost: those of its steps, each "
        "times the share of the learning rate that it lacked."
    )
    unit: Unit = Field(default="tokens", description="What `tokens_lost` counts.")
    validation_loss_before: float | None = Field(
        default=None, description="Of the last evaluation in the cycle before; null without one."
    )
    validation_loss_after: float | None = Field(
        default=None,
        description="Of the first evaluation after the restart; null without one in the cycle.",
    )
    validation_loss_at_end: float | None = Field(
        default=None, description="Of the last one in the cycle."
    )
    rank_gained: float | None = Field(
        default=None,
        description="Effective rank of the total update at the end of the cycle minus that at the "
        "restart, mean over layers; null without the spectrum.",
    )
    angle: float | None = Field(
        default=None,
        description="Degrees between the row space of the cycle's B A and the span of those of the "
        "earlier cycles, mean over layers: 90 if they share nothing.",
    )
    overlap: float | None = Field(
        default=None,
        description="Share of the squared norm of the cycle's B A that lies in that span.",
    )
    overlap_by_chance: float | None = Field(
        default=None,
        description="The same for random directions: the span's share of all dimensions.",
    )

    def __str__(self) -> str:
        return (
            f"restart {self.restart} in hindsight: {self._cost()}; "
            f"{self.tokens_lost:,} {self.unit} lost to the warm-up{self._bought()}"
        )

    def _cost(self) -> str:
        if self.loss_before is None or self.loss_after is None:
            return f"a cycle of {counted(self.step - self.restart_step, 'step')}, too short to tell"
        regained = self.steps_to_regain
        when = "not regained" if regained is None else f"regained after {counted(regained, 'step')}"
        return f"loss {self.loss_before:.4f} before, {self.loss_after:.4f} after, {when}"

    def _bought(self) -> str:
        end = "" if self.loss_at_end is None else f"; loss {self.loss_at_end:.4f} at the end"
        rank = "" if self.rank_gained is None else f", rank {self.rank_gained:+.1f}"
        angle = "" if self.angle is None else f", {self.angle:.0f}° to the earlier cycles"
        return end + rank + angle


class RestartReported(Event, RestartReport):
    """What a restart cost and bought, once the cycle that it began is over."""

    type: Literal["train.restart_report"] = "train.restart_report"
    path: str = Field(description="Relative to the workdir: the reports of all restarts so far.")
    seconds: float = Field(description="How long the step loop waited for this report.")

    @property
    def report(self) -> RestartReport:
        return RestartReport(**{name: getattr(self, name) for name in RestartReport.model_fields})

    def __str__(self) -> str:
        return str(self.report)
