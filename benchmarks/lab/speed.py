"""The time of a step of the lab's models on one core, beside a plain loop of torch.

`python -m benchmarks.lab.speed --save` writes the table to docs/lab.md. It counts CPU seconds, so
that other load on the machine matters less.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict

from benchmarks.contenders import Ours, Plain
from benchmarks.interleaved import Contender, run_interleaved
from benchmarks.lab.declared import MODEL_M, MODEL_S
from benchmarks.lab.experiments import Model
from benchmarks.machine import ROOT, Machine, describe_machine
from benchmarks.page_table import PageTable
from benchmarks.results import FOLDER
from benchmarks.workloads import Workload

PAGE = ROOT / "docs" / "lab.md"
ROUNDS = 3
STEPS = 4
TITLES = {"plain": "plain loop", "full": "`full`", "relora": "`relora`, r/d 1/4"}


class ModelSpeed(BaseModel):
    model_config = ConfigDict(frozen=True)

    tokens_per_step: int
    cpu_seconds: dict[str, list[float]]  # of a step, in each round

    @classmethod
    def measure(cls, model: Model, cache: Path) -> Self:
        turns = run_interleaved(_contenders(model, cache), device="cpu", rounds=ROUNDS, steps=STEPS)
        seconds = {name: [turn.cpu_seconds / STEPS for turn in turns[name]] for name in turns}
        return cls(tokens_per_step=model.tokens_per_step, cpu_seconds=seconds)

    @property
    def slowest(self) -> float:
        """The tokens of a CPU second, of the slowest method."""
        return self.tokens_per_step / max(map(median, self.cpu_seconds.values()))


class Speed(BaseModel):
    """What a core does in a second with each of the lab's models."""

    model_config = ConfigDict(frozen=True)

    machine: Machine
    models: dict[str, ModelSpeed]

    @classmethod
    def measure(cls, cache: Path) -> Self:
        torch.set_num_threads(1)
        models = {each.name: ModelSpeed.measure(each, cache) for each in (MODEL_S, MODEL_M)}
        return cls(machine=describe_machine(), models=models)


def _contenders(model: Model, cache: Path) -> list[Contender]:
    workload = Workload(
        name=model.name,
        config={**model.config, "vocab_size": model.vocabulary},
        sequences=model.sequences,
        precision="fp32",
        sequence_length=model.sequence_length,
        rank=model.config["hidden_size"] // 4,
        compile=False,
    )
    ours = (Ours(method, workload, method, cache) for method in ("full", "relora"))
    return [Plain(workload, cache), *ours]


def table(speed: Speed) -> Iterator[str]:
    yield (
        f"On one core of {speed.machine.cpu}, commit {speed.machine.commit}, load average before "
        f"{speed.machine.load_average}. The ratio is that of the CPU seconds to those of the plain "
        "loop in the same round: median, lowest and highest."
    )
    yield ""
    yield "| model | | CPU ms of a step | tokens of a CPU second | ratio |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for name, model in speed.models.items():
        for contender, seconds in model.cpu_seconds.items():
            ratios = [a / b for a, b in zip(seconds, model.cpu_seconds["plain"], strict=True)]
            yield (
                f"| {name} | {TITLES[contender]} | {1000 * median(seconds):.0f} "
                f"| {model.tokens_per_step / median(seconds):,.0f} "
                f"| {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
            )


TABLE = PageTable("speed", PAGE, FOLDER / "lab-speed.json", Speed, table)

if __name__ == "__main__":
    sys.exit(TABLE.run(Speed.measure))
