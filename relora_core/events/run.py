"""The events of a run: start, phases, steps, evaluations, warnings, rewinds and end."""

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, Field

from relora_core.counted import counted, in_epochs
from relora_core.events.event import Event, Phase, Unit
from relora_core.events.json_float import JsonFloat


class SourceRead(BaseModel):
    """How much of a source of a mixture was read."""

    name: str
    tokens: int
    epochs: float


class TrainStarted(Event):
    type: Literal["train.started"] = "train.started"
    step: int = Field(description="The step to take next; above 0 when resumed.")
    total_steps: int
    parameters: int
    tokens_per_step: int
    unit: Unit = Field(default="tokens", description="What `tokens_per_step` counts.")
    world_size: int
    device: str
    epochs: float | None = Field(
        default=None,
        description="How often the whole run reads its training data; null: it is a mixture.",
    )
    sources: list[SourceRead] = Field(
        default_factory=list, description="What the whole run reads of each source of a mixture."
    )

    def __str__(self) -> str:
        how = f"resuming at step {self.step}" if self.step else "starting"
        epochs = "" if self.epochs is None else f", {in_epochs(self.epochs)} of the data"
        if self.sources:
            read = (f"{in_epochs(source.epochs)} of {source.name}" for source in self.sources)
            epochs = f", {', '.join(read)}"
        return (
            f"{how}: {self.parameters / 1e6:.2f}M parameters on {self.world_size} x {self.device}, "
            f"{counted(self.total_steps, 'step')} of {self.tokens_per_step:,} {self.unit}{epochs}"
        )


class WarmStarted(Event):
    """The run begins with the weights that `method.warm_start_from` names."""

    type: Literal["train.warm_start"] = "train.warm_start"
    source: str = Field(description="As the spec names it.")
    checkpoint: str | None = Field(
        default=None, description="The checkpoint that was taken; null: a Hugging Face model."
    )

    def __str__(self) -> str:
        of_a_run = f", {self.checkpoint}" if self.checkpoint else ""
        return f"warm start: weights of {self.source}{of_a_run}"


class PhaseStarted(Event):
    type: Literal["train.phase"] = "train.phase"
    step: int
    phase: Phase
    trainable_parameters: int
    frozen_parameters: int
    target_parameters: int | None = Field(
        default=None, description="Of the method control: how many ReLoRA trains, to be matched."
    )

    def __str__(self) -> str:
        frozen = f", {self.frozen_parameters / 1e6:.2f}M frozen" if self.frozen_parameters else ""
        trainable = f"{self.trainable_parameters / 1e6:.2f}M trainable"
        return (
            f"step {self.step}: {self.phase.replace('_', ' ')} begins, "
            f"{trainable}{self._against_target()}{frozen}"
        )

    def _against_target(self) -> str:
        if self.target_parameters is None:
            return ""
        share = self.trainable_parameters / self.target_parameters
        return f", {share - 1:+.2%} of the {self.target_parameters / 1e6:.2f}M that ReLoRA trains"


class StepFinished(Event):
    """The mean over the steps since the last such event; `step` counts finished steps."""

    type: Literal["train.step"] = "train.step"
    step: int
    total_steps: int
    phase: Phase
    loss: JsonFloat
    learning_rate: float
    factor_learning_rate: float | None = Field(
        default=None,
        description="Of A and B, if they have their own; the highest of all layers.",
    )
    grad_norm: JsonFloat
    tokens_seen: int
    tokens_per_second: JsonFloat
    unit: Unit = Field(default="tokens", description="What the two above count.")
    epoch: float | None = Field(
        default=None,
        description="How often the training data was read by then: 1.5 epochs. null: it is a "
        "mixture.",
    )
    sources: list[SourceRead] = Field(
        default_factory=list, description="What was read by then of each source of a mixture."
    )
    restarts: int
    mfu: float | None = Field(
        default=None,
        description="Model FLOPs utilization: the share of the GPUs' peak that full-rank training "
        "would take at this pace. null: the peak of the device is not known, as of a CPU.",
    )
    hfu: float | None = Field(
        default=None,
        description="Hardware FLOPs utilization: the share that the executed arithmetic takes, "
        "with what is recomputed.",
    )
    step_seconds: float | None = Field(
        default=None,
        description="Mean time of a step, without those in which the compiler works. null: all "
        "were such steps.",
    )
    data_wait_seconds: float | None = Field(
        default=None, description="How much of that a step waits for its data."
    )
    memory_allocated_bytes: int | None = Field(
        default=None, description="Of tensors on a GPU or, on a CPU, of the process."
    )
    memory_peak_bytes: int | None = Field(default=None, description="The highest of that so far.")
    gpu_utilization: float | None = Field(
        default=None, description="Share of the last moments in which a kernel ran, 0 to 1."
    )
    gpu_temperature_celsius: float | None = None
    gpu_power_watts: float | None = None

    def __str__(self) -> str:
        factors = self.factor_learning_rate
        return (
            f"step {self.step}/{self.total_steps} {self.phase.replace('_', ' ')}: "
            f"loss {self.loss:.4f}, lr {self.learning_rate:.2e}, "
            f"{'' if factors is None else f'of A and B {factors:.2e}, '}"
            f"{self.tokens_per_second:,.0f} {self.unit}/s"
        )


