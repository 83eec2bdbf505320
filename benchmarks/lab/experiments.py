"""What an experiment of the lab consists of, and the spec of each of its runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.lab.text.build import train_file, validation_file
from benchmarks.lab.text.sources import BIBLE, SOURCES
from relora_core.spec import TrainSpec

Stage = Literal["rates", "seeds"]
LEARNING_RATE = "optimizer.learning_rate"
FACTOR_RATE = "optimizer.factor_learning_rate"
SEED = "training.seed"
TEXTS = {"english": SOURCES, "bible": (BIBLE,)}


@dataclass(frozen=True)
class Rates:
    """The learning rates that are tried for an arm.

    With `base`, `learning_rate` is the best rate of that arm, and the values of the field are
    multiples of it.
    """

    values: tuple[float, ...]  # ascending
    field: str = LEARNING_RATE
    base: str | None = None


@dataclass(frozen=True)
class Arm:
    name: str
    title: str
    method: Mapping[str, Any]
    rates: Rates
    warm_start: float = 0.0  # share of the steps before the low-rank phase
    cycle: float = 1.0  # share of the steps between two restarts
    optimizer: Mapping[str, Any] = field(default_factory=dict)  # beside the rates
    schedule: Mapping[str, Any] = field(default_factory=dict)  # in place of the experiment's

    def method_at(self, steps: int) -> dict[str, Any]:
        """Return the method of a run of so many steps."""
        warm = round(self.warm_start * steps)
        method = dict(self.method)
        if method["name"] in {"lora", "relora"}:
            method |= {"frozen_dtype": "fp32", "warm_start_steps": warm}
        if method["name"] == "relora":
            method.setdefault("reset_every", round(self.cycle * steps))
        return method


@dataclass(frozen=True)
class Model:
    name: str
    config: Mapping[str, Any]
    vocabulary: int
    sequence_length: int = 128
    sequences: int = 16

    @property
    def tokens_per_step(self) -> int:
        return self.sequence_length * self.sequences


@dataclass(frozen=True)
class Hypothesis:
    """A claim about the difference of ln(perplexity) between an arm and another.

    `lower`: it is below zero. `equivalent`: it is within 1%.
    """

    arm: str
    baseline: str
    claim: Literal["lower", "equivalent"]


@dataclass(frozen=True)
class Run:
    """One run of an experiment, without what all of its runs share."""

    arm: str
    stage: Stage
    rate: float  # of the arm's own field
    base_rate: float | None  # the learning rate beside it
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.stage}-{self.rate:.4g}-{self.seed}"


@dataclass(frozen=True)
class Experiment:
    name: str
    title: str
    model: Model
    steps: int
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]  # none: the arms are only compared in the stage of the rates
    hypotheses: tuple[Hypothesis, ...] = ()
    text: str = "english"  # one of `TEXTS`
    tuning_seed: int = 100
    tuning_share: float = 0.5  # of the steps, in the stage of the rates
    warmup_steps: int = 100
    restart_warmup_steps: int = 20
    evaluations: int = 4  # in a run, beside that of the start
    evaluation_tokens: int = 1_000_000  # more than the held-out text has
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    growths: int = 2  # how often a grid of rates may grow by one value

    def __post_init__(self) -> None:
        assert self.tuning_seed not in self.seeds, "the tuning seed is not used again"
        assert len({len(arm.rates.values) for arm in self.arms}) == 1, "equal tries for each arm"
        for arm in self.arms:
            assert list(arm.rates.values) == sorted(arm.rates.values), arm.name

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def steps_of(self, stage: Stage) -> int:
        return self.steps if stage == "seeds" else round(self.tuning_share * self.steps)

    def document(self, run: Run, text: Path | None = None) -> dict[str, Any]:
        """Return the spec of a run. Without the folder of the text, it says what a run is."""
        arm, steps = self.arm(run.arm), self.steps_of(run.stage)
        data: dict[str, Any] = {"sequence_length": self.model.sequence_length}
        if text is not None:
            data["train"] = {"uri": str(train_file(text))}
            data["validation"] = {"uri": str(validation_file(text))}
        optimizer = dict(arm.optimizer)
        if run.base_rate:
            optimizer["learning_rate"] = run.base_rate
        document: dict[str, Any] = {
            "model": {"config": dict(self.model.config)},
            "tokenizer": {"train": {"vocab_size": self.model.vocabulary}},
            "data": data,
            "method": arm.method_at(steps),
            "training": {
                "steps": steps,
                "global_batch_size": self.model.sequences,
                "precision": self.precision,
                "compile": self.compile,
                "seed": run.seed,
                "on_divergence": "fail",
            },
            "optimizer": {**optimizer, _last(arm.rates.field): run.rate},
            "schedule": {
                "warmup_steps": self.warmup_steps,
                "restart_warmup_steps": self.restart_warmup_steps,
                **arm.schedule,
            },
            "evaluation": {
                "every": max(1, steps // self.evaluations),
                "tokens": self.evaluation_tokens,
            },
            "checkpoint": {"every": steps, "keep_last": 1},
        }
        return document

    def spec(self, run: Run, text: Path) -> TrainSpec:
        return TrainSpec.model_validate(self.document(run, text))


def _last(path: str) -> str:
    return path.rpartition(".")[2]
