"""The whole spec of a run, and the values that its defaults resolve to."""

from collections.abc import Iterator, Mapping
from functools import partial
from math import lcm
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, ValidationInfo, model_validator

from relora_core.counted import counted
from relora_core.events import Unit
from relora_core.presets import RECIPES, expand_recipe, preset_config
from relora_core.spec.accepted import was_accepted
from relora_core.spec.data import DataSpec, Source
from relora_core.spec.factors import check_factors
from relora_core.spec.method import LowRank, MethodSpec, ReloraMethod, ignored_fields
from relora_core.spec.model import (
    ConfigModel,
    ModelSpec,
    NoTokenizer,
    PresetModel,
    PretrainedModel,
    TokenizerSpec,
    TrainedTokenizer,
    with_own_tokenizer,
)
from relora_core.spec.optimizer import AdamwOptimizer, OptimizerSpec
from relora_core.spec.part import Line, Spec, SpecWarning, SpecWarnings
from relora_core.spec.phases import Phases, default_restart_warmup
from relora_core.spec.restarts import check_restarts
from relora_core.spec.scores import check_score
from relora_core.spec.sources import (
    check_document_mask,
    check_mixture,
    check_sources,
    check_token_ids,
)
from relora_core.spec.targets import Targets
from relora_core.spec.task import TaskName, check_fields
from relora_core.spec.training import (
    CheckpointSpec,
    EvaluationSpec,
    ExportSpec,
    ScheduleSpec,
    SpectrumSpec,
    TrainingSpec,
)
from relora_core.spec.written import SpecConflict, check_written
from relora_core.suggestions import no_such

# The fields for the service in the file that a person writes (`JobSpec`). The trainer skips them.
SERVICE_FIELDS = frozenset(
    {"labels", "priority", "resources", "output", "retries", "secrets", "trackers", "webhooks"}
)


