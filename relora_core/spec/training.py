"""The spec of training, schedule, evaluation, spectrum, checkpoints and exports."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from relora_core.spec.data import MAX_SOURCES, Source, SourceName
from relora_core.spec.part import Count, Spec, Steps
from relora_core.spec.scores import KeepBestSpec, StopWhenSpec
from relora_core.spec.written import MAX_INT64


def _named(value: object) -> object:
    """Return the name of what a boolean meant before there was a third way."""
    return {True: "full", False: "none"}[value] if isinstance(value, bool) else value


GradientCheckpointing = Annotated[Literal["none", "full", "selective"], BeforeValidator(_named)]


class TrainingSpec(Spec):
    """How long the model is trained, and how."""

    steps: Steps | None = Field(
        default=None,
        description="Optimizer steps of the whole run. Default: what `tokens` comes to; give "
        "exactly one of the two.",
    )
    tokens: Annotated[int, Field(ge=1, le=10**16)] | None = Field(
        default=None,
        description="Tokens to train on, rounded up to a whole step. Default: `steps` decides.",
    )
    global_batch_size: Count = Field(
        default=32,
        description="Sequences or images in an optimizer step, over all GPUs. What one forward "
        "pass does not hold is done by gradient accumulation.",
    )
    micro_batch_size: Count | Literal["auto"] = Field(
        default="auto",
        description="Sequences or images in a forward pass on one GPU. auto: the most that fit in "
        "memory.",
    )
    precision: Literal["bf16", "fp32"] = Field(
        default="bf16",
        description="Type of the arithmetic. bf16 is mixed precision: trained weights and the "
        "optimizer state stay fp32.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=MAX_INT64,
        description="Seed of the weights, the order of the data, dropout and the factors.",
    )
    max_grad_norm: float | None = Field(
        default=1.0,
        gt=0,
        le=1e9,
        description="Gradients with a larger norm are clipped to it. null: no clipping.",
    )
    max_skipped_steps: Count = Field(
        default=10,
        description="A step whose loss or gradient is not finite is skipped. After this many in a "
        "row the run has diverged.",
    )
    on_divergence: Literal["fail", "rewind"] = Field(
        default="rewind",
        description="What a run that diverged does: fail, or go back to its newest checkpoint and "
        "go on with other data. Without a checkpoint it fails.",
    )
    max_rewinds: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="How often a run may go back to a checkpoint. It fails at the next divergence.",
    )
    spike_z_score: float | None = Field(
        default=6.0,
        gt=0,
        le=1e9,
        description="A loss that is this many standard deviations above the mean of the steps "
        "before it is reported as a spike. null: never.",
    )
    spike_window: int = Field(
        default=100,
        ge=2,
        le=10_000,
        description="Steps that a loss is compared with, and the fewest steps between two reports "
        "of a spike.",
    )
    parallelism: Literal["ddp", "fsdp", "hsdp"] = Field(
        default="ddp",
        description="ddp: each GPU holds the whole model. fsdp: each GPU holds some rows of each "
        "tensor. hsdp: the GPUs of a node hold the rows together, and nodes exchange only "
        "gradients.",
    )
    gradient_checkpointing: GradientCheckpointing = Field(
        default="none",
        description="Save memory: compute activations of each block again in the backward pass "
        "instead of keeping them. full: all of them. selective: all but the results of linear "
        "layers and attention, which take nearly all of the time. true is full, false is none.",
    )
    compile: bool = Field(
        default=True,
        description="Whether to use torch.compile. Where no compiler is found, it is not used.",
    )
    deterministic: bool = Field(
        default=False,
        description="Use only kernels that give the same bits each time, so that two runs on GPUs "
        "end with the same bits. It costs speed. CPUs always do.",
    )
    stop_when: StopWhenSpec = Field(
        default=StopWhenSpec(),
        description="When the run ends before its last step. By default it does not.",
    )
    log_every: Steps = Field(default=10, description="Steps between two reports of the loss.")

    @property
    def shards(self) -> bool:
        """Whether a GPU holds only some rows of each tensor."""
        return self.parallelism != "ddp"

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("give exactly one of `steps`, `tokens`")
        return self


class ScheduleSpec(Spec):
    """How the learning rate changes during the run."""

    name: Literal["jagged_cosine", "cosine", "linear", "wsd"] = Field(
        default="jagged_cosine",
        description="Shape of the learning rate. `jagged_cosine` warms up again after the switch "
        "to low rank and after each restart; under the others, new factors train at the full rate "
        "at once. `wsd`: warm-up, stable, decay.",
    )
    warmup_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Steps of the warm-up at the start of the run. Default: a fortieth of the "
        "steps, at most 500.",
    )
    restart_warmup_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Steps of the warm-up after the switch to low rank and after each restart. "
        "Default: a tenth of `method.reset_every`, at most 100.",
    )
    decay_steps: Steps | None = Field(
        default=None,
        description="Last steps of a `wsd` schedule, in which the rate falls. Default: a tenth of "
        "the steps.",
    )
    min_lr_ratio: float = Field(
        default=0.1, ge=0, le=1, description="The last learning rate, as a share of the peak."
    )


class EvaluationSpec(Spec):
    """How often the model is evaluated, and on how much data."""

    every: Steps | None = Field(
        default=1000,
        description="Steps between evaluations. null: only at the start and at the end.",
    )
    tokens: int = Field(
        default=1_000_000,
        ge=1,
        le=10**12,
        description="How many tokens of the validation data are scored: its first ones.",
    )
    images: int = Field(
        default=50_000,
        ge=1,
        le=10**9,
        description="How many images of the validation data are scored: always the same ones.",
    )
    sets: dict[SourceName, Source] = Field(
        default_factory=dict,
        max_length=MAX_SOURCES,
        description="Further data to evaluate on, by name. Each set is a source as in "
        "`data.train`, has a curve of its own, and as many of its tokens or images are scored. "
        "Nothing is held out: a set may overlap with the training data.",
    )


MAX_WEIGHTS = 32_000_000  # in the target layers, up to which `spectrum.enabled: auto` measures


class SpectrumSpec(Spec):
    """Measure the singular values of the total update W - W0, in `reports/spectrum.json`."""

    enabled: Literal["auto"] | bool = Field(
        default="auto",
        description="Whether the singular values of the update are measured, at each restart and "
        "at the end, and the angle between the directions of cycles. auto: if the target layers "
        "hold at most 32M weights. It costs a copy of these weights and the directions of earlier "
        "cycles in fp32, in the memory of the main process and in every checkpoint, and the time "
        "that the events `train.spectrum` and `train.restart_report` tell.",
    )
    every: Steps | None = Field(
        default=None,
        description="Steps between further measurements, so that a run without restarts has a "
        "curve too. Default: none between restarts.",
    )
    since_step: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="The update is measured from the weights before this step. Give a full-rank "
        "run the step of the run that it is compared with. Default: the first low-rank step, and "
        "0 for full rank.",
    )

    def covers(self, num_weights: int) -> bool:
        """Return whether a model with so many weights in its target layers is measured."""
        if self.enabled == "auto":
            return 0 < num_weights <= MAX_WEIGHTS
        return self.enabled and num_weights > 0


class CheckpointSpec(Spec):
    """How often a checkpoint is saved, and which ones are kept."""

    every: Steps = Field(default=1000, description="Steps between checkpoints.")
    keep_last: Count = Field(default=3, description="How many of the newest checkpoints are kept.")
    keep_every: Steps | None = Field(
        default=None,
        description="Checkpoints at multiples of this step are never deleted. Default: none.",
    )
    keep_best: KeepBestSpec | None = Field(
        default=None,
        description="Also keep the checkpoint with the best score; {} is that with the lowest "
        "validation loss. Default: none.",
    )

    def expired(self, steps: Sequence[int], *, best: int | None = None) -> list[int]:
        """Return the steps of the checkpoints to delete. `steps` has all, the oldest first.

        `best` is the step of the best checkpoint.
        """
        return [
            step
            for step in steps[: -self.keep_last]
            if step != best and (self.keep_every is None or step % self.keep_every)
        ]


class ExportSpec(Spec):
    """The merged models that the run writes."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` is a word of Python

    from_: Literal["last", "best"] = Field(
        default="last",
        alias="from",
        description="The weights of the final model: those at the end of the run, or those of the "
        "checkpoint that `checkpoint.keep_best` kept.",
    )
    every: Steps | None = Field(
        default=None,
        description="Steps between exports of the merged model during the run. Default: only the "
        "final model is exported.",
    )
    dtype: Literal["bf16", "fp16", "fp32"] = Field(
        default="bf16", description="Type of the weights of an exported model."
    )