class _Scores(Event):
    step: int
    loss: JsonFloat
    perplexity: JsonFloat | None = Field(default=None, description="Of language models.")
    tokens: int | None = Field(default=None, description="How many were scored.")
    accuracy: float | None = Field(
        default=None, description="Of image classifiers: share of images with the right label."
    )
    top5_accuracy: float | None = Field(
        default=None, description="The right label among the five likeliest, of more than five."
    )
    images: int | None = Field(default=None, description="How many were scored.")

    @property
    def scores(self) -> dict[str, float]:
        """The scores that the task has, by name."""
        names = ("loss", "perplexity", "accuracy", "top5_accuracy")
        scores: dict[str, float | None] = {name: getattr(self, name) for name in names}
        return {name: value for name, value in scores.items() if value is not None}

    def _text(self, data: str) -> str:
        score = _score(self.perplexity, self.accuracy)
        return f"step {self.step}: {data} loss {self.loss:.4f}{score}"


class Evaluated(_Scores):
    """Loss on the first examples of the validation data, weighted by target.

    Of a mixture, it is the mean of the losses on its sources, by their weights in `data.train`.
    """

    type: Literal["train.eval"] = "train.eval"

    def __str__(self) -> str:
        return self._text("validation")


class SetEvaluated(_Scores):
    """Loss on one of several validation sets, or on the held-out part of a mixture's source."""

    type: Literal["train.eval_set"] = "train.eval_set"
    set: str = Field(description="The name of the set, or of the source.")

    def __str__(self) -> str:
        return self._text(f"{self.set} validation")


class SpectrumMeasured(Event):
    """The singular values of the total update, W before this step minus W0; means over layers.

    The means of condition numbers are geometric.
    """

    type: Literal["train.spectrum"] = "train.spectrum"
    step: int
    restart: int = Field(description="Restarts by then, with one that comes before this step.")
    layers: int
    effective_rank: float
    stable_rank: float
    numerical_rank: float
    condition_number: float | None = Field(
        default=None,
        description="The largest over the smallest singular value that the numerical rank counts; "
        "null if not all were computed.",
    )
    weight_effective_rank: float | None = Field(default=None, description="Of W itself.")
    weight_condition_number: float | None = Field(default=None, description="Of W itself.")
    path: str = Field(description="Relative to the workdir; the picture lies beside it.")
    seconds: float = Field(description="How long the step loop waited.")

    def __str__(self) -> str:
        return (
            f"step {self.step}: the update of {counted(self.layers, 'layer')} has rank "
            f"{self.numerical_rank:.1f}, effective rank {self.effective_rank:.1f}, "
            f"stable rank {self.stable_rank:.1f}{self._condition()}"
        )

    def _condition(self) -> str:
        number = self.condition_number
        return "" if number is None else f", condition number {number:,.3g}"


class PhaseMemory(BaseModel):
    """The peak memory of a phase, or of the part that an attempt ran, beside the estimate."""

    phase: Phase
    from_step: int = Field(description="The first step of this part.")
    step: int = Field(description="The step that came next.")
    micro_batch_size: int
    peak_bytes: int = Field(
        description="The most of any rank: of torch's tensors on a GPU; on a CPU, of the process "
        "since it began."
    )
    estimated_bytes: int | None = Field(
        default=None,
        description="The estimate for a GPU and this micro-batch; null on a CPU, with `fsdp` and "
        "for models that cannot be estimated.",
    )


