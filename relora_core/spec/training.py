"""How a run trains, evaluates, saves and exports."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from relora_core.spec.part import Count, Spec, Steps
from relora_core.spec.written import MAX_WHOLE


class TrainingSpec(Spec):
    steps: Steps | None = Field(default=None, description="Optimizer steps of the whole run.")
    tokens: Annotated[int, Field(ge=1, le=10**16)] | None = Field(
        default=None, description="Instead of `steps`: tokens to see, rounded up to a whole step."
    )
    global_batch_size: Count = Field(
        default=32, description="Sequences or images per optimizer step."
    )
    micro_batch_size: Count | Literal["auto"] = Field(
        default="auto",
        description="Sequences or images per forward pass; auto: the largest that fits in memory.",
    )
    precision: Literal["bf16", "fp32"] = Field(default="bf16", description="Of the arithmetic.")
    seed: int = Field(default=0, ge=0, le=MAX_WHOLE)
    max_grad_norm: float | None = Field(default=1.0, gt=0, le=1e9, description="null: no clipping.")
    max_skipped_steps: Count = Field(
        default=10, description="Non-finite steps in a row after which the run has diverged."
    )
    on_divergence: Literal["fail", "rewind"] = Field(
        default="rewind",
        description="What a diverged run does: fail, or go back to the newest checkpoint and go on"
        " with other data. Without a checkpoint it fails.",
    )
    max_rewinds: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="How often a run may rewind; the next divergence fails it.",
    )
    spike_z_score: float | None = Field(
        default=6.0,
        gt=0,
        le=1e9,
        description="Report a loss this many standard deviations above the mean of the steps "
        "before it; null: never. By chance, 6 comes once in 50 million steps of normal noise.",
    )
    spike_window: int = Field(
        default=100,
        ge=2,
        le=10_000,
        description="Steps that a loss is compared with, and the fewest between two reports. "
        "100: the deviation is known to 7%, and the trend of the loss is still small.",
    )
    parallelism: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="ddp: each GPU has the whole model; fsdp: some rows of each tensor.",
    )
    gradient_checkpointing: bool = False
    compile: bool = Field(default=True, description="torch.compile, where a compiler is found.")
    log_every: Steps = Field(default=10, description="Steps between two reports of the loss.")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("give exactly one of `steps`, `tokens`")
        return self


class OptimizerSpec(Spec):
    name: Literal["adamw", "adamw_8bit"] = Field(
        default="adamw",
        description="adamw_8bit keeps the moments of larger tensors in 8 bits (arXiv 2110.02861); "
        "it needs the extra `quantization`.",
    )
    learning_rate: float = Field(default=1.0e-3, gt=0, le=1e6)
    low_rank_learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="In the low-rank phase; default twice `learning_rate`.",
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.95,
    )
    eps: float = Field(default=1.0e-8, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1e6, description="On matrices, not on norms.")


class ScheduleSpec(Spec):
    name: Literal["jagged_cosine", "cosine", "linear", "wsd"] = Field(
        default="jagged_cosine",
        description="Only `jagged_cosine` climbs again after the switch to low rank and after "
        "each restart; under the others, fresh factors meet the full rate. `wsd`: warm-up, "
        "stable, decay.",
    )
    warmup_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Default 500 or a fortieth of the steps, whichever is smaller.",
    )
    restart_warmup_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Re-warm after the switch to low rank and after each restart; default 100 or "
        "a tenth of `reset_every`, whichever is smaller.",
    )
    decay_steps: Steps | None = Field(
        default=None, description="Of `wsd`: its last steps; default a tenth of the steps."
    )
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1)


class EvaluationSpec(Spec):
    every: Steps | None = Field(default=1000, description="null: only at the start and the end.")
    tokens: int = Field(
        default=1_000_000,
        ge=1,
        le=10**12,
        description="How many of the first tokens of the validation split are scored.",
    )
    images: int = Field(
        default=50_000,
        ge=1,
        le=10**9,
        description="How many images of the validation split are scored: a fixed choice.",
    )


class SpectrumSpec(Spec):
    """How the singular values of the total update W - W0 grow: `reports/spectrum.json`."""

    enabled: Literal["auto"] | bool = Field(
        default="auto",
        description="At each restart and at the end; auto: where the target layers hold at most "
        "32M weights. Costs a copy of these weights in fp32, in the main process's memory and in "
        "every checkpoint, and the time that `train.spectrum` tells.",
    )
    every: Steps | None = Field(
        default=None,
        description="Steps between further measurements, so that a run without restarts has a "
        "curve too.",
    )
    since_step: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="W0 is the weight before this step; default where low rank begins, and 0 for "
        "full rank. Give a full-rank run the step of the run that it is compared with.",
    )


class CheckpointSpec(Spec):
    every: Steps = 1000
    keep_last: Count = 3
    keep_every: Steps | None = Field(default=None, description="Milestones that are never deleted.")

    def expired(self, steps: Sequence[int]) -> list[int]:
        """Of the checkpoints there are, oldest first, those that make room for the newer."""
        return [
            step
            for step in steps[: -self.keep_last]
            if self.keep_every is None or step % self.keep_every
        ]


class ExportSpec(Spec):
    every: Steps | None = Field(
        default=None,
        description="Steps between merged models during the run; the final one is always exported.",
    )
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
