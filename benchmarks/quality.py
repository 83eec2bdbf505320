"""The validation perplexity of each method after training on the same tokens.

`python -m benchmarks.quality --save` writes the table to docs/quality.md.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict

from benchmarks.machine import ROOT, Machine, describe_machine
from benchmarks.page_table import PageTable
from benchmarks.results import FOLDER
from benchmarks.workloads import CORPUS
from relora_core.events import AnyTrainEvent, Evaluated, PhaseStarted
from relora_core.spec import TrainSpec
from relora_core.training.train import train

Contender = Literal["full", "control", "lowrank", "lora", "relora", "relora_often"]
CONTENDERS: tuple[Contender, ...] = get_args(Contender)
TITLES: Mapping[Contender, str] = {
    "full": "`full`: every weight",
    "control": "`control`: a full-rank model of as many trained parameters",
    "lowrank": "`lowrank`: B A in place of W",
    "lora": "`lora`: full-rank warm start, then one low-rank update",
    "relora": "`relora`: the same, restarted each quarter of the steps, as by default",
    "relora_often": "`relora`, restarted twice as often",
}
LEARNING_RATES = (2e-3, 4e-3)
SEEDS = (0, 1)


@dataclass(frozen=True)
class Comparison:
    """Runs that differ only in method, learning rate and seed."""

    model: str = "llama_9m"
    steps: int = 400
    sequences: int = 16
    sequence_length: int = 128
    rank: int = 32
    validation_tokens: int = 80_000

    @property
    def tokens(self) -> int:
        return self.steps * self.sequences * self.sequence_length

    def spec(self, contender: Contender, *, learning_rate: float, seed: int) -> TrainSpec:
        quarter = self.steps // 4
        document: dict[str, Any] = {
            "model": {"preset": self.model},
            "tokenizer": {"train": {"vocab_size": 4096}},
            "data": {
                "train": {"uri": str(CORPUS)},
                "validation": {"fraction": 0.02},
                "sequence_length": self.sequence_length,
            },
            "method": {
                "name": "relora" if contender == "relora_often" else contender,
                "rank": self.rank,
                "alpha": self.rank,
                "frozen_dtype": "fp32",
                "warm_start_steps": quarter,
                "reset_every": quarter // 2 if contender == "relora_often" else quarter,
            },
            "training": {
                "steps": self.steps,
                "global_batch_size": self.sequences,
                "precision": "fp32",
                "compile": False,
                "seed": seed,
            },
            "optimizer": {"learning_rate": learning_rate},
            "schedule": {
                "warmup_steps": max(1, self.steps // 20),
                "restart_warmup_steps": max(1, self.steps // 80),
            },
            "evaluation": {"every": None, "tokens": self.validation_tokens},
            "spectrum": {"enabled": False},
            "checkpoint": {"every": self.steps},
        }
        return TrainSpec.model_validate(document)


class Run(BaseModel):
    model_config = ConfigDict(frozen=True)

    contender: Contender
    learning_rate: float
    seed: int
    trained_parameters: int  # at the end of the run
    perplexity: float


class Quality(BaseModel):
    """All runs.

    Each learning rate is run with the first seed, and the best one also with the other seeds.
    """

    model_config = ConfigDict(frozen=True)

    machine: Machine
    model: str
    steps: int
    tokens: int
    rank: int
    runs: list[Run]

    @classmethod
    def measure(cls, comparison: Comparison, *, cache: Path) -> Self:
        machine = describe_machine()
        runs = [run for contender in CONTENDERS for run in _runs(comparison, contender, cache)]
        return cls(
            machine=machine,
            model=comparison.model,
            steps=comparison.steps,
            tokens=comparison.tokens,
            rank=comparison.rank,
            runs=runs,
        )

    def best(self, contender: Contender) -> list[Run]:
        """Return the runs with the learning rate that was best with the first seed."""
        runs = [run for run in self.runs if run.contender == contender]
        first = (run for run in runs if run.seed == SEEDS[0])
        rate = min(first, key=lambda run: run.perplexity).learning_rate
        return [run for run in runs if run.learning_rate == rate]


def _runs(comparison: Comparison, contender: Contender, cache: Path) -> Iterator[Run]:
    first = [_run(comparison, contender, rate, SEEDS[0], cache) for rate in LEARNING_RATES]
    yield from first
    best = min(first, key=lambda run: run.perplexity)
    for seed in SEEDS[1:]:
        yield _run(comparison, contender, best.learning_rate, seed, cache)


def _run(
    comparison: Comparison, contender: Contender, learning_rate: float, seed: int, cache: Path
) -> Run:
    events: list[AnyTrainEvent] = []
    spec = comparison.spec(contender, learning_rate=learning_rate, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        train(spec, Path(folder), events.append, cache=cache)
    perplexity = [event.perplexity for event in events if isinstance(event, Evaluated)][-1]
    assert perplexity is not None, "a language model has a perplexity"
    phases = [event for event in events if isinstance(event, PhaseStarted)]
    print(f"{contender}, learning rate {learning_rate}, seed {seed}: {perplexity:.2f}", flush=True)
    return Run(
        contender=contender,
        learning_rate=learning_rate,
        seed=seed,
        trained_parameters=phases[-1].trainable_parameters,
        perplexity=perplexity,
    )


def table(measured: Quality) -> Iterator[str]:
    yield (
        f"{measured.model}, rank {measured.rank}, {measured.steps:,} steps, "
        f"{measured.tokens / 1e6:.1f}M tokens; commit {measured.machine.commit}."
    )
    yield ""
    yield (
        "| method | parameters trained at the end | learning rate | validation perplexity, mean "
        "| lowest to highest |"
    )
    yield "| --- | ---: | ---: | ---: | ---: |"
    for contender in CONTENDERS:
        runs = measured.best(contender)
        scores = [run.perplexity for run in runs]
        yield (
            f"| {TITLES[contender]} | {runs[0].trained_parameters / 1e6:.2f}M "
            f"| {runs[0].learning_rate:g} | {mean(scores):.2f} "
            f"| {min(scores):.2f} to {max(scores):.2f} |"
        )


TABLE = PageTable("quality", ROOT / "docs" / "quality.md", FOLDER / "quality.json", Quality, table)


def measure(cache: Path) -> Quality:
    return Quality.measure(Comparison(), cache=cache)


if __name__ == "__main__":
    sys.exit(TABLE.run(measure))
