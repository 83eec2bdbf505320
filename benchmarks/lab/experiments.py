"""The experiments of the lab: the model, the arms, the rates to try, the seeds, the hypotheses.

All of it is written down before the first run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.lab.text.build import train_file, validation_file
from relora_core.spec import TrainSpec

Stage = Literal["rates", "seeds"]
LEARNING_RATE = "optimizer.learning_rate"
FACTOR_RATE = "optimizer.factor_learning_rate"
SEED = "training.seed"


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
    cycles: int = 1  # of the low-rank phase; one more than restarts

    def method_at(self, steps: int) -> dict[str, Any]:
        """Return the method of a run of so many steps."""
        warm = round(self.warm_start * steps)
        method = dict(self.method)
        if method["name"] in {"lora", "relora"}:
            method |= {"frozen_dtype": "fp32", "warm_start_steps": warm}
        if method["name"] == "relora":
            method["reset_every"] = (steps - warm) // self.cycles
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
    model: Model
    steps: int
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    hypotheses: tuple[Hypothesis, ...]
    tuning_seed: int = 100
    tuning_share: float = 0.5  # of the steps, in the stage of the rates
    warmup_steps: int = 100
    restart_warmup_steps: int = 20
    evaluations: int = 4  # in a run, beside that of the start
    evaluation_tokens: int = 1_000_000  # more than the held-out text has
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
        optimizer = {"learning_rate": run.base_rate} if run.base_rate else {}
        document: dict[str, Any] = {
            "model": {"config": dict(self.model.config)},
            "tokenizer": {"train": {"vocab_size": self.model.vocabulary}},
            "data": data,
            "method": arm.method_at(steps),
            "training": {
                "steps": steps,
                "global_batch_size": self.model.sequences,
                "precision": "fp32",
                "compile": False,
                "seed": run.seed,
                "on_divergence": "fail",
            },
            "optimizer": {**optimizer, _last(arm.rates.field): run.rate},
            "schedule": {
                "warmup_steps": self.warmup_steps,
                "restart_warmup_steps": self.restart_warmup_steps,
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


LLAMA = {"model_type": "llama", "num_attention_heads": 4}
MODEL_S = Model(
    name="S",
    config=LLAMA | {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4},
    vocabulary=1024,
)
FULL_RATES = Rates((2e-3, 4e-3, 8e-3, 16e-3))
FACTOR_RATES = Rates((2, 4, 8, 16), field=FACTOR_RATE, base="full")
FULL = Arm("full", "`full`: every weight", {"name": "full"}, FULL_RATES)


def low_rank_arms(rank: int, rates: Rates = FACTOR_RATES) -> tuple[Arm, ...]:
    factors = {"rank": rank, "alpha": rank}
    return (
        Arm(
            f"control_{rank}",
            f"`control`: a full-rank model of as many parameters as rank {rank} trains",
            {"name": "control", "rank": rank},
            FULL_RATES,
        ),
        Arm(
            f"lora_{rank}",
            f"`lora`, rank {rank}: a warm start of 10%, then one update",
            {"name": "lora", **factors},
            rates,
            warm_start=0.1,
        ),
        Arm(
            f"relora_{rank}",
            f"`relora`, rank {rank}: the same warm start, then 9 cycles",
            {"name": "relora", **factors},
            rates,
            warm_start=0.1,
            cycles=9,
        ),
    )


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="s",
            model=MODEL_S,
            steps=3200,  # 6.6M tokens, 20 for each parameter
            arms=(FULL, *low_rank_arms(4), *low_rank_arms(16)),
            seeds=(1, 2, 3, 4, 5),
            hypotheses=(
                Hypothesis("relora_4", "lora_4", "lower"),
                Hypothesis("relora_16", "lora_16", "lower"),
                Hypothesis("relora_4", "full", "equivalent"),
                Hypothesis("relora_16", "full", "equivalent"),
            ),
        ),
        Experiment(
            name="quick",
            model=MODEL_S,
            steps=120,
            arms=(
                Arm(FULL.name, FULL.title, FULL.method, Rates((4e-3, 8e-3))),
                Arm(
                    "relora_16",
                    "`relora`, rank 16: a warm start of 25%, then 3 cycles",
                    {"name": "relora", "rank": 16, "alpha": 16},
                    Rates((2, 4), field=FACTOR_RATE, base="full"),
                    warm_start=0.25,
                    cycles=3,
                ),
            ),
            seeds=(1, 2),
            hypotheses=(Hypothesis("relora_16", "full", "equivalent"),),
            warmup_steps=12,
            restart_warmup_steps=3,
            evaluations=1,
            evaluation_tokens=100_000,
            growths=1,
        ),
    )
}
