"""What the restarts of a small run cost and bought, as its reports tell it.

`python -m benchmarks.restarts --save` writes the table to docs/restarts.md. It takes about three
minutes.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.machine import ROOT, Machine, describe_machine
from benchmarks.page_table import PageTable
from benchmarks.results import FOLDER
from benchmarks.workloads import CORPUS
from relora_core.events import AnyTrainEvent, RestartReport, RestartReported, TrainFinished
from relora_core.spec import TrainSpec
from relora_core.training.train import train

STEPS, CYCLE, LAYERS, HIDDEN, RANK, SEQUENCES = 1200, 200, 3, 64, 4, 16
MODEL = {
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": 172,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
}


class Restarts(BaseModel):
    model_config = ConfigDict(frozen=True)

    machine: Machine
    reports: list[RestartReport]
    lines: list[str]  # as `relora jobs follow` prints them
    report_seconds: float  # that the step loop waited for the reports
    seconds: float  # of the whole run

    @classmethod
    def measure(cls, *, steps: int, cache: Path) -> "Restarts":
        told: list[RestartReported] = []
        seconds: list[float] = []

        def emit(event: AnyTrainEvent) -> None:
            if isinstance(event, RestartReported):
                told.append(event)
            elif isinstance(event, TrainFinished):
                seconds.append(event.seconds)

        with tempfile.TemporaryDirectory() as folder:
            train(_spec(steps), Path(folder), emit, cache=cache)
        return cls(
            machine=describe_machine(),
            reports=[event.report for event in told],
            lines=[str(event) for event in told],
            report_seconds=sum(event.seconds for event in told),
            seconds=seconds[-1],
        )


def _spec(steps: int) -> TrainSpec:
    cycle = max(1, steps * CYCLE // STEPS)
    return TrainSpec.model_validate(
        {
            "model": {"config": MODEL},
            "tokenizer": {"train": {"vocab_size": 1024}},
            "data": {
                "train": {"uri": str(CORPUS)},
                "validation": {"fraction": 0.02},
                "sequence_length": 64,
            },
            "method": {
                "name": "relora",
                "rank": RANK,
                "alpha": RANK,
                "warm_start_steps": cycle,
                "reset_every": cycle,
            },
            "training": {
                "steps": steps,
                "global_batch_size": SEQUENCES,
                "precision": "fp32",
                "compile": False,
            },
            "optimizer": {"learning_rate": 4e-3, "low_rank_learning_rate": 1e-2},
            "schedule": {"restart_warmup_steps": cycle // 10},
            "evaluation": {"every": max(1, cycle // 2), "tokens": 50_000},
            "checkpoint": {"every": 1_000_000},
        }
    )


def table(measured: Restarts) -> Iterator[str]:
    yield (
        f"llama, hidden {HIDDEN}, {LAYERS} layers, rank {RANK}, {STEPS:,} steps of {SEQUENCES} x "
        f"64 tokens on the shipped text; a restart every {CYCLE} steps, with a warm-up of "
        f"{CYCLE // 10}:"
    )
    yield ""
    yield (
        "| restart before step | loss before | after | steps to regain | tokens lost "
        "| loss at the end | validation loss before, after, at the end | rank gained "
        "| angle | overlap (by chance) |"
    )
    yield "| ---: |" + " ---: |" * 9
    for report in measured.reports:
        yield f"| {' | '.join(_cells(report))} |"
    yield ""
    share = measured.report_seconds / measured.seconds
    yield (
        f"The {len(measured.reports)} reports took {share:.2%} of the run's "
        f"{measured.seconds:.0f} s. `relora jobs follow` printed of the last one:"
    )
    yield ""
    yield "```text"
    yield measured.lines[-1]
    yield "```"


def _cells(report: RestartReport) -> list[str]:
    validation = (
        report.validation_loss_before,
        report.validation_loss_after,
        report.validation_loss_at_end,
    )
    return [
        f"{report.restart_step:,}",
        _number(report.loss_before, ".3f"),
        _number(report.loss_after, ".3f"),
        _number(report.steps_to_regain, "d"),
        f"{report.tokens_lost:,}",
        _number(report.loss_at_end, ".3f"),
        ", ".join(_number(loss, ".3f") for loss in validation),
        _number(report.rank_gained, "+.2f"),
        _number(report.angle, ".0f") + "°",
        f"{_number(report.overlap, '.0%')} ({_number(report.overlap_by_chance, '.0%')})",
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


TABLE = PageTable(
    "restarts", ROOT / "docs" / "restarts.md", FOLDER / "restarts.json", Restarts, table
)


def measure(cache: Path) -> Restarts:
    return Restarts.measure(steps=STEPS, cache=cache)


if __name__ == "__main__":
    sys.exit(TABLE.run(measure))
