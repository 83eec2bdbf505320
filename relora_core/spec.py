"""What a run is told: `TrainSpec` and its parts. Frozen, torch-free, without I/O.

The server validates with the very classes that the trainer reads. Steps are optimizer
steps, sizes are sequences or tokens as the field says.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, assert_never

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from relora_core.presets import MODELS, RECIPES, expand_recipe

Steps = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]

# The service's part of the one file a person writes (`jobs.models.JobSpec`); a run alone skips it.
SERVICE_FIELDS = frozenset({"labels", "resources", "output", "retries"})


class SpecConflict(ValueError):
    """Fields that do not fit together; `path` is the one to change."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class Spec(BaseModel):
    """A part of the spec: immutable, and a field that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_of(*keys: str) -> Discriminator:
    """Choose the variant by the one key that only it has, with an error that names them all."""

    def present(value: object) -> str | None:
        if isinstance(value, BaseModel):
            found = [key for key in keys if key in type(value).model_fields]
        else:
            found = [key for key in keys if isinstance(value, Mapping) and key in value]
        return found[0] if len(found) == 1 else None

    choices = ", ".join(f"`{key}`" for key in keys)
    return Discriminator(
        present,
        custom_error_type="one_of",
        custom_error_message=f"give exactly one of {choices}",
    )


# --- model and tokenizer -------------------------------------------------------------------


class PresetModel(Spec):
    preset: str = Field(description="A name of `relora_core.presets.MODELS`, e.g. llama_130m.")

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        if preset not in MODELS:
            raise ValueError(f"no preset {preset!r}; there are {', '.join(MODELS)}")
        return preset


class ConfigModel(Spec):
    config: dict[str, Any] = Field(
        description="A Hugging Face model config with its `model_type`; the vocabulary size is "
        "taken from the tokenizer."
    )

    @field_validator("config")
    @classmethod
    def _has_model_type(cls, config: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(config.get("model_type"), str):
            raise ValueError("needs a `model_type`, e.g. llama")
        return config


class PretrainedModel(Spec):
    pretrained: str = Field(min_length=1, description="A Hugging Face model: a name or a folder.")
    init: Literal["weights", "random"] = Field(
        default="weights", description="Start from its weights, or from its shape alone."
    )


ModelSpec = Annotated[
    Annotated[PresetModel, Tag("preset")]
    | Annotated[ConfigModel, Tag("config")]
    | Annotated[PretrainedModel, Tag("pretrained")],
    _one_of("preset", "config", "pretrained"),
]


class TokenizerTraining(Spec):
    vocab_size: int = Field(default=8192, ge=257, description="Byte-level BPE; 256 are the bytes.")


class TrainedTokenizer(Spec):
    train: TokenizerTraining = TokenizerTraining()


class PretrainedTokenizer(Spec):
    pretrained: str = Field(min_length=1, description="A Hugging Face tokenizer: name or folder.")


TokenizerSpec = Annotated[
    Annotated[TrainedTokenizer, Tag("train")] | Annotated[PretrainedTokenizer, Tag("pretrained")],
    _one_of("train", "pretrained"),
]


# --- data ----------------------------------------------------------------------------------

SOURCE_SCHEMES = ("file://", "s3://", "hf://")


class Source(Spec):
    uri: str = Field(
        description="file:///data/*.jsonl.gz, s3://bucket/key*.parquet, "
        "hf://NAME?config=en&split=train&revision=..., or a plain path. "
        "Formats by extension: txt (a file is one document), jsonl or json (an object a line) and "
        "parquet; all but parquet also as .gz or .zst."
    )
    text_field: str = Field(default="text", description="The field of a row that holds its text.")

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, uri: str) -> str:
        scheme, separator, rest = uri.partition("://")
        if separator and f"{scheme}://" not in SOURCE_SCHEMES:
            raise ValueError(f"cannot read {uri!r}; use {', '.join(SOURCE_SCHEMES)} or a path")
        if not (rest if separator else uri):
            raise ValueError(f"{uri!r} names no data")
        return uri


class HeldOut(Spec):
    fraction: Share = Field(default=0.01, description="Share of the documents held out.")


ValidationSpec = Annotated[
    Annotated[HeldOut, Tag("fraction")] | Annotated[Source, Tag("uri")], _one_of("fraction", "uri")
]


class DataSpec(Spec):
    train: Source
    validation: ValidationSpec = HeldOut()
    sequence_length: int = Field(default=512, ge=2, description="Tokens in a sequence.")
    max_bad_rows: float = Field(
        default=0.01, ge=0, le=1, description="Share of unreadable rows over which the run fails."
    )


# --- method --------------------------------------------------------------------------------


class MagnitudeReset(Spec):
    """Keep the entries with the largest first moment (arXiv 2307.05695, section 3)."""

    mode: Literal["magnitude"] = "magnitude"
    ratio: float = Field(default=0.9, gt=0, lt=1, description="Share of the state that is cleared.")


class RandomReset(Spec):
    """Keep a random part of the entries."""

    mode: Literal["random"] = "random"
    ratio: float = Field(default=0.9, gt=0, lt=1, description="Share of the state that is cleared.")


class ZeroReset(Spec):
    """Clear both moments and the step count."""

    mode: Literal["zero"] = "zero"


OptimizerReset = Annotated[MagnitudeReset | RandomReset | ZeroReset, Field(discriminator="mode")]


class FullMethod(Spec):
    """Every weight is trained, from the first step to the last."""

    name: Literal["full"] = "full"


class LowRank(Spec):
    """What every method has that trains W + (alpha / rank) B A with W frozen."""

    rank: int = Field(default=128, ge=1)
    alpha: float = Field(default=32.0, gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="On the input of the update.")
    target_modules: Literal["all_linear"] | list[str] = Field(
        default="all_linear",
        description="Every linear layer of the transformer blocks, or patterns of their names, "
        "such as `*.q_proj`.",
    )
    frozen_dtype: Literal["fp32", "bf16"] = Field(
        default="bf16", description="How W is stored; what it cannot hold is kept as a residual."
    )
    warm_start_steps: int | None = Field(default=None, ge=0)


class LoraMethod(LowRank):
    """One low-rank update for the whole run (arXiv 2106.09685), warm-started if asked."""

    name: Literal["lora"] = "lora"
    warm_start_steps: int | None = Field(
        default=None, ge=0, description="Full-rank steps before; default 0."
    )


class ReloraMethod(LowRank):
    """Low-rank updates in cycles, each merged into W at its end (arXiv 2307.05695)."""

    name: Literal["relora"] = "relora"
    warm_start_steps: int | None = Field(
        default=None,
        ge=0,
        description="Full-rank steps before the first cycle; default 5000 or a quarter of the "
        "steps, the smaller.",
    )
    reset_every: Steps | None = Field(
        default=None,
        description="A restart comes before each later multiple of this step; default 5000 or a "
        "quarter of the steps, the smaller.",
    )
    optimizer_reset: OptimizerReset = MagnitudeReset()


_METHODS: dict[str, type[Spec]] = {"full": FullMethod, "lora": LoraMethod, "relora": ReloraMethod}


def _set_aside_fields_of_other_methods(value: object) -> object:
    """Let a comparison change `name` alone: what only another method knows is left out."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or value.get("name") not in _METHODS:
        return value
    own = _METHODS[value["name"]].model_fields
    known = {field for method in _METHODS.values() for field in method.model_fields}
    return {key: item for key, item in value.items() if key in own or key not in known}


