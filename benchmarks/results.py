"""The results of a benchmark run, as JSON. The figures are computed from them."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Self

from pydantic import BaseModel, ConfigDict

from benchmarks.interleaved import TimedSteps
from benchmarks.machine import Machine, Precision
from benchmarks.packing import Packing
from benchmarks.pauses import Pauses
from benchmarks.scaling import Scaling
from benchmarks.stored import Stored
from benchmarks.whole_run import WholeRuns
from benchmarks.workloads import Workload
from relora_core.estimate import GPUS, estimate, known_gpu

FOLDER = Path(__file__).parent / "results"


class Counts(BaseModel):
    """The arithmetic and the memory according to `relora_core.estimate`."""

    model_config = ConfigDict(frozen=True)

    executed_flops: float  # per token
    tensor_bytes: int  # at the peak of a step


class Measured(BaseModel):
    """The measurements of one contender, with one number for each round."""

    model_config = ConfigDict(frozen=True)

    tokens_per_second: list[float]
    peak_bytes: int
    mfu: float | None = None  # model FLOPs over the peak of the GPU, at the median speed
    hfu: float | None = None  # the same with executed FLOPs
    counts: Counts | None = None  # of this project's methods

    @property
    def median(self) -> float:
        return median(self.tokens_per_second)


class Comparison(BaseModel):
    model_config = ConfigDict(frozen=True)

    model: str
    rank: int
    sequences: int  # of a step
    sequence_length: int
    precision: Precision
    steps: int  # timed in each turn
    contenders: dict[str, Measured]

    @classmethod
    def of(
        cls,
        workload: Workload,
        turns: dict[str, list[TimedSteps]],
        *,
        steps: int,
        gpu: str | None = None,
    ) -> Self:
        return cls(
            model=workload.name,
            rank=workload.rank,
            sequences=workload.sequences,
            sequence_length=workload.sequence_length,
            precision=workload.precision,
            steps=steps,
            contenders={
                name: _measured(name, mine, workload, steps=steps, gpu=gpu)
                for name, mine in turns.items()
            },
        )

    @property
    def tokens_per_step(self) -> int:
        return self.sequences * self.sequence_length

    def ratios(self, contender: str, other: str) -> list[float] | None:
        """Return the ratio of the speeds for each round, or None if one side was not measured."""
        if contender not in self.contenders or other not in self.contenders:
            return None
        mine, theirs = self.contenders[contender], self.contenders[other]
        pairs = zip(mine.tokens_per_second, theirs.tokens_per_second, strict=True)
        return [a / b for a, b in pairs]

    def counted(self, contender: str, other: str) -> tuple[float, float] | None:
        """Return the ratio of the speeds and that of the memory according to the counts alone.

        Return None if one side has no counts.
        """
        if contender not in self.contenders or other not in self.contenders:
            return None
        mine, theirs = self.contenders[contender], self.contenders[other]
        if mine.counts is None or theirs.counts is None:
            return None
        return (
            theirs.counts.executed_flops / mine.counts.executed_flops,
            mine.counts.tensor_bytes / theirs.counts.tensor_bytes,
        )

    def shares_of_limit(self, contender: str, other: str) -> list[float] | None:
        """Return the ratio of the speeds in each round, divided by the ratio that the counts allow.

        Return None if one side was not measured or has no counts.
        """
        ratios, counted = self.ratios(contender, other), self.counted(contender, other)
        if ratios is None or counted is None:
            return None
        allowed, _ = counted
        return [ratio / allowed for ratio in ratios]

    def memory_ratio(self, contender: str, other: str) -> float:
        return self.contenders[contender].peak_bytes / self.contenders[other].peak_bytes


class Results(Stored):
    """The results of a benchmark run.

    The names of comparisons are `speed` and `memory` on a CPU, and presets on a GPU.
    """

    machine: Machine
    measured_at: datetime
    quick: bool
    seconds: float  # of the whole benchmark
    load_average_after: float  # over the last minute; far above `threads`: other programs ran too
    comparisons: dict[str, Comparison]
    pauses: Pauses | None = None
    packing: Packing | None = None
    scaling: Scaling | None = None
    whole_runs: WholeRuns | None = None

    def beside(self, before: Self | None) -> Self:
        """Return these results with those that only `before` has.

        It has to be of the same commit, processor and GPU. Otherwise its numbers are dropped.
        """
        if before is None or _origin(before.machine) != _origin(self.machine):
            return self
        return self.model_copy(
            update={
                "comparisons": {**before.comparisons, **self.comparisons},
                "pauses": self.pauses or before.pauses,
                "packing": self.packing or before.packing,
                "scaling": self.scaling or before.scaling,
                "whole_runs": self.whole_runs or before.whole_runs,
            }
        )


def _origin(machine: Machine) -> tuple[str, str, str | None]:
    return machine.commit, machine.cpu, machine.gpu


def _measured(
    name: str, turns: Sequence[TimedSteps], workload: Workload, *, steps: int, gpu: str | None
) -> Measured:
    speeds = [steps * workload.tokens / turn.seconds for turn in turns]
    measured = Measured(tokens_per_second=speeds, peak_bytes=max(turn.peak_bytes for turn in turns))
    if name not in {"full", "relora"}:
        return measured
    phase = estimate(workload.spec("full" if name == "full" else "relora")).run.phases[-1]
    known = known_gpu(gpu or "")
    share = measured.median / GPUS[known].bf16_flops if known else None
    return measured.model_copy(
        update={
            "mfu": share and share * phase.model_flops_per_token,
            "hfu": share and share * phase.executed_flops_per_token,
            "counts": Counts(
                executed_flops=phase.executed_flops_per_token,
                tensor_bytes=phase.memory.peak,
            ),
        }
    )
