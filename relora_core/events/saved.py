"""The events of checkpoints and exports."""

from typing import Literal

from pydantic import Field

from relora_core.counted import counted
from relora_core.events.event import Event


class CheckpointSaved(Event):
    type: Literal["train.checkpoint"] = "train.checkpoint"
    step: int
    path: str = Field(description="Relative to the workdir; complete when this is reported.")
    bytes: int
    pause_seconds: float = Field(description="How long the step loop waited.")
    metrics: dict[str, float] = Field(default_factory=dict)
    best_step: int | None = Field(
        default=None,
        description="The step of the best checkpoint by then, if the spec has "
        "`checkpoint.keep_best`.",
    )

    def __str__(self) -> str:
        return f"step {self.step}: checkpoint of {self.bytes / 1e6:,.1f} MB in {self.path}"


class CheckpointDeleted(Event):
    """An older checkpoint was deleted, as `checkpoint.keep_last` says."""

    type: Literal["train.checkpoint_deleted"] = "train.checkpoint_deleted"
    step: int
    path: str

    def __str__(self) -> str:
        return f"older checkpoint deleted: {self.path}"


class ProfileSaved(Event):
    """Some steps were profiled, as a person asked. The folder is complete."""

    type: Literal["train.profile"] = "train.profile"
    from_step: int = Field(description="The first step of the profile.")
    step: int = Field(description="The step that came next.")
    path: str = Field(description="Relative to the workdir.")
    bytes: int

    def __str__(self) -> str:
        profiled = counted(self.step - self.from_step, "step")
        return f"step {self.step}: profile of {profiled}, {self.bytes / 1e6:,.1f} MB in {self.path}"


class Exported(Event):
    """A merged model was exported to a Hugging Face folder, which is complete."""

    type: Literal["train.export"] = "train.export"
    step: int
    path: str = Field(description="Relative to the workdir: merged/step-... or final.")
    bytes: int

    def __str__(self) -> str:
        return f"step {self.step}: merged model of {self.bytes / 1e6:,.1f} MB in {self.path}"