MethodSpec = Annotated[
    FullMethod | LoraMethod | ReloraMethod,
    Field(discriminator="name"),
    BeforeValidator(_set_aside_fields_of_other_methods),
]


# --- training ------------------------------------------------------------------------------


class TrainingSpec(Spec):
    steps: Steps | None = Field(default=None, description="Optimizer steps of the whole run.")
    tokens: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Instead of `steps`: tokens to see, rounded up to a whole step."
    )
    global_batch_size: int = Field(default=32, ge=1, description="Sequences per optimizer step.")
    micro_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="Sequences per forward pass; auto: as many as fit."
    )
    precision: Literal["bf16", "fp32"] = Field(default="bf16", description="Of the arithmetic.")
    seed: int = Field(default=0, ge=0)
    max_grad_norm: float | None = Field(default=1.0, gt=0, description="null: no clipping.")
    max_skipped_steps: int = Field(
        default=10, ge=1, description="Non-finite steps in a row after which the run fails."
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
    name: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=1.0e-3, gt=0)
    low_rank_learning_rate: float | None = Field(
        default=None, gt=0, description="In the low-rank phase; default twice `learning_rate`."
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.95,
    )
    eps: float = Field(default=1.0e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0, description="On matrices, not on norms.")


class ScheduleSpec(Spec):
    name: Literal["jagged_cosine", "cosine", "linear"] = "jagged_cosine"
    warmup_steps: int | None = Field(
        default=None, ge=0, description="Default 500 or a fortieth of the steps, the smaller."
    )
    restart_warmup_steps: int | None = Field(
        default=None,
        ge=0,
        description="Re-warm after the switch to low rank and after each restart; default 100 or "
        "a tenth of `reset_every`, the smaller.",
    )
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1)


