"""What a run reports. Torch-free; the trainer writes them as JSON lines to `events.jsonl`.

A person reads `type` and `step`; every event also says when. `id` and `attempt` are unset
until a job's store numbers the event.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Phase = Literal["warm_start", "low_rank", "full_rank"]


class Event(BaseModel):
    # A loss that is not finite is written as "NaN", which is valid JSON and reads back as it was.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    id: int | None = Field(default=None, description="Position in the job's log: 1, 2, ...")
    attempt: int | None = Field(default=None, description="The attempt that reported it.")
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))


class DataPrepared(Event):
    """Text became token shards, or shards of an earlier run were found."""

    type: Literal["train.data"] = "train.data"
    split: Literal["train", "validation"]
    documents: int
    tokens: int
    bad_rows: int = 0
    examples: list[str] = Field(default_factory=list, description="The first bad rows, and why.")
    reused: bool = Field(default=False, description="Found in the cache, nothing was read.")


class TrainStarted(Event):
    type: Literal["train.started"] = "train.started"
    step: int = Field(description="The step to take next; above 0 when resumed.")
    total_steps: int
    parameters: int
    tokens_per_step: int
    world_size: int
    device: str


class PhaseStarted(Event):
    type: Literal["train.phase"] = "train.phase"
    step: int
    phase: Phase
    trainable_parameters: int
    frozen_parameters: int


class StepFinished(Event):
    """The mean over the steps since the last such event; `step` counts finished steps."""

    type: Literal["train.step"] = "train.step"
    step: int
    total_steps: int
    phase: Phase
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_seen: int
    tokens_per_second: float
    restarts: int


class Merged(Event):
    """Before the step of this number, B A went into W. First part of a restart."""

    type: Literal["train.merge"] = "train.merge"
    step: int
    restart: int = Field(description="1 for the first.")
    layers: int
    update_norm: float = Field(description="Frobenius norm of the merged update, all layers.")
    weight_norm: float = Field(description="Frobenius norm of the weights after it.")
    residual_norm: float = Field(description="Norm of what the frozen type could not hold.")


class Reinitialized(Event):
    """A was drawn anew, B is zero. Second part of a restart."""

    type: Literal["train.reinit"] = "train.reinit"
    step: int
    restart: int
    factors_norm: float
    factors_hash: str = Field(description="sha256 of all A; the same on every rank.")


class OptimizerReset(Event):
    """The optimizer state of A and B was pruned. Third part of a restart."""

    type: Literal["train.optimizer_reset"] = "train.optimizer_reset"
    step: int
    restart: int
    mode: Literal["magnitude", "random", "zero"]
    kept: float = Field(description="Share of the entries that kept their state.")


class LearningRateRestarted(Event):
    """The learning rate climbs again. Last part of a restart."""

    type: Literal["train.lr_restart"] = "train.lr_restart"
    step: int
    restart: int
    warmup_steps: int
    learning_rate_before: float
    learning_rate: float = Field(description="Of the step about to be taken.")
    learning_rate_target: float = Field(description="Reached after `warmup_steps`.")


class Evaluated(Event):
    """Token-weighted loss on the first tokens of the validation split."""

    type: Literal["train.eval"] = "train.eval"
    step: int
    loss: float
    perplexity: float
    tokens: int


class CheckpointSaved(Event):
    type: Literal["train.checkpoint"] = "train.checkpoint"
    step: int
    path: str = Field(description="Relative to the workdir; complete when this is reported.")
    bytes: int
    pause_seconds: float = Field(description="How long the step loop waited.")
    metrics: dict[str, float] = Field(default_factory=dict)


class CheckpointDeleted(Event):
    """An older checkpoint made room, as `checkpoint.keep_last` says."""

    type: Literal["train.checkpoint_deleted"] = "train.checkpoint_deleted"
    step: int
    path: str


class Exported(Event):
    """A merged Hugging Face folder is complete."""

    type: Literal["train.export"] = "train.export"
    step: int
    path: str = Field(description="Relative to the workdir: merged/step-... or final.")
    bytes: int


class Warned(Event):
    """Something a person should know; the run goes on."""

    type: Literal["train.warning"] = "train.warning"
    code: str
    message: str
    step: int | None = None


class TrainFinished(Event):
    type: Literal["train.finished"] = "train.finished"
    step: int
    tokens_seen: int
    restarts: int
    skipped_steps: int
    seconds: float
    loss: float | None = Field(default=None, description="Validation loss at the end.")
    perplexity: float | None = None


class TrainStopped(Event):
    """Asked to stop, the run saved a checkpoint and left."""

    type: Literal["train.stopped"] = "train.stopped"
    step: int


class TrainFailed(Event):
    type: Literal["train.failed"] = "train.failed"
    code: str
    message: str
    retryable: bool = Field(description="Whether another attempt could succeed.")


AnyTrainEvent = (
    DataPrepared
    | TrainStarted
    | PhaseStarted
    | StepFinished
    | Merged
    | Reinitialized
    | OptimizerReset
    | LearningRateRestarted
    | Evaluated
    | CheckpointSaved
    | CheckpointDeleted
    | Exported
    | Warned
    | TrainFinished
    | TrainStopped
    | TrainFailed
)
Emit = Callable[[AnyTrainEvent], None]
TrainEvent = Annotated[AnyTrainEvent, Field(discriminator="type")]
train_event_adapter: TypeAdapter[AnyTrainEvent] = TypeAdapter(TrainEvent)


def to_line(event: Event) -> str:
    """One JSON object, without a line break."""
    return event.model_dump_json(exclude_none=True)


def from_line(line: str | bytes) -> AnyTrainEvent:
    """Read back what `to_line` wrote. Raises `pydantic.ValidationError`."""
    return train_event_adapter.validate_json(line)