class TrainSpec(Spec):
    """All that a run needs. Immutable; two equal specs describe the same run."""

    version: Literal[1] = Field(default=1, description="Version of the format of the spec.")
    name: Line = Field(default="relora", description="Name of the run, for people.")
    recipe: str | None = Field(
        default=None,
        max_length=200,
        description="The name of a run of the paper that `relora recipes list` prints. It fills in "
        "the spec; what is written beside it wins. Default: none.",
    )
    task: TaskName = Field(default="causal_lm", description="What the model is trained to do.")
    model: ModelSpec = Field(description="The shape of the model, and where its weights come from.")
    tokenizer: TokenizerSpec = Field(
        default=TrainedTokenizer(),
        description="How text becomes tokens. A model that starts from pretrained weights takes "
        "its own tokenizer if none is given.",
    )
    data: DataSpec
    method: MethodSpec = Field(
        default=ReloraMethod(),
        description="How the weights are trained. A name alone is enough: `method: relora`.",
    )
    training: TrainingSpec
    optimizer: OptimizerSpec = Field(
        default=AdamwOptimizer(),
        description="The optimizer and its learning rates. Without a `name` it is AdamW.",
    )
    schedule: ScheduleSpec = ScheduleSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    spectrum: SpectrumSpec = SpectrumSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    export: ExportSpec = ExportSpec()

    _warnings: SpecWarnings = PrivateAttr(default=SpecWarnings())

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: object, info: ValidationInfo) -> object:
        """Fill in the recipe and the model's tokenizer. Written fields override the recipe.

        The tokenizer of a written pretrained model overrides it too.
        """
        if not was_accepted(info):
            check_written(data)
        if not isinstance(data, Mapping):
            return data
        data = with_own_tokenizer(data)
        if not isinstance(data.get("recipe"), str):
            return data
        if data["recipe"] not in RECIPES:
            raise SpecConflict("recipe", no_such("recipe", data["recipe"], RECIPES))
        return expand_recipe(data)

    @model_validator(mode="wrap")
    @classmethod
    def _collect_warnings(cls, data: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        spec = validate(data)
        if isinstance(data, Mapping):
            spec._warnings = SpecWarnings(tuple(spec._find_warnings(data)))
        return spec

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        if was_accepted(info):
            return self
        check_fields(self, self.task)
        self._check_task()
        length = counted(self.total_steps, "step")
        if self.warmup_steps >= self.total_steps:
            raise SpecConflict(
                "schedule.warmup_steps",
                f"must be less than the {length} of training; got {self.warmup_steps}",
            )
        self._check_decay()
        check_sources(self.sources(), self.task)
        check_document_mask(self.data, self.model)
        check_mixture(self.data, self.evaluation, total_steps=self.total_steps)
        self._check_scores()
        since = self.spectrum.since_step
        if since is not None and since >= self.total_steps:
            raise SpecConflict(
                "spectrum.since_step",
                f"must be less than the {length} of training; got {since}",
            )
        self._check_rank()
        self._check_variant()
        check_factors(self.method, self.optimizer, self.training)
        self._check_tokenizer()
        self._check_start()
        self._check_optimizer()
        self._check_parallelism()
        if self.phases.first == "warm_start" and self.warm_start_steps >= self.total_steps:
            raise SpecConflict(
                "method.warm_start_steps",
                f"must be less than the {length} of training, or nothing is "
                f"left for low rank; got {self.warm_start_steps}",
            )
        check_restarts(self.method, self.phases, restart_warmup_steps=self.restart_warmup_steps)
        return self

    def _check_tokenizer(self) -> None:
        if isinstance(self.tokenizer, NoTokenizer):
            check_token_ids(self.sources(), self.model, self.tokenizer)
        if not isinstance(self.tokenizer, TrainedTokenizer):
            return
        if self.starts_from_weights and self.task == "causal_lm":
            raise SpecConflict(
                "tokenizer",
                "a new tokenizer gives the tokens other numbers than those that the embeddings of "
                "model.pretrained stand for; leave it out to take the model's own, or set "
                "model.init to random",
            )
        if any(source.holds_tokens for _, source in self.sources()):
            raise SpecConflict(
                "tokenizer",
                "the data are token ids, which only the tokenizer that made them can read; give "
                "it as {pretrained: NAME}, or, if there is none, the id that ends a document as "
                "{eos_token_id: ID}",
            )

    def _check_decay(self) -> None:
        if self.schedule.decay_steps is not None and self.schedule.name != "wsd":
            raise SpecConflict(
                "schedule.decay_steps", f"belongs to wsd; the schedule is {self.schedule.name}"
            )
        stable = self.total_steps - self.warmup_steps
        if self.schedule.name == "wsd" and self.decay_steps > stable:
            raise SpecConflict(
                "schedule.decay_steps",
                f"must be at most the {counted(stable, 'step')} after the warm-up; "
                f"got {self.decay_steps}",
            )

    def _check_scores(self) -> None:
        check = partial(check_score, task=self.task, data=self.data, sets=self.evaluation.sets)
        check("training.stop_when.metric", self.training.stop_when.metric)
        best, evaluated = self.checkpoint.keep_best, self.evaluation.every
        if best is None:
            if self.export.from_ == "best":
                raise SpecConflict("export.from", "best needs checkpoint.keep_best")
            return
        check("checkpoint.keep_best.metric", best.metric)
        if evaluated is None or lcm(evaluated, self.checkpoint.every) > self.total_steps:
            raise SpecConflict(
                "checkpoint.keep_best",
                "no checkpoint but the last is evaluated; let evaluation.every divide "
                "checkpoint.every",
            )

    def _check_task(self) -> None:
        if isinstance(self.model, PresetModel) and self.model.task != self.task:
            raise SpecConflict(
                "model.preset",
                f"{self.model.preset} is a model for task {self.model.task}, not {self.task}",
            )

    def _find_warnings(self, written: Mapping[str, Any]) -> Iterator[SpecWarning]:
        """Yield warnings about settings that are valid but probably not intended."""
        yield from ignored_fields(written.get("method"), self.method)
        first, hidden = self.phases.first_restart(), self._hidden_size()
        if first is not None and first >= self.total_steps:
            yield SpecWarning(
                f"method.{'shortest_cycle' if self.phases.is_automatic else 'reset_every'}",
                f"leaves no restart: the first would come after the "
                f"{counted(self.total_steps, 'step')} of training; it is {self.reset_every}",
                code="no_restart",
            )
        method = self.method if "rank" in self.method.model_fields_set else None
        if isinstance(method, LowRank) and hidden and method.rank >= hidden:
            yield SpecWarning(
                "method.rank",
                f"is no low rank: the hidden size of the model is {hidden}; it is {method.rank}",
                code="rank_not_low",
            )

    def _hidden_size(self) -> int | None:
        if isinstance(self.model, PresetModel):
            return int(preset_config(self.model.preset)["hidden_size"])
        config = self.model.config if isinstance(self.model, ConfigModel) else {}
        hidden = config.get("hidden_size")
        return hidden if isinstance(hidden, int) else None

    def _check_rank(self) -> None:
        if isinstance(self.method, Targets) and isinstance(self.model, PresetModel):
            hidden = preset_config(self.model.preset)["hidden_size"]
            if self.method.rank > hidden:
                raise SpecConflict(
                    "method.rank",
                    f"must be at most the hidden size of {self.model.preset} ({hidden}); "
                    f"got {self.method.rank}",
                )

    def _check_parallelism(self) -> None:
        if not self.training.shards:
            return
        for part, chosen in (("optimizer", self.optimizer), ("method", self.method)):
            if chosen.fsdp_conflict is not None:
                raise SpecConflict(
                    f"{part}.name",
                    f"{chosen.name} {chosen.fsdp_conflict} under training.parallelism "
                    f"{self.training.parallelism}; "
                    f"take another {part}, or ddp",
                )

    def _check_variant(self) -> None:
        method = self.method
        if isinstance(method, LowRank) and method.variant == "merged" and method.dropout:
            raise SpecConflict(
                "method.variant",
                "merged has no low-rank branch that method.dropout could act on; take auto or "
                "branches, or a dropout of 0",
            )

    def _check_start(self) -> None:
        """Raise `SpecConflict` if weights come from two places or cannot be used."""
        weights = self.starts_from_weights
        if weights and not self.method.takes_weights:
            raise SpecConflict(
                "model.init",
                f"{self.method.name} starts from random weights, since it has layers of another "
                "shape; set it to random",
            )
        if not isinstance(self.method, LowRank) or self.method.warm_start_from is None:
            return
        if self.method.warm_start_steps is not None:
            raise SpecConflict(
                "method.warm_start_from", "stands for warm_start_steps; give one of the two"
            )
        if weights:
            raise SpecConflict(
                "model.init", "method.warm_start_from gives the weights already; set it to random"
            )

    def _check_optimizer(self) -> None:
        optimizer = self.optimizer
        if None not in (optimizer.factor_learning_rate, optimizer.low_rank_learning_rate):
            raise SpecConflict(
                "optimizer.factor_learning_rate",
                "is the rate of A and B alone, low_rank_learning_rate that of all that the "
                "low-rank phase trains; give one of the two",
            )
        possible = self.method.optimizers
        if possible is not None and optimizer.name not in possible:
            raise SpecConflict(
                "optimizer.name",
                f"{self.method.name} runs with {' or '.join(possible)} alone; got {optimizer.name}",
            )

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Yield the path of each source in the spec, and the source."""
        yield from self.data.sources()
        for name, source in self.evaluation.sets.items():
            yield f"evaluation.sets.{name}", source

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield the path of each URI of data in the spec, and the URI."""
        for path, source in self.sources():
            yield from source.places(path)

    @property
    def warnings(self) -> tuple[SpecWarning, ...]:
        """The warnings about this valid spec."""
        return self._warnings.items

    # The values of settings that the spec leaves out. The paper's values (arXiv 2307.05695,
    # appendix A) are for runs of 20,000 steps. Shorter runs use the same shares of their steps.

    @property
    def starts_from_weights(self) -> bool:
        """Whether the model starts from pretrained weights. A warm start does not count."""
        return isinstance(self.model, PretrainedModel) and self.model.init == "weights"

    @property
    def unit(self) -> Unit:
        """The unit of `tokens_per_step` and of the counts in events."""
        return "images" if self.task == "image_classification" else "tokens"

    @property
    def tokens_per_step(self) -> int:
        """The tokens of an optimizer step, or its images for image classification."""
        if self.task == "image_classification":
            return self.training.global_batch_size
        return self.training.global_batch_size * self.data.sequence_length

    @property
    def total_steps(self) -> int:
        """The optimizer steps of the whole run."""
        if self.training.steps is not None:
            return self.training.steps
        assert self.training.tokens is not None
        return -(-self.training.tokens // self.tokens_per_step)

    @property
    def phases(self) -> Phases:
        return self.method.phases(self.total_steps)

    @property
    def warm_start_steps(self) -> int:
        """The full-rank steps before the low-rank phase; all steps for a full-rank method."""
        return self.phases.first_steps

    @property
    def reset_every(self) -> int | None:
        """The steps between restarts, or the fewest, or None for a method without restarts."""
        return self.phases.reset_every

    @property
    def warmup_steps(self) -> int:
        if self.schedule.warmup_steps is not None:
            return self.schedule.warmup_steps
        return min(500, self.total_steps // 40)

    @property
    def restart_warmup_steps(self) -> int:
        if self.schedule.restart_warmup_steps is not None:
            return self.schedule.restart_warmup_steps
        return default_restart_warmup(self.reset_every or self.total_steps)

    @property
    def decay_steps(self) -> int:
        """The steps at the end of a `wsd` schedule in which the learning rate decays."""
        return self.schedule.decay_steps or max(1, self.total_steps // 10)

    @property
    def spectrum_since_step(self) -> int:
        """The step before which the weights are W0; the total update is W - W0."""
        if self.spectrum.since_step is not None:
            return self.spectrum.since_step
        return 0 if self.phases.first == "full_rank" else self.phases.first_steps

    @property
    def low_rank_learning_rate(self) -> float:
        """The peak rate of the low-rank phase, except for factors with a rate of their own."""
        if self.optimizer.factor_learning_rate is not None:
            return self.optimizer.learning_rate
        return self.optimizer.low_rank_learning_rate or 2 * self.optimizer.learning_rate


def train_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a written spec without the fields for the service."""
    return {key: value for key, value in document.items() if key not in SERVICE_FIELDS}
