"""The time of a step by part, for full rank and for relora. It explains their ratio.

`python -m benchmarks.profile --save` writes the table to docs/performance.md.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict
from torch.profiler import ProfilerActivity, profile

from benchmarks.contenders import Ours
from benchmarks.interleaved import WARM_UP_STEPS, RunOver
from benchmarks.machine import Machine, describe_machine, fastest_precision, matrix_flags
from benchmarks.page_table import PageTable
from benchmarks.report import PAGE, TITLES
from benchmarks.results import FOLDER
from benchmarks.workloads import MethodName, Workload, narrow

STEPS = 5
METHODS: tuple[MethodName, MethodName] = ("full", "relora")
# The parts by the profiler's names; the first match counts. The rest of a step is "other".
PARTS = {
    "products with weights": ("aten::mm", "aten::addmm"),
    "attention, without its softmax": ("aten::_scaled_dot_product", "aten::bmm", "aten::baddbmm"),
    "fused elementwise kernels": ("## Call CompiledFxGraph",),
    "optimizer": ("aten::_fused_adamw_",),
    "other": ("",),
}


class StepProfile(BaseModel):
    """The seconds of a step by part, for each method."""

    model_config = ConfigDict(frozen=True)

    machine: Machine
    model: str
    sequences: int
    sequence_length: int
    seconds: dict[MethodName, dict[str, float]]

    @classmethod
    def measure(cls, workload: Workload, cache: Path) -> Self:
        return cls(
            machine=describe_machine(),
            model=workload.name,
            sequences=workload.sequences,
            sequence_length=workload.sequence_length,
            seconds={method: _profiled(workload, method, cache) for method in METHODS},
        )


def _profiled(workload: Workload, method: MethodName, cache: Path) -> dict[str, float]:
    """Return the CPU time of a step by part.

    It is that of the main thread, which waits for the others, so it differs from the wall time by
    only a few percent.
    """
    steps, profiler = 0, profile(activities=[ProfilerActivity.CPU])

    def between_steps() -> None:
        nonlocal steps
        steps += 1
        if steps == WARM_UP_STEPS + 1:
            profiler.__enter__()
        if steps == WARM_UP_STEPS + 1 + STEPS:
            profiler.__exit__(None, None, None)
            raise RunOver

    with suppress(RunOver):
        Ours(method, workload, method, cache).train(between_steps)
    seconds = dict.fromkeys(PARTS, 0.0)
    for event in profiler.key_averages():
        seconds[_part(event.key)] += event.self_cpu_time_total / 1e6 / STEPS
    return seconds


def _part(operator: str) -> str:
    return next(part for part, names in PARTS.items() if operator.startswith(names))


def table(measured: StepProfile) -> Iterator[str]:
    full, relora = (measured.seconds[method] for method in METHODS)
    yield (
        f"{measured.model}, {measured.sequences} x {measured.sequence_length} tokens a step, on "
        f"{measured.machine.cpu} with {measured.machine.threads} threads, commit "
        f"{measured.machine.commit}, load average before {measured.machine.load_average}."
    )
    yield ""
    yield f"| seconds of a step | {TITLES['full']} | {TITLES['relora']} | ratio |"
    yield "| --- | ---: | ---: | ---: |"
    for part in PARTS:
        yield _row(part, full[part], relora[part])
    yield _row("all", sum(full.values()), sum(relora.values()))


def _row(part: str, full: float, relora: float) -> str:
    return f"| {part} | {full:.3f} | {relora:.3f} | {full / relora:.2f} |"


TABLE = PageTable("profile", PAGE, FOLDER / "profile.json", StepProfile, table)


def measure(cache: Path) -> StepProfile:
    workload = narrow(4, precision=fastest_precision(matrix_flags()))
    return StepProfile.measure(workload, cache)


if __name__ == "__main__":
    sys.exit(TABLE.run(measure))