class EvaluationSpec(Spec):
    every: Steps | None = Field(default=1000, description="null: only at the start and the end.")
    tokens: int = Field(default=1_000_000, ge=1, description="Of the validation split, the first.")


class CheckpointSpec(Spec):
    every: Steps = 1000
    keep_last: int = Field(default=3, ge=1)
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
        default=None, description="Merged models on the way; the final one is always exported."
    )
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"


# --- the whole -----------------------------------------------------------------------------


class TrainSpec(Spec):
    """All that a run needs. Immutable; two equal specs describe the same run."""

    version: Literal[1] = 1
    name: str = Field(default="relora", min_length=1, max_length=200)
    recipe: str | None = Field(
        default=None, description="A name of `relora_core.presets.RECIPES`; what is written wins."
    )
    model: ModelSpec
    tokenizer: TokenizerSpec = TrainedTokenizer()
    data: DataSpec
    method: MethodSpec = ReloraMethod()
    training: TrainingSpec
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    export: ExportSpec = ExportSpec()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_recipe(cls, data: object) -> object:
        if not isinstance(data, Mapping) or data.get("recipe") is None:
            return data
        if data["recipe"] not in RECIPES:
            raise SpecConflict(
                "recipe", f"no recipe {data['recipe']!r}; there are {', '.join(RECIPES)}"
            )
        return expand_recipe(data)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.warmup_steps >= self.total_steps:
            raise SpecConflict(
                "schedule.warmup_steps",
                f"must be less than the {self.total_steps} steps of training; "
                f"got {self.warmup_steps}",
            )
        self._check_rank()
        if self.method.name != "full" and self.warm_start_steps >= self.total_steps:
            raise SpecConflict(
                "method.warm_start_steps",
                f"must be less than the {self.total_steps} steps of training, or nothing is "
                f"left for low rank; got {self.warm_start_steps}",
            )
        if self.reset_every is not None and self.restart_warmup_steps >= self.reset_every:
            raise SpecConflict(
                "schedule.restart_warmup_steps",
                f"must be less than method.reset_every ({self.reset_every}); "
                f"got {self.restart_warmup_steps}",
            )
        return self

    def _check_rank(self) -> None:
        if isinstance(self.method, LowRank) and isinstance(self.model, PresetModel):
            hidden = MODELS[self.model.preset]["hidden_size"]
            if self.method.rank > hidden:
                raise SpecConflict(
                    "method.rank",
                    f"must be at most the hidden size of {self.model.preset} ({hidden}); "
                    f"got {self.method.rank}",
                )

    # What is left out of the spec, resolved. The paper's values (arXiv 2307.05695, appendix A)
    # belong to runs of 20,000 steps; shorter runs take the same shares.

    @property
    def tokens_per_step(self) -> int:
        return self.training.global_batch_size * self.data.sequence_length

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        if self.training.steps is not None:
            return self.training.steps
        assert self.training.tokens is not None
        return math.ceil(self.training.tokens / self.tokens_per_step)

    @property
    def warm_start_steps(self) -> int:
        """Full-rank steps before the low-rank phase; all of them for a full-rank method."""
        match self.method:
            case FullMethod():
                return self.total_steps
            case LoraMethod():
                return self.method.warm_start_steps or 0
            case ReloraMethod():
                if self.method.warm_start_steps is not None:
                    return self.method.warm_start_steps
                return min(5000, self.total_steps // 4)
            case _:
                assert_never(self.method)

    @property
    def reset_every(self) -> int | None:
        """Steps between restarts; None for a method without them."""
        if not isinstance(self.method, ReloraMethod):
            return None
        return self.method.reset_every or min(5000, max(1, self.total_steps // 4))

    @property
    def warmup_steps(self) -> int:
        if self.schedule.warmup_steps is not None:
            return self.schedule.warmup_steps
        return min(500, self.total_steps // 40)

    @property
    def restart_warmup_steps(self) -> int:
        if self.schedule.restart_warmup_steps is not None:
            return self.schedule.restart_warmup_steps
        return min(100, (self.reset_every or self.total_steps) // 10)

    @property
    def low_rank_learning_rate(self) -> float:
        return self.optimizer.low_rank_learning_rate or 2 * self.optimizer.learning_rate


def train_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a written spec that concerns the run itself."""
    return {key: value for key, value in document.items() if key not in SERVICE_FIELDS}
