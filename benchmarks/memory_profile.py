"""The memory of a step by part, for full rank and for relora. It explains their ratio.

`python -m benchmarks.memory_profile --save` writes the table to docs/performance.md.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict

from benchmarks.contenders import Ours, silent
from benchmarks.interleaved import PROCESSES, WARM_UP_STEPS, RunOver
from benchmarks.machine import Machine, describe_machine, fastest_precision, matrix_flags
from benchmarks.memory import peak_of, reset_peak_of, resident_of
from benchmarks.page_table import PageTable
from benchmarks.profile import METHODS
from benchmarks.report import PAGE, TITLES
from benchmarks.results import FOLDER
from benchmarks.workloads import MethodName, Workload, preset
from relora_core.estimate import estimate
from relora_core.estimate.memory import Memory
from relora_core.host_memory import return_freed_memory
from relora_core.tasks import build_task

STEPS = 2
MIB = 1024**2


class Process(BaseModel):
    """The memory of a training process in bytes."""

    model_config = ConfigDict(frozen=True)

    peak: int  # during steps
    resting: int  # between two steps, after freed memory is given back


class StepMemory(BaseModel):
    """The memory of each method. Each is measured alone, in a new process."""

    model_config = ConfigDict(frozen=True)

    machine: Machine
    model: str
    sequences: int
    sequence_length: int
    processes: dict[MethodName, Process]
    parts: dict[MethodName, dict[str, int]]  # bytes at the peak; their sum is the peak

    @classmethod
    def measure(cls, workload: Workload, cache: Path) -> Self:
        build_task(workload.spec("full"), cache=cache, emit=silent)  # prepare the data once
        processes = {method: _alone(workload, method, cache) for method in METHODS}
        return cls(
            machine=describe_machine(),
            model=workload.name,
            sequences=workload.sequences,
            sequence_length=workload.sequence_length,
            processes=processes,
            parts={
                method: _parts(estimate(workload.spec(method)).run.phases[-1].memory, process)
                for method, process in processes.items()
            },
        )


def _alone(workload: Workload, method: MethodName, cache: Path) -> Process:
    """Measure a method in a new process, which ends when it has sent its result."""
    found, sent = PROCESSES.Pipe(duplex=False)
    threads = torch.get_num_threads()
    child = PROCESSES.Process(
        target=_train, args=(workload, method, cache, threads, sent), daemon=True
    )
    child.start()
    sent.close()
    try:
        return Process.model_validate_json(found.recv())
    finally:
        child.terminate()
        child.join()


def _train(
    workload: Workload, method: MethodName, cache: Path, threads: int, found: Connection
) -> None:
    torch.set_num_threads(threads)
    steps = 0

    def between_steps() -> None:
        nonlocal steps
        steps += 1
        if steps == WARM_UP_STEPS + 1:
            reset_peak_of("self")
        if steps == WARM_UP_STEPS + 1 + STEPS:
            process = Process(peak=peak_of("self"), resting=_resting_bytes())
            found.send(process.model_dump_json())
            raise RunOver

    with suppress(RunOver):
        Ours(method, workload, method, cache).train(between_steps)


def _resting_bytes() -> int:
    return_freed_memory()
    return resident_of("self")


def _parts(memory: Memory, process: Process) -> dict[str, int]:
    """Return the memory by part.

    The tensors come from the estimate, which is tested against real steps. The rest is the
    difference to the measured peak.
    """
    state = memory.weights + memory.frozen + memory.optimizer
    tensors = {
        "trained weights, fp32": memory.weights,
        "frozen weights, bf16": memory.frozen,
        "moments": memory.optimizer,
        "bf16 copies of trained weights": memory.weight_copies,
        "activations": memory.activations,
        "head and loss": memory.loss,
    }
    program = process.resting - state
    return {
        **tensors,
        "Python, torch, the compiler's code": program,
        "freed and kept, in pieces between what is used": process.peak
        - sum(tensors.values())
        - program,
    }


def table(measured: StepMemory) -> Iterator[str]:
    full, relora = (measured.parts[method] for method in METHODS)
    yield (
        f"{measured.model}, {measured.sequences} x {measured.sequence_length} tokens a step, on "
        f"{measured.machine.cpu} with {measured.machine.threads} threads, commit "
        f"{measured.machine.commit}."
    )
    yield ""
    yield f"| MiB at the peak of a step | {TITLES['full']} | {TITLES['relora']} | ratio |"
    yield "| --- | ---: | ---: | ---: |"
    for part in full:
        yield _row(part, full[part], relora[part])
    yield _row("all", sum(full.values()), sum(relora.values()))


def _row(part: str, full: int, relora: int) -> str:
    ratio = f"{relora / full:.2f}" if full > 0 else ""
    return f"| {part} | {full / MIB:,.0f} | {relora / MIB:,.0f} | {ratio} |"


TABLE = PageTable("memory", PAGE, FOLDER / "memory.json", StepMemory, table)


def measure(cache: Path) -> StepMemory:
    workload = preset("llama_130m", sequences=4, precision=fastest_precision(matrix_flags()))
    return StepMemory.measure(workload, cache)


if __name__ == "__main__":
    sys.exit(TABLE.run(measure))