class MemoryMeasured(PhaseMemory, Event):
    """A phase ended, or this attempt of it: its peak memory beside the estimate.

    The search for the micro-batch size is not counted.
    """

    type: Literal["train.memory"] = "train.memory"
    path: str = Field(description="Relative to the workdir.")

    def __str__(self) -> str:
        estimate = self.estimated_bytes
        beside = "" if estimate is None else f", {self.peak_bytes / estimate:.0%} of the estimate"
        return (
            f"step {self.step}: peak memory of {self.phase.replace('_', ' ')} "
            f"{self.peak_bytes / 1024**3:.2f} GiB{beside}, {self.micro_batch_size} at once"
        )


class Warned(Event):
    """A warning for the user. The run continues."""

    type: Literal["train.warning"] = "train.warning"
    code: str
    message: str
    step: int | None = None

    def __str__(self) -> str:
        return f"warning: {self.message}"


class LossSpiked(Event):
    """A step's loss was far above the steps before it; the step was taken."""

    type: Literal["train.loss_spike"] = "train.loss_spike"
    step: int
    loss: JsonFloat
    mean: JsonFloat = Field(description="Of the steps before.")
    deviation: JsonFloat = Field(description="Their standard deviation.")
    z_score: JsonFloat

    def __str__(self) -> str:
        return (
            f"step {self.step}: loss {self.loss:.4f} is a spike, {self.z_score:.1f} standard "
            f"deviations above the mean of {self.mean:.4f}"
        )


class Rewound(Event):
    """Too many steps in a row were not finite: the steps since a checkpoint are undone."""

    type: Literal["train.rewind"] = "train.rewind"
    from_step: int
    to_step: int = Field(description="Of the checkpoint; the step to take next.")
    passed_over_steps: int = Field(description="Steps whose data is passed over.")
    number: int = Field(description="1 for the first rewind of the run.")

    def __str__(self) -> str:
        return (
            f"rewind {self.number}: from step {self.from_step} back to {self.to_step}, on with "
            f"other data; that of {counted(self.passed_over_steps, 'step')} is passed over"
        )


class TrainFinished(Event):
    type: Literal["train.finished"] = "train.finished"
    step: int
    tokens_seen: int
    unit: Unit = Field(default="tokens", description="What `tokens_seen` counts.")
    restarts: int
    skipped_steps: int
    seconds: float
    loss: JsonFloat | None = Field(default=None, description="Validation loss at the end.")
    perplexity: JsonFloat | None = None
    accuracy: float | None = None
    peak_memory_bytes: int | None = Field(
        default=None, description="Of a GPU or, on a CPU, of the process; in this attempt."
    )
    stop_reason: str | None = Field(
        default=None, description="Why the run ended before its last step, if it did."
    )
    exported_step: int | None = Field(
        default=None, description="The step whose weights the final model has."
    )

    def __str__(self) -> str:
        return (
            f"trained {counted(self.step, 'step')}, {self.tokens_seen:,} {self.unit}, "
            f"{counted(self.restarts, 'restart')} "
            f"in {timedelta(seconds=round(self.seconds))}"
            f"{_score(self.perplexity, self.accuracy)}"
            f"{f', ended early: {self.stop_reason}' if self.stop_reason else ''}"
        )


class TrainStopped(Event):
    """The run was asked to stop. It saved a checkpoint and ended."""

    type: Literal["train.stopped"] = "train.stopped"
    step: int

    def __str__(self) -> str:
        return f"stopped before step {self.step}, saved"


class TrainFailed(Event):
    type: Literal["train.failed"] = "train.failed"
    code: str
    message: str
    retryable: bool = Field(description="Whether another attempt could succeed.")

    def __str__(self) -> str:
        return f"training failed ({self.code}): {self.message}"


def _score(perplexity: float | None, accuracy: float | None) -> str:
    if accuracy is not None:
        return f", accuracy {accuracy:.2%}"
    return "" if perplexity is None else f", perplexity {perplexity:,.2f}"
